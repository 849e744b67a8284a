//! Calls that nobody waits for any more, and that go on: librbd has no way to stop one. When the cluster comes back, such a
//! call does the rest of its work, or cleans up after itself, and would undo what others did with the image meanwhile.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The calls under way that make, name or remove images, by the names of these.
#[derive(Clone, Debug, Default)]
pub(super) struct Late(Arc<Mutex<HashMap<String, Vec<Weak<Call>>>>>);

#[derive(Debug)]
struct Call {
    is_waited_for: AtomicBool,
}

/// Held by whoever waits for the call.
pub(super) struct Waiting(Arc<Call>);

/// Held by the call, as long as it goes on.
pub(super) struct Running(#[expect(dead_code, reason = "it is only held")] Arc<Call>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.is_waited_for.store(false, Ordering::SeqCst);
    }
}

impl Late {
    /// `None`: another call about it still goes on, which was given up.
    pub(super) fn begin(&self, image: &str) -> Option<(Waiting, Running)> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.retain(|_, calls| {
            calls.retain(|call| call.strong_count() > 0);
            !calls.is_empty()
        });
        let of_image = calls.entry(image.to_owned()).or_default();
        let is_given_up = |call: Arc<Call>| !call.is_waited_for.load(Ordering::SeqCst);
        if of_image.iter().filter_map(Weak::upgrade).any(is_given_up) {
            return None;
        }
        let call = Arc::new(Call { is_waited_for: AtomicBool::new(true) });
        of_image.push(Arc::downgrade(&call));
        Some((Waiting(call.clone()), Running(call)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_given_up_is_in_the_way_until_the_end() {
        let late = Late::default();
        let (waiting, running) = late.begin("a").unwrap();
        // Two whom somebody waits for may meet: librbd sees to that.
        drop(late.begin("a").unwrap());
        drop(waiting);
        assert!(late.begin("a").is_none());
        assert!(late.begin("b").is_some());
        drop(running);
        assert!(late.begin("a").is_some());
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let late = Late::default();
        for number in 0..10 {
            late.begin(&number.to_string()).unwrap();
        }
        assert_eq!(late.0.lock().unwrap().len(), 1);
    }
}
