//! The log: where it goes, in which form, and how it is changed while the server runs.
//!
//! It goes to standard error, which a terminal, a file, a container or the journal reads. The
//! journal is told the level of each line (sd-daemon(3)) and adds the time itself.

use std::fmt;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};

use super::CliError;
use crate::control::log_limit::LogLimit;
use crate::limits::LOG_WINDOW_MS;

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// [`LogFormat::Journal`] where the journal reads, else [`LogFormat::Text`].
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// A JSON object in each line.
    Json,
    /// Lines with their level as the journal wants it, without a time.
    Journal,
}

impl LogFormat {
    /// Each with its name in the configuration.
    pub const NAMES: [(&'static str, LogFormat); 4] = [
        ("auto", LogFormat::Auto),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
        ("journal", LogFormat::Journal),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let named = LogFormat::NAMES.iter().find(|(_, format)| *format == self);
        named.expect("each has one").0
    }

    /// The format of this name.
    pub fn named(name: &str) -> Option<LogFormat> {
        LogFormat::NAMES.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }
}

/// The log of this process.
#[derive(Clone)]
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Begins to log what `filter` lets through.
    pub fn start(filter: &str, format: LogFormat) -> Result<Log, CliError> {
        let (filter, handle) = reload::Layer::new(parse(filter)?);
        let limit = LogLimit::default();
        let layer = layer(format, std::io::stderr).with_filter(limit.clone());
        let subscriber = tracing_subscriber::registry().with(filter).with(layer);
        // A second subscriber in one process (tests) is not worth a failure.
        if subscriber.try_init().is_ok() {
            let thread = std::thread::Builder::new().name("ringwire-log".into());
            thread.spawn(move || tell_left_out(&limit)).map_err(CliError::runtime)?;
        }
        Ok(Log { filter: handle })
    }

    /// Logs from now on what this filter lets through; says what is wrong with it otherwise.
    pub fn set_filter(&self, filter: &str) -> Result<(), CliError> {
        self.filter.reload(parse(filter)?).map_err(CliError::runtime)
    }
}

fn parse(filter: &str) -> Result<EnvFilter, CliError> {
    EnvFilter::try_new(filter).map_err(CliError::usage)
}

fn tell_left_out(limit: &LogLimit) -> ! {
    loop {
        std::thread::sleep(Duration::from_millis(LOG_WINDOW_MS));
        for left_out in limit.take_left_out(Instant::now()) {
            let (events, place) = (left_out.events, left_out.place);
            tracing::warn!(events, place, "log events were left out");
        }
    }
}

fn layer<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Auto if is_read_by_the_journal() => journal(lines),
        LogFormat::Auto | LogFormat::Text => {
            lines.with_ansi(std::io::stderr().is_terminal()).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Journal => journal(lines),
    }
}

fn journal<S, N, E, W>(
    lines: tracing_subscriber::fmt::Layer<S, N, E, W>,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + Send + Sync + 'static,
    E: Send + Sync + 'static,
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let rest = Format::default().without_time().with_level(false).with_ansi(false);
    lines.with_ansi(false).event_format(JournalLines(rest)).boxed()
}

/// Lines that begin with their level as syslog numbers it.
struct JournalLines(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for JournalLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{level}>")?;
        self.0.format_event(context, writer, event)
    }
}

/// `JOURNAL_STREAM` names the socket that the journal has given us as standard error; a process
/// that redirects it inherits the variable all the same.
fn is_read_by_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let ours = std::fs::metadata("/proc/self/fd/2");
    ours.is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").write(octets)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::registry().with(layer(format, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(shard = 3, "broken");
            tracing::info!(open = 7, "fine");
        });
        let octets = kept.0.lock().expect("not poisoned").clone();
        String::from_utf8(octets).expect("text")
    }

    #[test]
    fn the_journal_is_told_the_level_and_no_time() {
        let lines = written(LogFormat::Journal);
        let module = "ringwire::cli::log::tests";
        let expected = format!("<3>{module}: broken shard=3\n<6>{module}: fine open=7\n");
        assert_eq!(lines, expected);
    }

    #[test]
    fn json_is_one_object_in_each_line_with_the_fields_at_its_top() {
        let lines = written(LogFormat::Json);
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!((lines.len(), &lines[0]["level"]), (2, &"ERROR".into()));
        assert_eq!((&lines[0]["message"], &lines[0]["shard"]), (&"broken".into(), &3.into()));
    }

    #[test]
    fn text_has_a_time_a_level_and_the_fields() {
        let text = written(LogFormat::Text);
        assert!(text.contains(" ERROR ringwire::cli::log::tests: broken shard=3\n"), "{text:?}");
    }

    #[test]
    fn names_and_formats_are_one_to_one() {
        for (name, format) in LogFormat::NAMES {
            assert_eq!((LogFormat::named(name), format.name()), (Some(format), name));
        }
        assert_eq!(LogFormat::named("xml"), None);
    }
}
