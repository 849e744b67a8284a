//! What findings say that both audits have.

use crate::block::{Leads, Lock, LockKind, Nameless, StrayName};

pub(super) fn stale_lock(lock: &Lock) -> String {
    let Lock { owner, address, cookie, kind } = lock;
    match kind {
        LockKind::Exclusive => format!(
            "{owner} at {address} was writing to it and is gone, without giving back the lock. Whoever writes next \
             takes it over."
        ),
        LockKind::Advisory => format!(
            "{owner} at {address} has put a lock on it, \"{cookie}\", and does not have it open any more. Nobody \
             else can write to it or remove it."
        ),
    }
}

pub(super) fn stray_name(stray: &StrayName) -> String {
    let what = match &stray.leads {
        Leads::To(other) => format!("leads to {other}: a rename broke off"),
        Leads::Nowhere => "leads to no image: a removal broke off".to_owned(),
        Leads::Astray => "leads to another image than the pool's directory says, or to one that it does not \
            list"
            .to_owned(),
    };
    format!("The object rbd_id.{} {what}. No image can be given the name.", stray.name)
}

pub(super) fn nameless(left: &Nameless) -> String {
    format!(
        "{} belongs to an image that has no name, neither in the pool's directory nor in its trash: nobody can open or \
         remove it.",
        left.object
    )
}
