//! Bad snippets for each check, with good ones beside them: proof that the checks can fail, and
//! that they do not cry wolf.

use std::path::Path;

use crate::checks::{
    columns, file_length, foreign_names, header, layers, leftovers, markdown_links, named_metrics,
    named_tests, safety_is_specific, unsafe_places, unused_permission,
};
use crate::source::code_only;
use crate::tables::{FILE_LINES_MAX, REGISTRY_HOSTS};

fn file(path: &str, text: &str) -> (String, String) {
    (path.to_owned(), text.to_owned())
}

#[test]
fn an_import_from_above_or_beside_is_noticed() {
    for (path, text) in [
        ("src/ws/close.rs", "use crate::ring::op::Op;"),
        ("src/ring/driver.rs", "use crate::ws::Fault;"),
        ("src/base/ids.rs", "fn f() -> crate::conn::Conn { todo() }"),
        ("src/conn/egress.rs", "use crate::metrics::Metric;"),
        ("src/conn/egress.rs", "use crate::{base::Tick, ring::driver::Driver};"),
        ("src/conn/egress.rs", "use crate::ring::{Op, driver};"),
        ("src/conn/egress.rs", "use crate::ring;"),
        ("src/conn/egress.rs", "use crate::ring::*;"),
        ("src/conn/egress.rs", "use crate::ring::{self, Op};"),
        ("src/shard/turn.rs", "use crate::{\n    base::Tick,\n    session::Json,\n};"),
        ("src/handler.rs", "use crate::shard::Shard;"),
        ("src/session/json.rs", "use crate::ws::Protocol;"),
        ("src/server/boot.rs", "use crate::cli::Serve;"),
        ("src/limits.rs", "use crate::base::Tick;"),
        ("src/ws/mod.rs", "use super::ring::Op;"),
        ("src/ws/close.rs", "use super::super::ring::Op;"),
        ("src/main.rs", "use ringwire::server::Server;"),
        ("src/ws/close.rs", "use crate::Server;"),
        ("src/novel/mod.rs", ""),
    ] {
        assert_eq!(layers(path, text).len(), 1, "{path}: {text}");
    }
}

#[test]
fn an_import_from_below_or_inside_is_fine() {
    for (path, text) in [
        ("src/ws/close.rs", "use crate::ws::{header::Header, opcode};\nuse super::Fault;"),
        ("src/ws/close.rs", "// use crate::ring::Op;\nconst S: &str = \"crate::ring::Op\";"),
        ("src/ws/close.rs", "/* crate::ring /* nested */ crate::conn */ pub(crate) fn f() {}"),
        ("src/conn/egress.rs", "use crate::ring::{Op, completion::RecvEnd as End, op::Op as O};"),
        ("src/conn/egress.rs", "let q = Vec::<crate::ring::Op>::new();"),
        ("src/handler.rs", "mod tests { use super::*; }"),
        ("src/shard/turn.rs", "use crate::{conn::Conn, handler::{Ctx, Handler}, ws::{self, x}};"),
        ("src/lib.rs", "pub use crate::server::Server;"),
        ("src/main.rs", "fn main() { ringwire::cli::run() }"),
        ("tests/echo.rs", "use ringwire::server::Server;"),
    ] {
        assert_eq!(layers(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn literals_and_comments_are_not_code() {
    let text = "let a = '\"'; let b = \"x\\\"y\"; let c = r#\"\"unsafe\"#; let d: &'a T = '\\''; z";
    let code = code_only(text);
    assert_eq!(code.len(), text.len());
    let words: Vec<&str> = code.split(|c: char| !c.is_alphanumeric()).collect();
    assert!(!words.contains(&"unsafe") && !words.contains(&"y"), "{code}");
    assert!(words.contains(&"T") && words.contains(&"z"), "{code}");
    assert_eq!(code_only("a // b\nc").lines().collect::<Vec<_>>(), ["a     ", "c"]);
    assert_eq!(code_only("var\"s\" br\"t\" u").split_whitespace().count(), 3);
}

#[test]
fn unsafe_without_a_place_or_a_reason_is_noticed() {
    let bare = "fn f() {\n    unsafe { g() }\n}\n";
    let reasoned = "// SAFETY: the ring outlives the call, see R2.\nlet x =\n    unsafe { g() };\n";
    assert_eq!(unsafe_places("src/ring/driver.rs", bare).len(), 1);
    assert_eq!(unsafe_places("src/ws/mask.rs", reasoned).len(), 1);
    assert_eq!(unsafe_places("src/ring/driver.rs", reasoned), Vec::<String>::new());
    let far = format!("// SAFETY: of something else, far away\n{}unsafe {{}}", "f();\n".repeat(9));
    assert_eq!(unsafe_places("src/ring/driver.rs", &far).len(), 1);
    let mentions = "#![deny(unsafe_code)]\n// an unsafe thing\nlet s = \"unsafe\";\n";
    assert_eq!(unsafe_places("src/ws/mask.rs", mentions), Vec::<String>::new());
    assert_eq!(unused_permission("src/ring/driver.rs", mentions).len(), 1);
    assert_eq!(unused_permission("src/ring/driver.rs", bare), Vec::<String>::new());
}

#[test]
fn a_copied_or_empty_safety_comment_is_noticed() {
    let one = "// SAFETY: the buffer is owned\n// by the kernel until then.\nunsafe {}\n";
    let two = "// SAFETY: the buffer is owned by\n// the kernel until then.\nunsafe {}\n";
    let other = "// SAFETY: the descriptor is open, its owner holds it.\nunsafe {}\n";
    assert_eq!(safety_is_specific(&[file("a.rs", one), file("b.rs", two)]).len(), 1);
    assert_eq!(safety_is_specific(&[file("a.rs", &[one, one].concat())]).len(), 1);
    assert_eq!(safety_is_specific(&[file("a.rs", one), file("b.rs", other)]).len(), 0);
    assert_eq!(safety_is_specific(&[file("a.rs", "// SAFETY: sound.\n")]).len(), 1);
}

#[test]
fn long_lines_and_long_files_are_noticed() {
    assert_eq!(columns("a.rs", &["x".repeat(100), "ö".repeat(100)].join("\n")).len(), 0);
    assert_eq!(columns("a.rs", &"x".repeat(101)).len(), 1);
    assert_eq!(file_length("src/a.rs", &"x\n".repeat(FILE_LINES_MAX)).len(), 0);
    assert_eq!(file_length("src/a.rs", &"x\n".repeat(FILE_LINES_MAX + 1)).len(), 1);
}

#[test]
fn missing_headers_are_noticed() {
    assert_eq!(header("src/a.rs", "//! Owns a.\n").len(), 0);
    for text in ["", "use x;\n", "// Owns a.\n", "//!\n", "\n//! Owns a.\n"] {
        assert_eq!(header("src/a.rs", text).len(), 1, "{text:?}");
    }
}

#[test]
fn leftovers_are_noticed_in_code_and_comments() {
    for text in [concat!("// TO", "DO: more"), concat!("todo", "!()"), concat!("dbg", "!(x)")] {
        assert_eq!(leftovers("a.rs", text).len(), 1, "{text}");
    }
    assert_eq!(leftovers("a.rs", "fn todos() {} // mastodon").len(), 0);
}

#[test]
fn paths_of_machines_and_hosts_of_registries_are_noticed() {
    let host = format!("https://{}/x", REGISTRY_HOSTS[0]);
    for text in [&host, concat!("cd /wo", "rk/main"), concat!("\"/tmp/", "wt/x\"")] {
        assert_eq!(foreign_names("a", text).len(), 1, "{text}");
    }
    let lock = concat!("source = \"registry+https://github.com/rust-lang/crates", ".io-index\"");
    for text in [lock, concat!("$here/wo", "rk/x"), concat!("${dir}/wo", "rk/x"), "/var/tmp/x"] {
        assert_eq!(foreign_names("a", text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn links_that_lead_nowhere_are_noticed() {
    let exists = |file: &Path| file == Path::new("docs/a.md") || file == Path::new("README.md");
    let broken = |text: &str| markdown_links("docs/b.md", text, exists).len();
    assert_eq!(broken("[a](a.md) [a](./a.md#part) [r](../README.md) [w](https://x/y.md)"), 0);
    assert_eq!(broken("[here](#part) `[no](code.md)`\n```\n[no](code.md)\n```\n[a]: a.md"), 0);
    assert_eq!(broken("[a](c.md)\n[x]: c.md\n[up](../../README.md)"), 3);
}

#[test]
fn tests_and_metrics_that_do_not_exist_are_noticed() {
    let read = |file: &str| (file == "tests/a.rs").then(|| "fn held() {}".to_owned());
    let missing = |text: &str| named_tests("docs/b.md", text, read).len();
    assert_eq!(missing("`tests/a.rs::held` and `a.rs`, not `in::rust`"), 0);
    assert_eq!(missing("`tests/a.rs::hel` `tests/c.rs::held`"), 2);
    let catalogue = "| `ringwire_known_total` |";
    let unknown = |text: &str| named_metrics("docs/b.md", text, catalogue).len();
    assert_eq!(unknown("`ringwire_known_total` `other`"), 0);
    assert_eq!(unknown("`ringwire_known` `ringwire_unknown_total`"), 2);
}
