//! What makes a test of a key worth its name: it sets the key, and fails where the key is left out.

use std::cell::RefCell;
use std::panic::catch_unwind;

use crate::common::File;

/// Without these a server takes its usual ports, which are not a test's to take.
const NEVER_LEFT_OUT: [&str; 2] = ["server.listen", "server.admin"];

struct Run {
    section: &'static str,
    name: &'static str,
    is_left_out: bool,
    is_set: bool,
}

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// Runs the test of this key, and once more on files from which the key is taken out.
pub(crate) fn check(path: &'static str, test: fn()) {
    assert!(run(path, test, false), "the test of {path} does not set it");
    if NEVER_LEFT_OUT.contains(&path) {
        return;
    }
    let without = catch_unwind(|| run(path, test, true));
    assert!(without.is_err(), "the test of {path} passes without it too: it shows no effect");
}

/// Whether a file had the key.
fn run(path: &'static str, test: fn(), is_left_out: bool) -> bool {
    let (section, name) = path.rsplit_once('.').expect("a section and a name");
    RUN.set(Some(Run { section, name, is_left_out, is_set: false }));
    test();
    RUN.take().expect("it stays there").is_set
}

/// A configuration file with this text, but for the key that is left out.
pub(crate) fn file(text: &str) -> File {
    File::new(&told(text))
}

/// The same for a file that is there.
pub(crate) fn rewrite(file: &File, text: &str) {
    file.write(&told(text));
}

/// Tests write one key a line.
fn told(text: &str) -> String {
    RUN.with_borrow_mut(|run| {
        let run = run.as_mut().expect("only tests of keys write files");
        let mut section = "";
        let mut told = String::new();
        for line in text.lines() {
            if let Some(named) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = named;
            }
            let is_it = is_section(section, run.section)
                && line.split_once('=').is_some_and(|(name, _)| name.trim() == run.name);
            run.is_set |= is_it;
            if !(is_it && run.is_left_out) {
                told.push_str(line);
                told.push('\n');
            }
        }
        told
    })
}

fn is_section(section: &str, wanted: &str) -> bool {
    match wanted.strip_suffix("NAME") {
        Some(family) => section.starts_with(family),
        None => section == wanted,
    }
}
