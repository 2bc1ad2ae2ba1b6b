//! What became of a call that went on, and so whether its limits get back what they reserved.

/// How a forwarded call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// A result.
    Success,
    /// A result with `isError: true`: the tool ran.
    ToolError,
    /// A JSON-RPC `error`.
    JsonRpcError,
    /// An HTTP status of 400 or more, from the server itself.
    HttpError,
    /// No connection: surely nothing ran.
    Unreachable,
    /// A timeout, a broken stream, a client that left: it may have run.
    InDoubt,
}

impl Upstream {
    /// Whether the call gets back what it spent: it surely was not executed, or failed as RPC.
    #[must_use]
    pub const fn refunds(self) -> bool {
        match self {
            Self::JsonRpcError | Self::HttpError | Self::Unreachable => true,
            Self::Success | Self::ToolError | Self::InDoubt => false,
        }
    }
}
