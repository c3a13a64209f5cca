//! From the text of a value to what is stored: the same for flags, environment and file.

use std::net::SocketAddr;

use super::keys::{Form, Key};
use super::log::LogFormat;
use super::origin::{Origin, SettingsError};
use super::settings::Settings;
use crate::control::listen::AdminAddr;
use crate::limits::TOPIC_BYTES_MAX;
use crate::pubsub::policy::SlowConsumer;

/// Characters of a value that a message repeats.
const SHOWN_CHARS_MAX: usize = 80;
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Checks the values of one key and stores them. A key that is no list has one.
pub(super) fn store(
    settings: &mut Settings,
    key: &Key,
    values: &[String],
    origin: &Origin,
) -> Result<(), SettingsError> {
    let bad = |value: &str| bad_value(key, &key.path(), &quoted(value), origin);
    if let Form::NamespacePolicies(set) = key.form {
        for value in values {
            let (name, policy) = namespace_policy(value).ok_or_else(|| bad(value))?;
            settings.origins.insert(namespace_path(&name), origin.clone());
            set(settings, name, policy);
        }
        return Ok(());
    }
    if let Form::Addresses(set) = key.form {
        if let Some(value) = values.iter().find(|value| !is_listen_address(value)) {
            return Err(bad(value));
        }
        if values.is_empty() {
            return Err(bad_value(key, &key.path(), "an empty list", origin));
        }
        set(settings, values.to_vec());
    } else {
        for value in values {
            store_one(settings, key, value).ok_or_else(|| bad(value))?;
        }
    }
    settings.origins.insert(key.path(), origin.clone());
    Ok(())
}

/// Stores the policy of a namespace that has a table of its own.
pub(super) fn store_namespace(
    settings: &mut Settings,
    key: &Key,
    name: &str,
    policy: &str,
    origin: &Origin,
) -> Result<(), SettingsError> {
    let Ok(parsed) = policy.parse() else {
        let path = namespace_path(&shown(name));
        let allowed = SlowConsumer::ALL.map(SlowConsumer::name).join(", ");
        let value = quoted(policy);
        let allowed = format!("one of {allowed}");
        return Err(SettingsError::BadValue { origin: origin.clone(), path, value, allowed });
    };
    if !is_namespace(name) {
        return Err(bad_value(key, "the name of a namespace", &quoted(name), origin));
    }
    settings.origins.insert(namespace_path(name), origin.clone());
    settings.namespaces.insert(name.to_owned(), parsed);
    Ok(())
}

/// The error that a key's value is.
pub(super) fn bad_value(key: &Key, path: &str, value: &str, origin: &Origin) -> SettingsError {
    SettingsError::BadValue {
        origin: origin.clone(),
        path: path.to_owned(),
        value: value.to_owned(),
        allowed: key.allowed(),
    }
}

/// How a message repeats a value.
pub(super) fn quoted(value: &str) -> String {
    format!("`{}`", shown(value))
}

/// A value or a name as a message may hold it: not more of it than helps, and nothing that a
/// terminal obeys.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == SHOWN_CHARS_MAX {
            shown.push('\u{2026}');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A namespace's path in the file.
pub(super) fn namespace_path(name: &str) -> String {
    format!("namespaces.{name}.slow_consumer")
}

/// Stores what is no list; `None` when the key does not take it.
fn store_one(settings: &mut Settings, key: &Key, value: &str) -> Option<()> {
    match &key.form {
        Form::Integer(bounds, set) => {
            let number = integer(value).filter(|number| bounds.contains(number))?;
            set(settings, number);
        }
        Form::PowerOfTwo(bounds, set) => {
            let number = integer(value).filter(|number| bounds.contains(number))?;
            set(settings, Some(number).filter(|number| number.is_power_of_two())?);
        }
        Form::AdminAddress(set) => {
            set(settings, Some(value).filter(|value| is_admin_address(value))?.to_owned());
        }
        Form::LogFilter(set) => {
            set(settings, Some(value).filter(|value| is_log_filter(value))?.to_owned());
        }
        Form::Switch(set) => set(settings, value.parse().ok()?),
        Form::Mode(set) => {
            let digits = Some(value).filter(|value| value.bytes().all(|b| b.is_ascii_digit()))?;
            let mode = u32::from_str_radix(digits, 8).ok()?;
            set(settings, Some(mode).filter(|mode| *mode <= 0o777)?);
        }
        Form::LogFormat(set) => set(settings, LogFormat::named(value)?),
        Form::Policy(set) => set(settings, value.parse().ok()?),
        Form::Addresses(_) | Form::NamespacePolicies(_) => unreachable!("these are lists"),
    }
    Some(())
}

/// Decimal, maybe with `_` between digits as in the file.
fn integer(text: &str) -> Option<u64> {
    let strange = |part: &str| part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit());
    if text.split('_').any(strange) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// A path that can be told in a line of its own, and given to the kernel.
fn is_socket_path(path: &str) -> bool {
    !path.is_empty() && !path.contains(char::is_control)
}

fn is_listen_address(text: &str) -> bool {
    let path = text.strip_prefix("unix:");
    path.map_or_else(|| text.parse::<SocketAddr>().is_ok(), is_socket_path)
}

fn is_admin_address(text: &str) -> bool {
    let path = text.strip_prefix("unix:");
    path.map_or_else(|| text == "none" || text.parse::<AdminAddr>().is_ok(), is_socket_path)
}

/// Stricter than the filter's own grammar, in which a level with a slip is a target's name.
fn is_log_filter(text: &str) -> bool {
    text.split(',').all(|part| {
        let (target, level) = part.rsplit_once('=').unwrap_or(("*", part));
        let known = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level.trim()));
        known && !target.trim().is_empty() && !part.contains(char::is_control)
    })
}

fn namespace_policy(text: &str) -> Option<(String, SlowConsumer)> {
    let (name, policy) = text.split_once('=')?;
    let policy = policy.trim().parse().ok()?;
    let name = name.trim();
    is_namespace(name).then(|| (name.to_owned(), policy))
}

/// Some topic can have it: there is room for the colon and one more octet.
fn is_namespace(name: &str) -> bool {
    let fits = (1..TOPIC_BYTES_MAX - 1).contains(&name.len());
    fits && !name.contains(':') && !name.contains(char::is_control)
}
