//! What the tests stand on: processes that end with the test, Envoy with the plugin, MCP servers real and scripted, MCP
//! clients real and raw. Knows no policy and asserts nothing about one.

pub(crate) mod clients;
pub(crate) mod envoy;
pub(crate) mod everything;
pub(crate) mod ext_proc;
pub(crate) mod fixtures;
pub(crate) mod h2;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod mcp;
pub(crate) mod parts;
pub(crate) mod process;
pub(crate) mod ratelimit;
pub(crate) mod relay;
pub(crate) mod request;
pub(crate) mod setup;
pub(crate) mod suite;
pub(crate) mod tls;
pub(crate) mod upstream;
pub(crate) mod wait;
