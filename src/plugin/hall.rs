//! Where a worker's calls are held while a person is asked. The host has no timer for a stream, so the root context looks
//! after all of them.

use super::host::{self, SharedData};
use super::stream::Stream;
use crate::approvals::book::Waiting;
use crate::exchange::Room;
use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// A stream; one that is gone upgrades to nothing.
type Guest = Weak<RefCell<Stream>>;

pub(super) struct Hall {
    room: Rc<Room>,
    held: RefCell<Vec<Guest>>,
    /// Those that go on, but for a call to the rate limit service that was made from here and so is answered here.
    asking: RefCell<Vec<(u32, Guest)>>,
}

impl Hall {
    /// For at most so many calls at a time.
    pub(super) fn new(places: usize) -> Self {
        Self { room: Rc::new(Room::new(places)), held: RefCell::default(), asking: RefCell::default() }
    }

    pub(super) fn room(&self) -> Rc<Room> {
        Rc::clone(&self.room)
    }

    pub(super) fn enter(&self, guest: Guest) {
        self.held.borrow_mut().push(guest);
    }

    /// Lets those go on whose wait is over. `own`: the root context's number, which the host takes for meant again.
    pub(super) fn look(&self, own: u32) {
        self.asking.borrow_mut().retain(|(_, guest)| guest.strong_count() > 0);
        let guests = self.held.take();
        if guests.is_empty() {
            return;
        }
        // Where it cannot be read, each waits for its time to run out, and then finds out for itself.
        let (waiting, now) = (Waiting::read(&mut SharedData).ok(), host::now());
        let mut rest = Vec::new();
        for guest in guests {
            let Some(stream) = guest.upgrade() else { continue };
            let Ok(mut stream) = stream.try_borrow_mut() else { continue };
            if stream.is_awaited(waiting.as_ref(), now) {
                rest.push(guest);
            } else if host::mean(stream.id()).is_ok() {
                stream.hold_ended();
                if let Some(call) = stream.call() {
                    self.asking.borrow_mut().push((call, guest));
                }
            }
        }
        self.held.borrow_mut().append(&mut rest);
        // The root context cannot be gone while it is called.
        let _ = host::mean(own);
    }

    /// The rate limit service has answered a call that was made from here.
    pub(super) fn answered(&self, call: u32, status: u32, size: usize) {
        let mut found = None;
        self.asking.borrow_mut().retain(|(other, guest)| {
            if *other == call {
                found = guest.upgrade();
            }
            *other != call && guest.strong_count() > 0
        });
        let Some(stream) = found else { return };
        let Ok(mut stream) = stream.try_borrow_mut() else { return };
        if host::mean(stream.id()).is_ok() {
            stream.on_grpc_call_response(call, status, size);
        }
    }
}
