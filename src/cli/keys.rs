//! The catalog of what an operator may set: one entry gives the flag, the environment variable, the
//! key of the file, the help, the bounds and the row of `docs/configuration.md`.
//!
//! Invariant K1: a value that an entry's form accepts fits the type that it is stored as.

use std::ops::RangeInclusive;

pub use super::catalog::KEYS;
use super::effective::Effective;
use super::log::LogFormat;
use super::settings::Settings;
use crate::pubsub::policy::SlowConsumer;

/// Something that may be set.
#[derive(Debug)]
pub struct Key {
    /// The table of the file that it stands in.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// The flag, without the dashes.
    pub flag: &'static str,
    /// What the flag's value is called in the help.
    pub value_name: &'static str,
    /// What it counts in, or nothing.
    pub unit: &'static str,
    /// What it takes and where that goes.
    pub form: Form,
    /// Whether a reload changes it.
    pub reload: Reload,
    /// What is in force, as the file would say it.
    pub shown: fn(&Effective) -> String,
    /// What holds when it is not set.
    pub default: Default,
    /// What it means.
    pub help: &'static str,
}

/// When a new value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// At a reload.
    Live,
    /// At the next start.
    Restart,
}

/// What holds when a key is not set.
#[derive(Debug)]
pub enum Default {
    /// This number.
    Number(u64),
    /// This text, or a description of what is done.
    Text(&'static str),
}

/// What a key takes, and where it is stored.
#[derive(Debug)]
pub enum Form {
    /// A number within bounds.
    Integer(RangeInclusive<u64>, fn(&mut Settings, u64)),
    /// A power of two within bounds.
    PowerOfTwo(RangeInclusive<u64>, fn(&mut Settings, u64)),
    /// A list of addresses for clients.
    Addresses(fn(&mut Settings, Vec<String>)),
    /// The address of the admin interface, or `none`.
    AdminAddress(fn(&mut Settings, String)),
    /// A filter of log events.
    LogFilter(fn(&mut Settings, String)),
    /// How the log is written.
    LogFormat(fn(&mut Settings, LogFormat)),
    /// Yes or no. The flag alone says yes.
    Switch(fn(&mut Settings, bool)),
    /// Permissions of a file, in octal digits.
    Mode(fn(&mut Settings, u32)),
    /// What becomes of slow consumers.
    Policy(fn(&mut Settings, SlowConsumer)),
    /// The same for one namespace: `NAME=POLICY` in flags and the environment.
    NamespacePolicies(fn(&mut Settings, String, SlowConsumer)),
}

impl Key {
    /// Its name in messages and documentation.
    pub fn path(&self) -> String {
        match self.form {
            Form::NamespacePolicies(_) => format!("{}.NAME.{}", self.section, self.name),
            Form::Integer(..)
            | Form::PowerOfTwo(..)
            | Form::Addresses(_)
            | Form::AdminAddress(_)
            | Form::LogFilter(_)
            | Form::LogFormat(_)
            | Form::Switch(_)
            | Form::Mode(_)
            | Form::Policy(_) => format!("{}.{}", self.section, self.name),
        }
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("RINGWIRE_{}_{}", self.section, self.name).to_ascii_uppercase()
    }

    /// Whether it takes several values.
    pub fn is_list(&self) -> bool {
        matches!(self.form, Form::Addresses(_) | Form::NamespacePolicies(_))
    }

    /// What of it differs between two configurations: its path, what was, what is.
    pub fn difference(&self, before: &Effective, after: &Effective) -> Option<[String; 3]> {
        let (was, is) = ((self.shown)(before), (self.shown)(after));
        (was != is).then(|| [self.path(), was, is])
    }

    /// What it takes, for people.
    pub fn allowed(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        match &self.form {
            Form::Integer(bounds, _) => {
                format!("an integer from {} to {}{unit}", bounds.start(), bounds.end())
            }
            Form::PowerOfTwo(bounds, _) => {
                format!("a power of two from {} to {}{unit}", bounds.start(), bounds.end())
            }
            Form::Addresses(_) => {
                "an IP address with a port, such as 127.0.0.1:9001 or [::]:9001, or unix:/path"
                    .to_owned()
            }
            Form::AdminAddress(_) => {
                "a loopback address with a port, such as 127.0.0.1:9002, unix:/path, or none"
                    .to_owned()
            }
            Form::LogFilter(_) => "off, error, warn, info, debug or trace, or a list of \
                                   target=level with commas between them"
                .to_owned(),
            Form::LogFormat(_) => "auto, text, json or journal".to_owned(),
            Form::Switch(_) => "true or false".to_owned(),
            Form::Mode(_) => "octal digits of permissions, such as 0660".to_owned(),
            Form::Policy(_) => "close, drop_oldest or conflate".to_owned(),
            Form::NamespacePolicies(_) => {
                "NAME=POLICY, where NAME has no colon and POLICY is close, drop_oldest or conflate"
                    .to_owned()
            }
        }
    }

    /// What holds when it is not set, for people.
    pub fn default_text(&self) -> String {
        match self.default {
            Default::Number(number) => number.to_string(),
            Default::Text(text) => text.to_owned(),
        }
    }
}
