//! What `log.level` may be.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;

/// What is logged: a level for the daemon's own lines (`info`), and others for targets, in the form of `RUST_LOG`
/// (`info,incidentd::microsoft=debug`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLevels {
    pub own: LevelFilter,
    pub targets: Vec<(String, LevelFilter)>,
}

/// A part of a text that is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "log filter: {0:?} is neither a level (off, error, warn, info, debug, trace) nor target=level"
)]
pub struct NotALogLevel(String);

impl FromStr for LogLevels {
    type Err = NotALogLevel;

    fn from_str(text: &str) -> Result<Self, NotALogLevel> {
        let mut levels = Self {
            own: LevelFilter::INFO,
            targets: Vec::new(),
        };
        for part in text.split(',').map(str::trim) {
            let (target, level) = match part.split_once('=') {
                Some((target, level)) => (Some(target.trim()), level.trim()),
                None => (None, part),
            };
            // An empty text would be read as a level.
            let level = Some(level).filter(|level| !level.is_empty() && target != Some(""));
            let level = level.and_then(|level| level.parse().ok());
            let level = level.ok_or_else(|| NotALogLevel(part.to_owned()))?;
            match target {
                Some(target) => levels.targets.push((target.to_owned(), level)),
                None => levels.own = level,
            }
        }
        Ok(levels)
    }
}
