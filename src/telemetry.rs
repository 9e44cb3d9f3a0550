//! Logs: `[log] level`, or `RUST_LOG` when it is set, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::LogLevel;

/// Starts logging, once per process. Events of other crates are shown from warn upward only:
/// their debug texts know nothing of our rule about numbers.
///
/// Warns when trace is on, because traces carry whole messages and so telephone numbers.
pub fn start(level: LogLevel) {
    let (filter, complaint) = filter(std::env::var("RUST_LOG").ok().as_deref(), level);
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written is lost; complaining about it on the same broken
        // standard error would panic, and a log's reader may go away while calls are up.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if started.is_err() {
        // A test or an embedding program has its own subscriber: it decides.
        return;
    }
    if let Some(complaint) = complaint {
        tracing::warn!("RUST_LOG is not usable ({complaint}); [log] level = {level} applies");
    }
    if LevelFilter::current() >= LevelFilter::TRACE {
        tracing::warn!(
            "trace is on: the log carries whole messages with the parties' telephone numbers; \
             set [log] level = \"debug\" or lower for normal operation"
        );
    }
}

/// The filter, and what was wrong with `RUST_LOG` when it could not be used.
fn filter(environment: Option<&str>, level: LogLevel) -> (EnvFilter, Option<String>) {
    let others = level.min(LogLevel::Warn);
    let ours = EnvFilter::new(format!("{others},callmask={level}"));
    match environment {
        None | Some("") => (ours, None),
        Some(text) => match EnvFilter::try_new(text) {
            Ok(filter) => (filter, None),
            Err(error) => (ours, Some(error.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_crates_stay_quiet() {
        let (shown, complaint) = filter(None, LogLevel::Debug);
        let shown = shown.to_string();
        assert!(
            shown.contains("callmask=debug") && shown.contains("warn"),
            "{shown}"
        );
        assert_eq!(complaint, None);
        let (shown, _) = filter(None, LogLevel::Error);
        assert_eq!(shown.to_string(), "callmask=error,error");
    }

    #[test]
    fn the_environment_wins_unless_it_is_broken() {
        let (shown, complaint) = filter(Some("info,callmask=trace"), LogLevel::Error);
        assert_eq!(
            (shown.to_string().as_str(), complaint),
            ("callmask=trace,info", None)
        );
        let (shown, complaint) = filter(Some("callmask=loud=x"), LogLevel::Error);
        assert!(complaint.is_some() && shown.to_string().contains("callmask=error"));
    }
}
