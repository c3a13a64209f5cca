//! The words for every key's bad values, word for word, in `tests/golden/settings-errors.txt`.
//! `RINGWIRE_BLESS=1 cargo test --lib cli` writes them anew: read the difference.

use std::fmt::Write;
use std::path::Path;

use super::super::effective::Effective;
use super::super::file;
use super::super::keys::{Form, KEYS, Key};
use crate::server::Config;

/// Values, as TOML, that this key must not take.
fn bad_values(key: &Key) -> Vec<String> {
    let texts: &[&str] = match &key.form {
        Form::Integer(bounds, _) | Form::PowerOfTwo(bounds, _) => {
            let mut values = vec![(bounds.end() + 1).to_string(), "\"7\"".into(), "1.5".into()];
            values.extend(bounds.start().checked_sub(1).map(|below| below.to_string()));
            if matches!(key.form, Form::PowerOfTwo(..)) {
                values.push((bounds.start() + 1).to_string());
            }
            return values;
        }
        Form::Addresses(_) => &["\"localhost:1\"", "[]", "[\"9001\"]", "[\"unix:\"]", "9001"],
        Form::AdminAddress(_) => &["\"0.0.0.0:9002\"", "\"localhost:9002\"", "9002"],
        Form::LogFilter(_) => &["\"loud\"", "\"ringwire=\"", "\"=info\"", "1"],
        Form::LogFormat(_) => &["\"xml\"", "\"Text\"", "1"],
        Form::Switch(_) => &["\"true\"", "1"],
        Form::Mode(_) => &["\"rw\"", "\"1000\"", "\"8\"", "432"],
        Form::Policy(_) | Form::NamespacePolicies(_) => &["\"drop\"", "\"Close\"", "true"],
    };
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Files whose values are each fine and do not go together.
const MISFITS: &[&str] = &[
    "[server]\nlisten = [\"127.0.0.1:9001\"]\nadmin = \"127.0.0.1:9001\"",
    "[server]\nlisten = [\"unix:/a\", \"unix:/a\"]",
    "[server]\nshards = 1\n\nmax_connections = 1_000_000",
    "[limits]\nrecv_buffers = 32768\nrecv_buffer_bytes = 1048576",
    "[limits]\nmessage_bytes_max = 2097152\negress_bytes_max = 1048576",
    "[server]\nshards = 4\n[limits]\negress_bytes_max = 1048576\negress_total_bytes_max = 1048576",
    "[server]\nshards = 4\n[limits]\ningress_total_bytes_max = 65536",
];

fn error_of(text: &str) -> String {
    let one_shard = Config { shards: 1, ..Config::default() };
    let outcome = file::parse(Path::new("ringwire.toml"), text).map_err(|e| e.to_string());
    let outcome = outcome
        .and_then(|settings| Effective::of(&settings, one_shard, None).map_err(|e| e.to_string()));
    outcome.map(drop).expect_err(text)
}

#[test]
fn every_bad_value_has_its_words() {
    let mut page = String::new();
    let mut case = |text: &str| {
        let shown = text.replace('\n', "\n    ");
        writeln!(page, "    {shown}\n{}\n", error_of(text)).expect("a string takes it");
    };
    for key in KEYS {
        let path = key.path();
        let (table, name) = path.rsplit_once('.').expect("a section and a name");
        for value in bad_values(key) {
            case(&format!("[{table}]\n{name} = {value}"));
        }
    }
    MISFITS.iter().for_each(|text| case(text));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/settings-errors.txt");
    if std::env::var_os("RINGWIRE_BLESS").is_some() {
        std::fs::write(path, &page).expect("the golden file is writable");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "other words than {path}; RINGWIRE_BLESS=1 writes it:\n{page}");
}
