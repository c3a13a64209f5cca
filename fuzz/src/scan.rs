//! JSON by its grammar (RFC 8259), without recursion: where values end, what members an object has,
//! and what a string stands for.

/// The members of a text that is one object, as they are written. A name that is not Unicode is an
/// error, as in the code under test; anywhere deeper it is only skipped.
pub(crate) fn object(text: &str) -> Option<Vec<(String, &str)>> {
    let bytes = text.as_bytes();
    let mut at = blank(bytes, 0);
    if bytes.get(at) != Some(&b'{') || value(bytes, at).map(|end| blank(bytes, end))? != bytes.len()
    {
        return None;
    }
    let mut members = Vec::new();
    at = blank(bytes, at + 1);
    while bytes[at] != b'}' {
        let name_end = string(bytes, at)?;
        let start = blank(bytes, blank(bytes, name_end) + 1);
        let end = value(bytes, start)?;
        members.push((decode(&text[at..name_end])?, &text[start..end]));
        at = blank(bytes, end);
        if bytes[at] == b',' {
            at = blank(bytes, at + 1);
        }
    }
    Some(members)
}

/// What a string stands for; `None` when it is none, or has half of a surrogate pair.
pub(crate) fn decode(raw: &str) -> Option<String> {
    let mut rest = raw.strip_prefix('"')?.strip_suffix('"')?;
    let mut units: Vec<u16> = Vec::new();
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character != '\\' {
            units.extend(character.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let escape = rest.chars().next()?;
        rest = &rest[1..];
        units.push(match escape {
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let unit = u16::from_str_radix(rest.get(..4)?, 16).ok()?;
                rest = &rest[4..];
                unit
            }
            other => other as u16,
        });
    }
    String::from_utf16(&units).ok()
}

fn blank(bytes: &[u8], at: usize) -> usize {
    let is_blank = |octet: &&u8| b" \t\r\n".contains(octet);
    at + bytes[at..].iter().take_while(is_blank).count()
}

/// Where the value that begins at `at` ends.
fn value(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut open = Vec::new();
    loop {
        at = blank(bytes, at);
        let first = *bytes.get(at)?;
        at = match first {
            b'"' => string(bytes, at)?,
            b'-' | b'0'..=b'9' => number(bytes, at)?,
            b't' => word(bytes, at, b"true")?,
            b'f' => word(bytes, at, b"false")?,
            b'n' => word(bytes, at, b"null")?,
            b'[' | b'{' => {
                let inside = blank(bytes, at + 1);
                if *bytes.get(inside)? == first + 2 {
                    inside + 1
                } else {
                    open.push(first);
                    at = if first == b'{' { name(bytes, inside)? } else { inside };
                    continue;
                }
            }
            _ => return None,
        };
        loop {
            let Some(&bracket) = open.last() else { return Some(at) };
            at = blank(bytes, at);
            match *bytes.get(at)? {
                b',' => {
                    at = blank(bytes, at + 1);
                    at = if bracket == b'{' { name(bytes, at)? } else { at };
                    break;
                }
                close if close == bracket + 2 => {
                    at += 1;
                    open.pop();
                }
                _ => return None,
            }
        }
    }
}

/// A member's name with its colon.
fn name(bytes: &[u8], at: usize) -> Option<usize> {
    let end = blank(bytes, string(bytes, at)?);
    (bytes.get(end) == Some(&b':')).then_some(end + 1)
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes[at..].starts_with(word).then_some(at + word.len())
}

fn string(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += match *bytes.get(at)? {
            b'"' => return Some(at + 1),
            0..0x20 => return None,
            b'\\' => match *bytes.get(at + 1)? {
                b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                _ => return None,
            },
            _ => 1,
        }
    }
}

fn number(bytes: &[u8], mut at: usize) -> Option<usize> {
    let digits = |at: usize| bytes[at..].iter().take_while(|octet| octet.is_ascii_digit()).count();
    at += usize::from(bytes[at] == b'-');
    let whole = digits(at);
    if whole == 0 || (whole > 1 && bytes[at] == b'0') {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        at += 1 + Some(fraction).filter(|digits| *digits > 0)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at += Some(digits(at)).filter(|digits| *digits > 0)?;
    }
    Some(at)
}
