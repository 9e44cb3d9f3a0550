//! Why a measurement cannot be taken. One text is enough: whoever reads it is at a terminal.

use std::fmt;

/// What went wrong and, where there is one, what to do.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// What the tool's functions return.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure with this text.
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl From<nix::errno::Errno> for Failure {
    fn from(error: nix::errno::Errno) -> Failure {
        Failure(error.to_string())
    }
}

/// Says what was attempted when it failed.
pub(crate) trait Doing<T> {
    /// Puts `what` before the error's own text.
    fn doing(self, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}
