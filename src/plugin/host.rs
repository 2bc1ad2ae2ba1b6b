//! The host's functions (proxy-wasm ABI 0.2.1), with errors as values.
//!
//! The SDK's own wrappers panic on any status they do not expect and on header bytes that are not UTF-8:
//! either would let one request end the VM. They also pass no response details. So the few functions
//! that are needed are declared here, and this is the only module with `unsafe`.

#![allow(unsafe_code)]

use crate::claims;
use crate::config::LimitService;
use crate::exchange::{HeaderEdit, Headers, Reply, Verified};
use crate::policy::{Claim, PutError, Store, Unavailable, Unclear, Version};
use crate::timestamp::Timestamp;
use crate::wire::{pairs, rls};
use proxy_wasm::hostcalls::{dispatch_grpc_call, dispatch_http_call};
use proxy_wasm::types::{BufferType, MapType};
use std::ptr::null_mut;
use std::time::Duration;

/// The stream of a client's request.
const REQUEST: u32 = 0;
/// What ends a gRPC call well.
pub(super) const GRPC_OK: u32 = 0;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_buffer_bytes(kind: u32, start: usize, size: usize, data: *mut *mut u8, length: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(kind: u32, start: usize, size: usize, data: *const u8, length: usize) -> u32;
    fn proxy_get_header_map_pairs(kind: u32, data: *mut *mut u8, length: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        kind: u32,
        key: *const u8,
        key_length: usize,
        data: *const u8,
        length: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(kind: u32, key: *const u8, key_length: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_length: usize, data: *mut *mut u8, length: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_length: usize, data: *const u8, length: usize) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_length: usize,
        data: *mut *mut u8,
        length: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_length: usize, data: *const u8, length: usize, cas: u32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_grpc_cancel(call: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_length: usize,
        body: *const u8,
        body_length: usize,
        headers: *const u8,
        headers_length: usize,
        grpc_status: i32,
    ) -> u32;
}

/// A host function did not do its work; nothing may be assumed of what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostError(u32);

impl HostError {
    /// There is nothing to judge by, or no way to do what was decided.
    pub(super) const IMPOSSIBLE: Self = Self(u32::MAX);
}

fn check(status: u32) -> Result<(), HostError> {
    if status == OK { Ok(()) } else { Err(HostError(status)) }
}

/// Takes over what the host wrote by way of the SDK's `proxy_on_memory_allocate`.
///
/// # Safety
/// `data` is null, or was returned by that function for exactly `length` bytes and is not used again.
unsafe fn adopt(data: *mut u8, length: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: the SDK allocates with the global allocator, capacity and length both `length`.
    unsafe { Vec::from_raw_parts(data, length, length) }
}

/// The wall clock.
pub(super) fn now() -> Timestamp {
    let mut nanoseconds = 0;
    // SAFETY: the host writes one u64 to a valid place. On failure it stays 0: windows keep their start
    // when time seems to step back, so no limit reopens.
    unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) };
    Timestamp::from_millis(nanoseconds / 1_000_000)
}

/// `size` bytes of a buffer from its start; less when it holds less.
pub(super) fn buffer(kind: BufferType, size: usize) -> Result<Vec<u8>, HostError> {
    let (mut data, mut length) = (null_mut(), 0);
    // SAFETY: both places are valid; the host sets them to memory that it had us allocate.
    let status = unsafe { proxy_get_buffer_bytes(kind as u32, 0, size, &raw mut data, &raw mut length) };
    if status == NOT_FOUND {
        return Ok(Vec::new());
    }
    check(status)?;
    // SAFETY: as above, and `data` is used nowhere else.
    Ok(unsafe { adopt(data, length) })
}

/// Replaces the first `size` bytes, the whole of what is visible, by `bytes`.
pub(super) fn replace_buffer(kind: BufferType, size: usize, bytes: &[u8]) -> Result<(), HostError> {
    // SAFETY: the host reads `bytes` during the call only.
    check(unsafe { proxy_set_buffer_bytes(kind as u32, 0, size, bytes.as_ptr(), bytes.len()) })
}

/// All header lines of a map.
pub(super) fn headers(kind: MapType) -> Result<Headers, HostError> {
    let (mut data, mut length) = (null_mut(), 0);
    // SAFETY: as in `buffer`.
    let status = unsafe { proxy_get_header_map_pairs(kind as u32, &raw mut data, &raw mut length) };
    check(status)?;
    // SAFETY: as in `buffer`.
    let bytes = unsafe { adopt(data, length) };
    Headers::encoded(bytes).ok_or(HostError(status))
}

/// Changes headers, in order.
pub(super) fn edit_headers(kind: MapType, edits: &[HeaderEdit]) -> Result<(), HostError> {
    for edit in edits {
        // SAFETY: the host reads names and values during the calls only.
        check(unsafe {
            match edit {
                HeaderEdit::Set(name, value) => {
                    proxy_replace_header_map_value(kind as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
                }
                HeaderEdit::Remove(name) => proxy_remove_header_map_value(kind as u32, name.as_ptr(), name.len()),
            }
        })?;
    }
    Ok(())
}

/// Answers the client; the stream goes nowhere else from here.
pub(super) fn reply(reply: &Reply) -> Result<(), HostError> {
    let mut headers: Vec<(&str, &str)> = reply.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
    if !reply.body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
        headers.push(("content-type", "application/json"));
    }
    let headers = pairs::encode(&headers);
    // SAFETY: the host reads all four during the call only.
    check(unsafe {
        proxy_send_local_response(
            u32::from(reply.status),
            reply.details.as_ptr(),
            reply.details.len(),
            reply.body.as_ptr(),
            reply.body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    })
}

/// Lets a held request go on, from a callback that is none of its own.
pub(super) fn resume_request() -> Result<(), HostError> {
    // SAFETY: takes no memory.
    check(unsafe { proxy_continue_stream(REQUEST) })
}

/// Ends a call whose answer nobody waits for; its end is not reported. The host would let it go on after its stream.
pub(super) fn cancel(call: u32) {
    // SAFETY: takes no memory. One that the host knows no more needs no end.
    unsafe { proxy_grpc_cancel(call) };
}

/// From now on, until the end of this callback, the host takes its functions to be about the context of this number.
pub(super) fn mean(context: u32) -> Result<(), HostError> {
    // SAFETY: takes no memory.
    check(unsafe { proxy_set_effective_context(context) })
}

/// Has the root context called every so often.
pub(super) fn tick_every(period: Duration) -> Result<(), HostError> {
    // SAFETY: takes no memory.
    check(unsafe { proxy_set_tick_period_milliseconds(period.as_millis().try_into().unwrap_or(u32::MAX)) })
}

/// Calls the rate limit service; the number of the call, which its end is reported under.
///
/// By the SDK's own wrapper, whose dispatcher brings only the ends of calls that it knows of. Of the statuses that would
/// make it panic the host returns none here (`Context::grpcCall`).
pub(super) fn ask(service: &LimitService, message: &[u8]) -> Result<u32, HostError> {
    let target = rls::GrpcService::of_cluster(&service.cluster);
    // Names are short, so that their lengths are ASCII, too.
    let target = std::str::from_utf8(&target).map_err(|_| HostError::IMPOSSIBLE)?;
    let timeout = Duration::from_millis(service.timeout_ms.into());
    dispatch_grpc_call(target, rls::SERVICE, rls::METHOD, Vec::new(), Some(message), timeout)
        .map_err(|status| HostError(status as u32))
}

/// Makes an HTTP call; its number, which its end is reported under.
///
/// By the SDK's own wrapper, as in [`ask`] (`Context::httpCall`).
pub(super) fn post(
    cluster: &str,
    headers: &[(&'static str, String)],
    body: &str,
    timeout_ms: u32,
) -> Result<u32, HostError> {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let timeout = Duration::from_millis(timeout_ms.into());
    dispatch_http_call(cluster, headers, Some(body.as_bytes()), Vec::new(), timeout)
        .map_err(|status| HostError(status as u32))
}

/// The status of a call that has ended, while that is reported; `None` without an answer.
pub(super) fn call_status() -> Option<u16> {
    let headers = headers(MapType::HttpCallResponseHeaders).ok()?;
    std::str::from_utf8(headers.first(":status")?).ok()?.parse().ok()
}

/// Sets the filter state `wasm.<name>` of this stream.
pub(super) fn set_filter_state(name: &str, value: &str) -> Result<(), HostError> {
    // SAFETY: the host reads both during the call only. A path of one part needs no separator.
    check(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// The value at a path of Envoy's attributes; `None` where there is nothing.
pub(super) fn property<'p>(path: impl IntoIterator<Item = &'p str>) -> Result<Option<Vec<u8>>, Unclear> {
    let parts: Vec<&str> = path.into_iter().collect();
    let path = parts.join("\0");
    let (mut data, mut length) = (null_mut(), 0);
    // SAFETY: as in `buffer`; the path is read during the call only.
    let status = unsafe { proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut length) };
    match status {
        // SAFETY: as in `buffer`.
        OK => Ok(Some(unsafe { adopt(data, length) })),
        NOT_FOUND => Ok(None),
        _ => Err(Unclear),
    }
}

/// What Envoy's own filters and its TLS found out about the caller.
#[derive(Debug)]
pub(super) struct Properties;

impl Verified for Properties {
    fn claim(&self, payload_key: &str, path: &[String]) -> Result<Option<Claim>, Unclear> {
        let payload = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", payload_key];
        let bytes = property(payload.into_iter().chain(path.iter().map(String::as_str)))?;
        bytes.map(|bytes| claims::read(&bytes)).transpose()
    }

    fn peer_san(&self) -> Result<Option<String>, Unclear> {
        let bytes = property(["connection", "uri_san_peer_certificate"])?;
        bytes.map(|bytes| String::from_utf8(bytes).map_err(|_| Unclear)).transpose()
    }
}

/// Envoy's shared data: one map for all workers of the plugin's `vm_id`.
pub(super) struct SharedData;

impl Store for SharedData {
    fn get(&mut self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Unavailable> {
        let (mut data, mut length, mut cas) = (null_mut(), 0, 0);
        // SAFETY: as in `buffer`; the key is read during the call only.
        let status =
            unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), &raw mut data, &raw mut length, &raw mut cas) };
        match status {
            // SAFETY: as in `buffer`.
            OK => Ok(Some((unsafe { adopt(data, length) }, cas))),
            NOT_FOUND => Ok(None),
            _ => Err(Unavailable),
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8], version: Option<Version>) -> Result<(), PutError> {
        // 0 would write unconditionally and lose a race for a new key. For a key that does not exist the
        // host takes any number; for one that came to exist, this one never fits.
        write(key, value, version.unwrap_or(u32::MAX))
    }

    /// Without a look at what is there, in one call.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), PutError> {
        write(key, value, 0)
    }
}

fn write(key: &[u8], value: &[u8], cas: u32) -> Result<(), PutError> {
    // SAFETY: key and value are read during the call only.
    let status = unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) };
    match status {
        OK => Ok(()),
        CAS_MISMATCH => Err(PutError::Conflict),
        _ => Err(PutError::Unavailable),
    }
}
