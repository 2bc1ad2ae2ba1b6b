//! Envoy's rate limit service, version 3 (`envoy.service.ratelimit.v3.RateLimitService`): the one request and the one
//! reply, as protobuf.
//!
//! Only the fields that are used here stand in the messages; what else a reply carries is skipped. Knows no limits and
//! no host: how the message travels is the host's work.

use prost::Message;

/// The gRPC service.
pub const SERVICE: &str = "envoy.service.ratelimit.v3.RateLimitService";
/// Its only method.
pub const METHOD: &str = "ShouldRateLimit";

/// What to count, all of it or nothing of it known.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RateLimitRequest {
    /// The namespace of the descriptors.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Each is one counter.
    #[prost(message, repeated, tag = "2")]
    pub descriptors: Vec<RateLimitDescriptor>,
    /// What is added to the counters of descriptors that say nothing themselves; 0 stands for 1.
    #[prost(uint32, tag = "3")]
    pub hits_addend: u32,
}

/// `envoy.extensions.common.ratelimit.v3.RateLimitDescriptor`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RateLimitDescriptor {
    /// The counter's name, from the general to the particular.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
    /// What it counts up to, in place of what the service was configured with.
    #[prost(message, optional, tag = "2")]
    pub limit: Option<RateLimitOverride>,
    /// What is added; 0 only asks.
    #[prost(message, optional, tag = "3")]
    pub hits_addend: Option<UInt64Value>,
}

/// One part of a counter's name.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Entry {
    /// What the part is.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Which one.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `RateLimitDescriptor.RateLimitOverride`, and of a reply `RateLimitResponse.RateLimit`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct RateLimitOverride {
    /// The most that is let through in each unit of time.
    #[prost(uint32, tag = "1")]
    pub requests_per_unit: u32,
    /// `envoy.type.v3.RateLimitUnit`: 1 second, 2 minute, 3 hour, 4 day.
    #[prost(int32, tag = "2")]
    pub unit: i32,
}

/// `google.protobuf.UInt64Value`
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct UInt64Value {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub value: u64,
}

/// What the service says.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RateLimitResponse {
    /// [`OK`] when no descriptor is over its limit.
    #[prost(int32, tag = "1")]
    pub overall_code: i32,
    /// One for each descriptor, in the request's order; some services send none.
    #[prost(message, repeated, tag = "2")]
    pub statuses: Vec<DescriptorStatus>,
}

/// What became of one descriptor.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DescriptorStatus {
    /// [`OK`] or [`OVER_LIMIT`].
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What it was counted up to; absent when the service has no limit for the descriptor.
    #[prost(message, optional, tag = "2")]
    pub current_limit: Option<RateLimitOverride>,
    /// What is left in the present window.
    #[prost(uint32, tag = "3")]
    pub limit_remaining: u32,
    /// When that window ends.
    #[prost(message, optional, tag = "4")]
    pub duration_until_reset: Option<Duration>,
}

/// `google.protobuf.Duration`, whole seconds of it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Duration {
    /// The seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
}

/// `RateLimitResponse.Code.OK`
pub const OK: i32 = 1;
/// `RateLimitResponse.Code.OVER_LIMIT`
pub const OVER_LIMIT: i32 = 2;

/// `envoy.config.core.v3.GrpcService`: whom the host is to call.
///
/// The host would also take a bare cluster name, but reads it as this message first: `ai_limits`, say, is one.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GrpcService {
    /// Envoy's own client.
    #[prost(message, optional, tag = "1")]
    envoy_grpc: Option<EnvoyGrpc>,
}

/// `GrpcService.EnvoyGrpc`
#[derive(Clone, PartialEq, Eq, Message)]
struct EnvoyGrpc {
    #[prost(string, tag = "1")]
    cluster_name: String,
}

impl GrpcService {
    /// The cluster of this name, as the message's bytes.
    #[must_use]
    pub fn of_cluster(name: &str) -> Vec<u8> {
        Self { envoy_grpc: Some(EnvoyGrpc { cluster_name: name.to_owned() }) }.encode_to_vec()
    }
}

impl RateLimitRequest {
    /// The message's bytes, without gRPC's framing.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

impl RateLimitResponse {
    /// `None` for bytes that are no such message, or do not say what came of it.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let response = <Self as Message>::decode(bytes).ok()?;
        matches!(response.overall_code, OK | OVER_LIMIT).then_some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_bytes_that_the_service_takes() {
        // As recorded before a gRPC server built from Envoy's own definitions.
        let entries = vec![Entry { key: "tool".into(), value: "echo".into() }];
        let descriptor = RateLimitDescriptor { entries, limit: None, hits_addend: None };
        let mut request = RateLimitRequest { domain: "mcp".into(), descriptors: vec![descriptor], hits_addend: 1 };
        assert_eq!(request.encode(), b"\x0a\x03mcp\x12\x0e\x0a\x0c\x0a\x04tool\x12\x04echo\x18\x01");
        // The override of field 2 and the amount of field 3; an amount of 0 is not the same as none.
        let limit = Some(RateLimitOverride { requests_per_unit: 300, unit: 3 });
        request.descriptors[0] =
            RateLimitDescriptor { entries: Vec::new(), limit, hits_addend: Some(UInt64Value { value: 0 }) };
        assert_eq!(request.encode(), b"\x0a\x03mcp\x12\x09\x12\x05\x08\xac\x02\x10\x03\x1a\x00\x18\x01");
    }

    #[test]
    fn a_reply_that_does_not_say_what_came_of_it_is_none() {
        // Code 1; one status: code 2, limit 300 an hour, 7 left, 61 seconds; a field that is not read.
        let reply = b"\x08\x01\x12\x0f\x08\x02\x12\x05\x08\xac\x02\x10\x03\x18\x07\x22\x02\x08\x3d\x2a\x01x";
        let read = RateLimitResponse::decode(reply).unwrap();
        assert_eq!((read.overall_code, read.statuses[0].code, read.statuses[0].limit_remaining), (OK, OVER_LIMIT, 7));
        let limit = RateLimitOverride { requests_per_unit: 300, unit: 3 };
        assert_eq!(read.statuses[0].current_limit, Some(limit));
        assert_eq!(read.statuses[0].duration_until_reset, Some(Duration { seconds: 61 }));
        for garbage in [b"".as_slice(), b"\x08\x00", b"\x08\x03", b"\x08", b"\xff\xff\xff", b"<html>"] {
            assert_eq!(RateLimitResponse::decode(garbage), None, "{garbage:?}");
        }
    }
}
