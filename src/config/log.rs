use tracing_subscriber::EnvFilter;

use super::faults::Faults;
use super::section::section;
use super::values::LogFormat;

section! {
    /// What the service says while it runs, on standard error.
    pub struct Log = "log" {
        /// `text` for people, `json` (an object a line) for machines.
        pub format: LogFormat = LogFormat::Text, "none";
        /// What is said: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels a module, such as
        /// `info,pumice::jobs=debug`.
        pub filter: String = "info".into(), "none";
    }
}

impl Log {
    pub(super) fn check(&self, faults: &mut Faults) {
        let fits = !self.filter.is_empty() && EnvFilter::try_new(&self.filter).is_ok();
        let rule = "must be a level, or levels a module";
        faults.require(fits, "log.filter", rule, format_args!("{:?}", self.filter));
    }
}
