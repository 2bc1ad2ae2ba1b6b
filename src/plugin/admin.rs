//! One HTTP stream of the admin side: callbacks → [`Visit`] → a reply of our own. Nothing of it ever goes upstream.

use super::host::{self, HostError, SharedData};
use crate::admin::{Side, Visit};
use crate::exchange::Reply;
use log::error;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};
use std::rc::Rc;

pub(super) struct AdminHttp {
    visit: Visit,
    /// Bytes of the request's body that the host holds.
    bytes: usize,
    is_answered: bool,
}

impl AdminHttp {
    pub(super) fn new(side: Rc<Side>) -> Self {
        Self { visit: Visit::new(side), bytes: 0, is_answered: false }
    }

    fn whole(&mut self) -> Result<Option<Reply>, HostError> {
        let body = host::buffer(BufferType::HttpRequestBody, self.bytes)?;
        Ok(Some(self.visit.whole(&body, host::now(), &mut SharedData)))
    }

    /// What is not answered is held, until Envoy's own timeout ends it.
    fn act(&mut self, result: Result<Option<Reply>, HostError>) -> Action {
        let sent = result.and_then(|reply| match reply.filter(|_| !self.is_answered) {
            Some(reply) => {
                self.is_answered = true;
                host::reply(&reply)
            }
            None => Ok(()),
        });
        if let Err(failure) = sent {
            error!("host call failed: {failure:?}");
        }
        Action::Pause
    }
}

impl Context for AdminHttp {}

impl HttpContext for AdminHttp {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let headers = host::headers(MapType::HttpRequestHeaders);
        let result = headers.map(|headers| self.visit.headers(&headers, end_of_stream, host::now(), &mut SharedData));
        self.act(result)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.bytes = size;
        let result = if self.is_answered {
            Ok(None)
        } else if end_of_stream {
            self.whole()
        } else {
            Ok(self.visit.grows(size))
        };
        self.act(result)
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        let result = if self.is_answered { Ok(None) } else { self.whole() };
        self.act(result)
    }
}
