//! Reading Rust text just well enough for the checks: what is code, what is a comment, which paths
//! it names. It never parses; it blanks what is not code and looks for words in the rest.

/// The text with comments and literals blanked out, line for line.
pub(crate) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip_non_code(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself when it is code.
fn skip_non_code(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    match chars[at] {
        '/' if next(1) == '/' => line_end(chars, at),
        '/' if next(1) == '*' => block_comment_end(chars, at),
        '"' => string_end(chars, at + 1),
        'r' if !after_word(chars, at) => raw_string_end(chars, at),
        '\'' if next(1) == '\\' => quoted_end(chars, at + 3),
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
}

/// True when the character before is part of a word, so that an `r` here starts no raw string.
/// (`br` and `cr` do.)
fn after_word(chars: &[char], at: usize) -> bool {
    let before = |n: usize| at.checked_sub(n).map(|i| chars[i]).filter(|c| is_word(*c));
    match before(1) {
        Some('b' | 'c') => before(2).is_some(),
        Some(_) => true,
        None => false,
    }
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| at + n)
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], at: usize) -> usize {
    let rest = chars.get(at..).unwrap_or_default();
    rest.iter().position(|c| *c == '\'').map_or(chars.len(), |n| at + n + 1)
}

fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let body = at + 1 + hashes + 1;
    if chars.get(body - 1) != Some(&'"') {
        return at;
    }
    let closes = |end: usize| {
        chars[end] == '"'
            && chars[end + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (body..chars.len()).find(|end| closes(*end)).map_or(chars.len(), |end| end + 1 + hashes)
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The lines (from 1) on which `word` stands as a whole word.
pub(crate) fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let has = |line: &str| {
        line.match_indices(word).any(|(start, _)| {
            !line[..start].ends_with(is_word) && !line[start + word.len()..].starts_with(is_word)
        })
    };
    code.lines().enumerate().filter(|(_, line)| has(line)).map(|(index, _)| index + 1).collect()
}

/// A path that the code names, without its root.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The line (from 1) on which its root stands.
    pub(crate) line: usize,
    /// `a::b::C`
    pub(crate) path: String,
}

/// Every path below `root` (`crate`, `ringwire`), with `{...}` spelled out.
pub(crate) fn paths_below(code: &str, root: &str) -> Vec<Named> {
    let needle = format!("{root}::");
    let mut found = Vec::new();
    for (start, _) in code.match_indices(&needle) {
        if code[..start].ends_with(is_word) || code[..start].ends_with("::") {
            continue;
        }
        let line = code[..start].matches('\n').count() + 1;
        let mut paths = Vec::new();
        expand(&code[start + needle.len()..], "", &mut paths);
        found.extend(paths.into_iter().map(|path| Named { line, path }));
    }
    found
}

/// Reads one tree (`a::{b, c::D}`) into whole paths and gives what follows it.
fn expand<'a>(mut rest: &'a str, prefix: &str, paths: &mut Vec<String>) -> &'a str {
    let mut path = prefix.to_owned();
    loop {
        rest = rest.trim_start();
        if let Some(inside) = rest.strip_prefix('{') {
            return expand_group(inside, &path, paths);
        }
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let end = if end == 0 && rest.starts_with('*') { 1 } else { end };
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(&rest[..end]);
        rest = rest[end..].trim_start();
        let Some(more) = rest.strip_prefix("::").filter(|_| end > 0) else { break };
        if more.starts_with('<') {
            break;
        }
        rest = more;
    }
    paths.push(path);
    rest
}

fn expand_group<'a>(mut rest: &'a str, prefix: &str, paths: &mut Vec<String>) -> &'a str {
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        if rest.is_empty() {
            return rest;
        }
        rest = expand(rest, prefix, paths);
        // `as Name`, then the comma; anything else ends the group early and hides nothing.
        match rest.find([',', '}']) {
            Some(at) if rest[at..].starts_with(',') => rest = &rest[at + 1..],
            Some(at) => rest = &rest[at..],
            None => return "",
        }
    }
}
