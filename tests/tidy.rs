//! The conventions of the project as a test: layers, unsafe code, sizes, leftovers, links.
//!
//! `tables` says what is allowed, `checks` compares, and here the checks are run: over the tree,
//! and over bad snippets, to show that each of them can fail.

#[path = "tidy/checks.rs"]
mod checks;
#[path = "tidy/snippets.rs"]
mod snippets;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tables.rs"]
mod tables;

use std::path::Path;
use std::{fs, io};

use checks::Complaints;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What holds no source of ours: version control, builds, downloads, a fuzzer's findings.
const SKIPPED: &[&str] =
    &[".git", ".work", "target", "node_modules", "__pycache__", "corpus", "artifacts"];

/// Every text file below `folder`, as (path from the root, text), sorted.
fn texts(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(&Path::new(ROOT).join(folder), &mut found).expect("the tree is readable");
    found.sort();
    found
}

fn walk(folder: &Path, found: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type()?;
        if SKIPPED.iter().any(|skipped| name == *skipped) {
            continue;
        }
        if kind.is_dir() {
            walk(&path, found)?;
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(&path)
        {
            let inside = path.strip_prefix(ROOT).expect("below the root");
            found.push((inside.to_string_lossy().into_owned(), text));
        }
    }
    Ok(())
}

fn rust(files: Vec<(String, String)>) -> Vec<(String, String)> {
    files.into_iter().filter(|(path, _)| path.ends_with(".rs")).collect()
}

fn assert_tidy(files: &[(String, String)], what: &str, check: impl Fn(&str, &str) -> Complaints) {
    let complaints: Complaints = files.iter().flat_map(|(path, text)| check(path, text)).collect();
    assert!(complaints.is_empty(), "{what}:\n{}", complaints.join("\n"));
}

#[test]
fn imports_follow_the_layers() {
    let files = rust(texts("src"));
    assert!(files.iter().any(|(path, _)| path == "src/lib.rs"), "looked in the wrong place");
    assert_tidy(&files, "layers (tests/tidy/tables.rs)", checks::layers);
}

#[test]
fn unsafe_stands_where_it_may_and_says_why() {
    let files = rust(texts(""));
    assert_tidy(&files, "unsafe", checks::unsafe_places);
    assert_tidy(&files, "unsafe", checks::unused_permission);
    let copied = checks::safety_is_specific(&files);
    assert!(copied.is_empty(), "SAFETY comments:\n{}", copied.join("\n"));
}

#[test]
fn source_files_have_a_header_and_a_size() {
    let files = rust(texts("src"));
    assert_tidy(&files, "headers", checks::header);
    assert_tidy(&files, "sizes", checks::file_length);
}

#[test]
fn lines_of_rust_fit_the_width() {
    assert_tidy(&rust(texts("")), "width", checks::columns);
}

#[test]
fn nothing_is_left_for_later() {
    assert_tidy(&rust(texts("")), "leftovers", checks::leftovers);
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    assert_tidy(&texts(""), "foreign names", checks::foreign_names);
}

#[test]
fn links_of_markdown_lead_somewhere() {
    let exists = |file: &Path| Path::new(ROOT).join(file).exists();
    let mut pages = texts("");
    pages.retain(|(path, _)| path.ends_with(".md"));
    assert_tidy(&pages, "links", |path, text| checks::markdown_links(path, text, exists));
}

#[test]
fn tests_and_metrics_that_pages_name_exist() {
    let mut pages = texts("docs");
    pages.retain(|(path, _)| path.ends_with(".md"));
    assert!(pages.iter().any(|(path, _)| path == "docs/reliability.md"), "no promises");
    let read = |file: &str| fs::read_to_string(Path::new(ROOT).join(file)).ok();
    assert_tidy(&pages, "tests", |path, text| checks::named_tests(path, text, read));
    let catalogue = read("docs/metrics.md").expect("the page of metrics");
    pages.retain(|(path, _)| path == "docs/reliability.md");
    assert_tidy(&pages, "metrics", |path, text| checks::named_metrics(path, text, &catalogue));
}
