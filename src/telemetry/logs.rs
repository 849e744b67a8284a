//! Log lines on standard error, as text for people or as JSON for machines.
//!
//! A line reads alone; what can be searched for stands in dotted fields with units, such as `volume.id` or
//! `transfer.size_bytes`. A failure is logged once, where it is handled. No secret is ever logged.

use std::io::{self, IsTerminal};

use anyhow::{Context, anyhow};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::reload::Handle;

use super::levels::{RELOAD, Reload};
use crate::config::{Log, LogFormat};

/// Starts logging for the whole process. Fails when it was started before.
pub fn init(log: &Log) -> anyhow::Result<()> {
    let (lines, reload) = subscriber(log, io::stderr().is_terminal(), io::stderr)?;
    tracing::subscriber::set_global_default(lines).context("logging was already started")?;
    // Nobody else starts it.
    let _ = RELOAD.set(reload);
    Ok(())
}

type Lines = (Box<dyn Subscriber + Send + Sync>, Box<Reload>);

/// Makes what turns events into lines, and what gives it another filter.
fn subscriber<W>(log: &Log, colours: bool, writer: W) -> anyhow::Result<Lines>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::try_new(&log.filter).map_err(|error| anyhow!("log.filter cannot be used: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match log.format {
        LogFormat::Text => {
            let lines = lines.with_ansi(colours).with_filter_reloading();
            let reload = reloading(lines.reload_handle());
            (Box::new(lines.finish()), reload)
        }
        // Fields of the event stand at the top; those of the spans around it (request, job) in `spans`.
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false).with_filter_reloading();
            let reload = reloading(lines.reload_handle());
            (Box::new(lines.finish()), reload)
        }
    })
}

fn reloading<S: 'static>(handle: Handle<EnvFilter, S>) -> Box<Reload> {
    Box::new(move |filter| Ok(handle.reload(filter)?))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = Log { format, filter: "info".into() };
        let (subscriber, reload) = subscriber(&log, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let _job = tracing::info_span!("job", job.id = "j1").entered();
            let volume = || tracing::debug!(volume.id = "v1", "volume created");
            volume();
            reload(EnvFilter::new("debug")).unwrap();
            volume();
            reload(EnvFilter::new("info")).unwrap();
            volume();
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_json_line_is_one_object_with_the_fields_and_the_spans() {
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!(line["message"], "volume created");
        assert_eq!(line["level"], "DEBUG");
        assert_eq!(line["volume.id"], "v1");
        assert_eq!(line["spans"][0]["job.id"], "j1");
    }

    #[test]
    fn a_text_line_reads_alone() {
        let line = logged(LogFormat::Text);
        assert_eq!(line.lines().count(), 1, "{line}");
        for part in ["DEBUG", "volume created", "volume.id=\"v1\"", "job.id=\"j1\""] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}
