//! Keeps `docs/configuration.md` equal to the catalog. `RINGWIRE_BLESS=1 cargo test cli` writes it.

use std::fmt::Write;

use super::keys::{Form, KEYS, Key, Reload};
use super::nearest::sections;

const HEAD: &str = "# Configuration

`ringwire serve` and `ringwire echo` run on safe defaults with no argument at all. Everything that
can be set has a flag, an environment variable and a key in the configuration file. When several
say something, the order is: flag, environment, file, default.

The file is TOML. It is named by `--config FILE` or by `RINGWIRE_CONFIG`; no file is read otherwise.
An unknown key is an error that names the nearest known one; a bad value, and values that do not go
together, are errors that say where they came from, with file and line, and what would do.

- `ringwire config check` says whether `serve` would take the settings; the exit code is 2 if not.
- `ringwire config show` prints all keys as a file, each with where its value came from.
- `ringwire config plan` prints the memory that the limits allow, part by part with the keys that
  each follows from, and compares the sum with the host's memory or its control group's.

All three take `--config FILE` and the flags of `serve`. A server whose limits allow more memory
than there is does not start, and says which parts are largest; `--allow-overcommit` starts it all
the same.

`SIGHUP` and `POST /v1/reload` read everything anew ([admin.md](admin.md)). Nobody is disconnected
for it: who is over a limit that was lowered stays, and a heartbeat that is due already keeps its
time. Keys that need a restart are told in the log and in the answer. A configuration that can't be
taken changes nothing.

```toml
[server]
listen = [\"0.0.0.0:9001\", \"unix:/run/ringwire/clients.sock\"]
max_connections = 100_000

[heartbeat]
interval_ms = 25_000

[namespaces.ticks]
slow_consumer = \"conflate\"
```

In the environment a list has commas between its entries, and an empty variable counts as not set.
A list is taken whole from the first place that has it; policies of namespaces are taken one by one.
Numbers may have `_` between their digits.

`ringwire publish` and `ringwire subscribe` take the server's URL from `--url` or `RINGWIRE_URL`;
the default is `ws://127.0.0.1:9001/ws`. `ringwire top` takes that of the admin interface from
`--admin` or `RINGWIRE_ADMIN_URL`; the default is `http://127.0.0.1:9002`. `unix:/path` connects
to a Unix socket.

This page is generated from `src/cli/catalog.rs`; after a change there, write it anew with
`RINGWIRE_BLESS=1 cargo test --lib cli`.

";

fn row(key: &Key) -> String {
    let list = match (key.is_list(), key.section) {
        (true, "server") => " (a list)",
        (true, _) => " (a table for each namespace; the flag as often as needed)",
        (false, _) => "",
    };
    format!(
        "### `{}`\n\n{}{list}.\n\n- takes: {}\n- default: {}\n- a change takes effect: {}\n- \
         flag: `--{}{}{}`\n- environment: `{}`\n\n",
        key.path(),
        key.help,
        key.allowed(),
        key.default_text(),
        match key.reload {
            Reload::Live => "at a reload",
            Reload::Restart => "at the next start",
        },
        key.flag,
        if matches!(key.form, Form::Switch(_)) { "=" } else { " " },
        key.value_name,
        key.variable(),
    )
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in sections() {
        writeln!(page, "## [{section}]\n").expect("a string takes it");
        for key in KEYS.iter().filter(|key| key.section == section) {
            page.push_str(&row(key));
        }
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

#[test]
fn the_documented_keys_are_those_of_the_catalog() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = page();
    if std::env::var_os("RINGWIRE_BLESS").is_some() {
        std::fs::write(path, &page).expect("docs/configuration.md is writable");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "stale docs/configuration.md: RINGWIRE_BLESS=1 cargo test --lib cli");
}
