//! Envoy: the only code that knows proxy-wasm. Turns callbacks into [`crate::exchange`]'s events and
//! steps into host calls; decides nothing.

#[cfg(target_os = "wasi")]
mod admin;
#[cfg(target_os = "wasi")]
mod hall;
#[cfg(target_os = "wasi")]
mod host;
#[cfg(target_os = "wasi")]
mod http;
#[cfg(target_os = "wasi")]
mod notifier;
#[cfg(target_os = "wasi")]
mod root;
#[cfg(target_os = "wasi")]
mod stream;
