//! Envoy: the only code that knows proxy-wasm. Turns callbacks into [`crate::exchange`]'s events and
//! steps into host calls; decides nothing.

#[cfg(any(target_os = "wasi", test))]
#[cfg_attr(not(target_os = "wasi"), allow(dead_code))]
mod claims;
#[cfg(target_os = "wasi")]
mod host;
#[cfg(target_os = "wasi")]
mod http;
#[cfg(any(target_os = "wasi", test))]
#[cfg_attr(not(target_os = "wasi"), allow(dead_code))]
mod pairs;
#[cfg(target_os = "wasi")]
mod root;
