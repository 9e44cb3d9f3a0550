//! What a configuration error says: file, line, key, what was wrong, what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// A mistake in the configuration. Who erred: the person who wrote the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The file; `None` when the text came from nowhere in particular.
    pub file: Option<PathBuf>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The key with its section, as in `[sip] listen`; empty when the text is not TOML at all.
    pub key: String,
    /// What was wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Error {
    /// The file could not be read.
    pub(super) fn unreadable(path: &Path, why: &str) -> Error {
        Error {
            file: Some(path.to_owned()),
            line: None,
            key: String::new(),
            message: format!("cannot be read: {why}"),
            remedy: "check the path and its permissions".to_owned(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => write!(f, "configuration")?,
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

impl std::error::Error for Error {}
