//! Places where tests make a job fail, repeat itself, or die.

use super::Run;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Before(&'static str),
    After(&'static str),
    Undo(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The step fails for good, without having run.
    Fail,
    /// The step runs twice.
    Repeat,
    /// The process dies: nothing is written any more.
    Crash,
}

pub trait Faults: Send + Sync {
    fn at(&self, run: &Run, moment: Moment) -> Fault;
}

/// The service's own: none.
pub struct NoFaults;

impl Faults for NoFaults {
    fn at(&self, _: &Run, _: Moment) -> Fault {
        Fault::None
    }
}
