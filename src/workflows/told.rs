//! What one step of a workflow tells a later one.

use std::sync::{Mutex, PoisonError};

/// It is replaced as a whole: a panic leaves nothing half made.
#[derive(Default)]
pub(super) struct Told<T>(Mutex<T>);

impl<T: Clone> Told<T> {
    pub(super) fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    pub(super) fn get(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
