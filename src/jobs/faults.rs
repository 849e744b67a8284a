//! Places where tests make a job fail, repeat itself, or die.

use std::sync::Arc;

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

/// The service's own: none. A debug build dies where a test wants it to.
pub fn faults_of_a_service() -> Arc<dyn Faults> {
    #[cfg(debug_assertions)]
    if let Some(folder) = std::env::var_os("PUMICE_TEST_DEATHS") {
        return Arc::new(deaths::Deaths::new(folder.into()));
    }
    Arc::new(NoFaults)
}

pub struct NoFaults;

impl Faults for NoFaults {
    fn at(&self, _: &Run, _: Moment) -> Fault {
        Fault::None
    }
}

#[cfg(debug_assertions)]
mod deaths {
    use std::fs::File;
    use std::path::PathBuf;

    use super::{Fault, Faults, Moment};
    use crate::jobs::Run;

    /// While there is a folder `armed` the process dies at the next moment that none died at before: the moments are
    /// the files in it. `passed` has those that were passed, whether or not somebody died.
    pub(super) struct Deaths {
        folder: PathBuf,
    }

    impl Deaths {
        pub(super) fn new(folder: PathBuf) -> Self {
            Self { folder }
        }
    }

    impl Faults for Deaths {
        fn at(&self, run: &Run, moment: Moment) -> Fault {
            let name = match moment {
                Moment::Before(step) => format!("{}.{step}.before", run.kind),
                Moment::After(step) => format!("{}.{step}.after", run.kind),
                Moment::Undo(step) => format!("{}.{step}.undo", run.kind),
            };
            // For a report: it may lack some.
            let _ = File::create(self.folder.join("passed").join(&name));
            if File::create_new(self.folder.join("armed").join(&name)).is_ok() {
                std::process::abort();
            }
            Fault::None
        }
    }
}
