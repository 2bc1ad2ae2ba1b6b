//! Bytes ↔ values: JSON, JSON-RPC, MCP, event streams, and the messages of the rate limit service. Knows protocols;
//! knows no policy and no host.
//!
//! Everything untrusted is read here, once, strictly: what two parsers could read differently is an
//! error, never a guess.

pub mod blank;
pub(crate) mod bytes;
pub mod canonical;
pub mod capabilities;
pub mod json;
pub mod jsonrpc;
pub mod list_stream;
pub mod mcp;
pub mod media_type;
pub mod members;
pub mod meta;
pub mod mirror;
pub(crate) mod pairs;
pub mod reply;
pub mod rls;
pub mod sse;
pub mod to_client;
pub mod tree;
pub mod value;
