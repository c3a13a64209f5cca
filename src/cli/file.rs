//! The configuration file: TOML whose every key is known, with the line of whatever is wrong.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Form, KEYS, Key};
use super::nearest::{instead_of_key, instead_of_section, sections};
use super::origin::{Origin, SettingsError};
use super::settings::Settings;
use super::value::{bad_value, namespace_path, quoted, shown, store, store_namespace};
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// The settings of a file.
pub(super) fn read(path: &Path) -> Result<Settings, SettingsError> {
    let text = read_text(path)
        .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
    parse(path, &text)
}

impl Settings {
    /// What a file says.
    pub fn from_file(path: &Path) -> Result<Settings, SettingsError> {
        read(path)
    }

    /// What a file's text says; `path` is for messages only.
    pub fn from_text(path: &Path, text: &str) -> Result<Settings, SettingsError> {
        parse(path, text)
    }
}

/// The settings of a file's text; `path` is for messages only.
pub(super) fn parse(path: &Path, text: &str) -> Result<Settings, SettingsError> {
    let mut page = Page { path, text, settings: Settings::default() };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let problem = error.message().to_owned();
        SettingsError::Syntax { origin: page.origin(at), problem }
    })?;
    for (name, value) in in_order(table.get_ref()) {
        page.section(name, value)?;
    }
    Ok(page.settings)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(CONFIG_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_FILE_BYTES_MAX {
        let problem = format!("it has more than {CONFIG_FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}

type Name<'i> = Spanned<std::borrow::Cow<'i, str>>;
type Value<'i> = Spanned<DeValue<'i>>;

/// The entries as they stand in the file, so that the first thing that is wrong is what is told.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<(&'a Name<'i>, &'a Value<'i>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

struct Page<'a> {
    path: &'a Path,
    text: &'a str,
    settings: Settings,
}

impl Page<'_> {
    fn origin(&self, at: usize) -> Origin {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|octet| **octet == b'\n').count();
        Origin::File { path: self.path.to_owned(), line }
    }

    fn section(&mut self, name: &Name<'_>, value: &Value<'_>) -> Result<(), SettingsError> {
        let section = name.get_ref().as_ref();
        let Some(table) = value.get_ref().as_table() else {
            return Err(self.unknown(name, "key", &shown(section), instead_of_key("", section)));
        };
        if !sections().contains(&section) {
            let instead = instead_of_section(section);
            return Err(self.unknown(name, "section", &shown(section), instead));
        }
        if section == "namespaces" {
            return self.namespaces(table);
        }
        for (name, value) in in_order(table) {
            let key = self.key(section, section, name)?;
            let origin = self.origin(name.span().start);
            let values = self.texts(key, &key.path(), value, &origin)?;
            store(&mut self.settings, key, &values, &origin)?;
        }
        Ok(())
    }

    fn namespaces(&mut self, table: &DeTable<'_>) -> Result<(), SettingsError> {
        for (namespace, value) in in_order(table) {
            let path = format!("namespaces.{}", shown(namespace.get_ref()));
            let Some(table) = value.get_ref().as_table() else {
                let instead = "write a table [namespaces.NAME]".to_owned();
                return Err(self.unknown(namespace, "key", &path, instead));
            };
            for (name, value) in in_order(table) {
                let key = self.key("namespaces", &path, name)?;
                let origin = self.origin(name.span().start);
                let namespace = namespace.get_ref();
                let DeValue::String(policy) = value.get_ref() else {
                    let source = quoted(self.source(value.span()));
                    return Err(SettingsError::BadValue {
                        origin,
                        path: namespace_path(&shown(namespace)),
                        value: source,
                        allowed: "one of \"close\", \"drop_oldest\", \"conflate\"".to_owned(),
                    });
                };
                store_namespace(&mut self.settings, key, namespace, policy, &origin)?;
            }
        }
        Ok(())
    }

    /// The key of this name. `table` is the path of the table that it stands in, for a message.
    fn key(
        &self,
        section: &str,
        table: &str,
        name: &Name<'_>,
    ) -> Result<&'static Key, SettingsError> {
        let wanted = name.get_ref().as_ref();
        let found = KEYS.iter().find(|key| key.section == section && key.name == wanted);
        found.ok_or_else(|| {
            let path = format!("{table}.{}", shown(wanted));
            let instead = instead_of_key(section, wanted).replace("namespaces.NAME", table);
            self.unknown(name, "key", &path, instead)
        })
    }

    fn unknown(
        &self,
        name: &Name<'_>,
        what: &'static str,
        path: &str,
        instead: String,
    ) -> SettingsError {
        let origin = self.origin(name.span().start);
        SettingsError::Unknown { origin, what, path: path.to_owned(), instead }
    }

    /// The value as flags give it, or what is wrong with its type.
    fn texts(
        &self,
        key: &Key,
        path: &str,
        value: &Value<'_>,
        origin: &Origin,
    ) -> Result<Vec<String>, SettingsError> {
        let bad =
            |value: &Value<'_>| bad_value(key, path, &quoted(self.source(value.span())), origin);
        let string = |value: &Value<'_>| match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => Err(bad(value)),
        };
        match (&key.form, value.get_ref()) {
            (Form::Integer(..) | Form::PowerOfTwo(..), DeValue::Integer(integer)) => {
                let number = i128::from_str_radix(integer.as_str(), integer.radix());
                Ok(vec![number.map_err(|_| bad(value))?.to_string()])
            }
            (Form::Integer(..) | Form::PowerOfTwo(..), _) => Err(bad(value)),
            (Form::Switch(_), DeValue::Boolean(yes)) => Ok(vec![yes.to_string()]),
            (Form::Switch(_), _) => Err(bad(value)),
            (Form::Addresses(_), DeValue::Array(list)) => list.iter().map(string).collect(),
            (_, _) => Ok(vec![string(value)?]),
        }
    }

    fn source(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }
}
