//! Keeps `docs/configuration.md` equal to the catalog. `RINGWIRE_BLESS=1 cargo test cli` writes it.

use std::fmt::Write;

use super::keys::{KEYS, Key};
use super::nearest::sections;

const HEAD: &str = "# Configuration

`ringwire serve` and `ringwire echo` run on safe defaults with no argument at all. Everything that
can be set has a flag, an environment variable and a key in the configuration file. When several
say something, the order is: flag, environment, file, default.

The file is TOML. It is named by `--config FILE` or by `RINGWIRE_CONFIG`; no file is read otherwise.
An unknown key is an error that names the nearest known one, and a bad value is an error that says
where it came from and what would do.

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
the default is `ws://127.0.0.1:9001/ws`. `unix:/path` connects to a Unix socket.

This page is generated from `src/cli/keys.rs`; after a change there, write it anew with
`RINGWIRE_BLESS=1 cargo test --lib cli`.

";

fn row(key: &Key) -> String {
    let list = match (key.is_list(), key.section) {
        (true, "server") => " (a list)",
        (true, _) => " (a table for each namespace; the flag as often as needed)",
        (false, _) => "",
    };
    format!(
        "### `{}`\n\n{}{list}.\n\n- takes: {}\n- default: {}\n- flag: `--{} {}`\n- \
         environment: `{}`\n\n",
        key.path(),
        key.help,
        key.allowed(),
        key.default_text(),
        key.flag,
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
