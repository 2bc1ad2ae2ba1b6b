//! What a page calls. It asks [`playground_buffer`] for room, writes its request there in UTF-8, and has
//! [`playground_answer`] tell where the answer is.
//!
//! No pointer of the page's is ever followed: it only says which buffer it means, and both buffers are this module's own.

#![allow(unsafe_code)]

use super::answer;
use std::cell::RefCell;

thread_local! {
    static REQUEST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Stays until the next one, so that the page can read it.
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Room for a request of `length` bytes, until the answer to it is asked for.
// SAFETY: no other function of this name is linked; the prefix is the module's own.
#[unsafe(no_mangle)]
pub extern "C" fn playground_buffer(length: usize) -> *mut u8 {
    let mut buffer = vec![0; length];
    let start = buffer.as_mut_ptr();
    REQUEST.set(buffer);
    start
}

/// Answers the request of `length` bytes at `start`, which [`playground_buffer`] gave: the upper half is the answer's
/// place, the lower its length. It stays there until the next answer; the memory may have grown.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub extern "C" fn playground_answer(start: *const u8, length: usize) -> u64 {
    let request = REQUEST.take();
    let is_meant = std::ptr::eq(request.as_ptr(), start);
    let request = request.get(..length).filter(|_| is_meant).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let bytes = answer(request.unwrap_or_default()).into_bytes();
    // Addresses and lengths have 32 bits here.
    let packed = (bytes.as_ptr() as u64) << 32 | bytes.len() as u64;
    ANSWER.set(bytes);
    packed
}
