//! The checks themselves: each takes a file's path and text and gives what is wrong with it, one
//! line each. They read nothing but their arguments, so that bad snippets can prove that they fail.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use crate::source::{Named, code_only, lines_with_word, paths_below};
use crate::tables::{
    COLUMNS_MAX, FILE_LINES_MAX, LEFTOVERS, LOCKFILE_SOURCE, LONG_FILES, MACHINE_PATHS,
    REGISTRY_HOSTS, SAFETY_LINES_ABOVE, SAFETY_WORDS_MIN, UNSAFE_OTHER_FILES, UNSAFE_SRC_FILES,
    edges_of, is_module,
};

/// What is wrong, as `path:line: what`.
pub(crate) type Complaints = Vec<String>;

/// `src/ws/close.rs` -> `ws`; `None` for the crate's root, which may name everything.
pub(crate) fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let module = inside.split('/').next()?.trim_end_matches(".rs");
    (module != "lib").then_some(module)
}

/// Imports only along the table's edges.
pub(crate) fn layers(path: &str, text: &str) -> Complaints {
    let Some(module) = module_of(path) else { return Vec::new() };
    let Some(allowed) = edges_of(module) else {
        return vec![format!("{path}:1: `{module}` is not in the table of layers")];
    };
    let code = code_only(text);
    let root = if module == "main" { "ringwire" } else { "crate" };
    let mut named = paths_below(&code, root);
    named.extend(escapes(path, &code));
    let may = |target: &str| {
        is_below(target, module) || allowed.iter().any(|edge| is_below(target, edge))
    };
    let wrong = |line: usize, target: &str| {
        format!("{path}:{line}: `{module}` may not import `{target}`: not an edge of the table")
    };
    named
        .iter()
        .map(|named| (named.line, named.path.trim_end_matches("::self")))
        .filter(|(_, target)| !may(target))
        .map(|(line, target)| wrong(line, target))
        .collect()
}

/// True when `path` is `prefix` or something inside it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Paths that leave the module by `super::super::` and name another one.
fn escapes(path: &str, code: &str) -> Vec<Named> {
    let depth = path.matches('/').count() - usize::from(path.ends_with("/mod.rs"));
    let out = vec!["super"; depth.max(1)].join("::");
    let other = |named: &Named| is_module(named.path.split("::").next().unwrap_or_default());
    paths_below(code, &out).into_iter().filter(other).collect()
}

/// The permission to be unsafe is given by name, and each use says why it is sound.
pub(crate) fn unsafe_places(path: &str, text: &str) -> Complaints {
    let lines: Vec<&str> = text.lines().collect();
    let mut wrong = Vec::new();
    for line in lines_with_word(&code_only(text), "unsafe") {
        if !may_be_unsafe(path) {
            wrong.push(format!("{path}:{line}: `unsafe` outside the files that may have it"));
        } else if !is_justified(&lines, line - 1) {
            wrong.push(format!("{path}:{line}: `unsafe` without a SAFETY comment above it"));
        }
    }
    wrong
}

/// A comment with `SAFETY:` (or `# Safety` for an `unsafe fn`) close above.
fn is_justified(lines: &[&str], at: usize) -> bool {
    let mut lines_of_code = 0;
    for line in lines[..at].iter().rev().map(|line| line.trim_start()) {
        let is_comment = line.starts_with("//");
        if is_comment && (line.contains("SAFETY:") || line.contains("# Safety")) {
            return true;
        }
        lines_of_code += usize::from(!is_comment);
        if lines_of_code > SAFETY_LINES_ABOVE {
            return false;
        }
    }
    false
}

/// The text of each `SAFETY:` comment, with its line.
fn safety_comments(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let mut comments = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(first) = line.strip_prefix("// SAFETY:") else { continue };
        let more = lines[index + 1..].iter().map_while(|line| line.strip_prefix("//"));
        let words: Vec<&str> =
            first.split_whitespace().chain(more.flat_map(str::split_whitespace)).collect();
        comments.push((index + 1, words.join(" ")));
    }
    comments
}

/// No two SAFETY comments say the same: a copied reason was not thought about.
pub(crate) fn safety_is_specific(files: &[(String, String)]) -> Complaints {
    let mut first_at: HashMap<String, String> = HashMap::new();
    let mut wrong = Vec::new();
    for (path, text) in files {
        for (line, comment) in safety_comments(text) {
            let here = format!("{path}:{line}");
            if comment.split(' ').count() < SAFETY_WORDS_MIN {
                wrong.push(format!("{here}: a SAFETY comment that gives no reason"));
            }
            if let Some(earlier) = first_at.get(&comment) {
                wrong.push(format!("{here}: the same SAFETY comment as at {earlier}"));
            } else {
                first_at.insert(comment, here);
            }
        }
    }
    wrong
}

fn may_be_unsafe(path: &str) -> bool {
    UNSAFE_SRC_FILES.contains(&path) || UNSAFE_OTHER_FILES.contains(&path)
}

/// A file that may be unsafe and is not gives its permission back.
pub(crate) fn unused_permission(path: &str, text: &str) -> Complaints {
    if may_be_unsafe(path) && lines_with_word(&code_only(text), "unsafe").is_empty() {
        return vec![format!("{path}: may be unsafe and is not; take it off the list")];
    }
    Vec::new()
}

/// Lines fit the width that rustfmt is told (it leaves comments and strings alone).
pub(crate) fn columns(path: &str, text: &str) -> Complaints {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.chars().count()));
    let long = lines.filter(|(_, width)| *width > COLUMNS_MAX);
    long.map(|(line, width)| format!("{path}:{line}: {width} columns")).collect()
}

/// Nothing is left for later.
pub(crate) fn leftovers(path: &str, text: &str) -> Complaints {
    let mut wrong = Vec::new();
    for mark in LEFTOVERS {
        let lines = lines_with_word(text, mark);
        wrong.extend(lines.iter().map(|line| format!("{path}:{line}: left over: {mark}")));
    }
    wrong
}

/// Every module says what it owns.
pub(crate) fn header(path: &str, text: &str) -> Complaints {
    let says = text.lines().next().is_some_and(|line| line.len() > 4 && line.starts_with("//! "));
    if says { Vec::new() } else { vec![format!("{path}:1: no `//!` header")] }
}

/// Files stay small enough to be read at one sitting.
pub(crate) fn file_length(path: &str, text: &str) -> Complaints {
    let lines = text.lines().count();
    let excused = LONG_FILES.iter().any(|(file, _)| *file == path);
    match (lines > FILE_LINES_MAX, excused) {
        (true, false) => vec![format!("{path}: {lines} lines; split it at its seam")],
        (false, true) => vec![format!("{path}: short enough now; take it off the list")],
        (true, true) | (false, false) => Vec::new(),
    }
}

/// No path of somebody's machine and no registry's host; clients find those by themselves.
pub(crate) fn foreign_names(path: &str, text: &str) -> Complaints {
    let mut wrong = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.replace(LOCKFILE_SOURCE, "");
        for name in MACHINE_PATHS.iter().chain(REGISTRY_HOSTS) {
            let starts = |(at, _): (usize, &str)| {
                !name.starts_with('/')
                    || !line[..at].ends_with(|c: char| c.is_alphanumeric() || "}./_-".contains(c))
            };
            if line.match_indices(name).any(starts) {
                wrong.push(format!("{path}:{}: names `{name}`", index + 1));
            }
        }
    }
    wrong
}

/// Links of a Markdown file to other files lead somewhere.
pub(crate) fn markdown_links(path: &str, text: &str, exists: impl Fn(&Path) -> bool) -> Complaints {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut wrong = Vec::new();
    for (line, target) in link_targets(text) {
        let file = target.split(['#', '?']).next().unwrap_or_default();
        let elsewhere = target.contains("://") || target.starts_with("mailto:");
        if !file.is_empty() && !elsewhere && !normal(&folder.join(file)).is_some_and(|f| exists(&f))
        {
            wrong.push(format!("{path}:{line}: the link to `{target}` leads nowhere"));
        }
    }
    wrong
}

/// Tests that a page names as `file.rs::function` are there. `read` gives a file's text.
pub(crate) fn named_tests(
    path: &str,
    text: &str,
    read: impl Fn(&str) -> Option<String>,
) -> Complaints {
    let mut wrong = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for span in line.split('`').skip(1).step_by(2) {
            let Some((file, function)) = span.split_once(".rs::") else { continue };
            let code = read(&format!("{file}.rs")).unwrap_or_default();
            if !code.contains(&format!("fn {function}(")) {
                wrong.push(format!("{path}:{}: there is no `{span}`", index + 1));
            }
        }
    }
    wrong
}

/// Metrics that a page names are in the catalogue's page.
pub(crate) fn named_metrics(path: &str, text: &str, catalogue: &str) -> Complaints {
    let spans = |line: &str| -> Vec<String> {
        let spans = line.split('`').skip(1).step_by(2);
        let names = spans.filter(|span| span.starts_with("ringwire_"));
        names.map(|name| format!("`{name}`")).collect()
    };
    let lines = text.lines().enumerate();
    let named = lines.flat_map(|(index, line)| spans(line).into_iter().map(move |n| (index, n)));
    named
        .filter(|(_, name)| !catalogue.contains(name.as_str()))
        .map(|(index, name)| format!("{path}:{}: there is no metric {name}", index + 1))
        .collect()
}

/// Targets of `[text](target)` and `[name]: target` outside of code.
fn link_targets(text: &str) -> Vec<(usize, String)> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        for (at, _) in prose.match_indices("](") {
            let target = prose[at + 2..].split([')', ' ']).next().unwrap_or_default();
            targets.push((index + 1, target.to_owned()));
        }
        if let Some((_, target)) = prose.split_once("]: ").filter(|_| prose.starts_with('[')) {
            targets.push((index + 1, target.trim().to_owned()));
        }
    }
    targets
}

/// The path without `.` and `..`; `None` when it leaves the project.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}
