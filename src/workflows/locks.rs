//! One at a time, by the name of an image on a pool: for work that reads an image's lineage and then changes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Orders the jobs of one process. Between processes the pool itself decides: every step bears to find its work
/// done by someone else.
#[derive(Debug, Default)]
pub(super) struct Locks(StdMutex<HashMap<String, Weak<Mutex<()>>>>);

impl Locks {
    pub(super) async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match locks.get(name).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    locks.retain(|_, lock| lock.strong_count() > 0);
                    let lock = Arc::new(Mutex::new(()));
                    locks.insert(name.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}
