//! A filter that does nothing: what any plugin written with the SDK costs, and so the floor of ours.

#![cfg_attr(target_os = "wasi", allow(unsafe_code, missing_docs))]

#[cfg(target_os = "wasi")]
mod filter {
    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::ContextType;

    struct DoNothing;

    impl Context for DoNothing {}
    impl HttpContext for DoNothing {}
    impl RootContext for DoNothing {
        fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
            Some(Box::new(DoNothing))
        }

        fn get_type(&self) -> Option<ContextType> {
            Some(ContextType::HttpContext)
        }
    }

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(DoNothing));
    }}
}
