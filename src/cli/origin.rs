//! Where a setting came from, and what can be wrong with it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag, named without its dashes.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(String),
    /// A line of a file, counted from 1.
    File {
        /// As it was given.
        path: PathBuf,
        /// The line.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "--{flag}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// Why settings can't be taken, and what would do.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can't be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no TOML.
    #[error("{origin}: {problem}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        problem: String,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown {what} `{path}`; {instead}")]
    Unknown {
        /// Where.
        origin: Origin,
        /// A key or a section.
        what: &'static str,
        /// Its name.
        path: String,
        /// The nearest known one, or all that there are.
        instead: String,
    },
    /// A value that its key does not take.
    #[error("{origin}: {path} cannot be {value}; it takes {allowed}")]
    BadValue {
        /// Where.
        origin: Origin,
        /// The key.
        path: String,
        /// The value as it was given.
        value: String,
        /// What would do.
        allowed: String,
    },
}
