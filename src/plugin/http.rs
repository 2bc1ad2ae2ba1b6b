//! The host's view of a [`Stream`]: its callbacks, and that something else may reach it too, where it is held.

use super::hall::Hall;
use super::stream::Stream;
use crate::config::Gate;
use crate::recent::Recent;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::cell::{RefCell, RefMut};
use std::rc::Rc;

pub(super) struct Http(Rc<RefCell<Stream>>);

impl Http {
    pub(super) fn new(id: u32, gate: Option<Rc<Gate>>, recent: Rc<Recent>, hall: Rc<Hall>) -> Self {
        Self(Rc::new_cyclic(|this| RefCell::new(Stream::new(id, this.clone(), gate, recent, hall))))
    }

    /// The host calls nothing within a call of ours; if it did, the stream would be held.
    fn with(&self, act: impl FnOnce(RefMut<'_, Stream>) -> Action) -> Action {
        self.0.try_borrow_mut().map_or(Action::Pause, act)
    }
}

impl Context for Http {
    fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        if let Ok(mut stream) = self.0.try_borrow_mut() {
            stream.on_grpc_call_response(token, status, size);
        }
    }
}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        self.with(|mut stream| stream.on_http_request_headers(end_of_stream))
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.with(|mut stream| stream.on_http_request_body(size, end_of_stream))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.with(|mut stream| stream.on_http_request_trailers())
    }

    fn on_http_response_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        self.with(|mut stream| stream.on_http_response_headers(end_of_stream))
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.with(|mut stream| stream.on_http_response_body(size, end_of_stream))
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.with(|mut stream| stream.on_http_response_trailers())
    }

    fn on_log(&mut self) {
        if let Ok(mut stream) = self.0.try_borrow_mut() {
            stream.on_log();
        }
    }
}
