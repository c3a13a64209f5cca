//! The query part of an admin request's target. Pure.
//!
//! A key that is not known, given twice or not decodable is an error that names it: a typing
//! mistake must not silently list everything.

/// The decoded pairs of a query string, each key from `known` and at most once.
pub fn parse(query: &str, known: &[&'static str]) -> Result<Vec<(&'static str, String)>, String> {
    let mut pairs: Vec<(&'static str, String)> = Vec::with_capacity(known.len());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(key) = known.iter().find(|name| **name == key) else {
            return Err(format!("unknown parameter `{key}`; known: {}", known.join(", ")));
        };
        if pairs.iter().any(|(seen, _)| seen == key) {
            return Err(format!("parameter `{key}` is given twice"));
        }
        let Some(value) = decode(value) else {
            return Err(format!("parameter `{key}` is not percent-encoded UTF-8"));
        };
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// Undoes percent-encoding, with `+` for a space as forms write it.
fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        octets.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                hex(digits[0])? << 4 | hex(digits[1])?
            }
            other => *other,
        });
    }
    String::from_utf8(octets).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_decoded_and_mistakes_are_named() {
        let known = ["prefix", "limit"];
        let pairs = parse("prefix=chat%3A%c3%A9+x&&limit=5", &known).expect("good");
        assert_eq!(pairs, [("prefix", "chat:é x".into()), ("limit", "5".into())]);
        for (bad, named) in [
            ("pre=x", "`pre`; known: prefix, limit"),
            ("limit=1&limit=2", "`limit` is given twice"),
            ("prefix=%", "`prefix`"),
            ("prefix=%4", "`prefix`"),
            ("prefix=%+1", "`prefix`"),
            ("prefix=%ff", "`prefix`"),
        ] {
            let error = parse(bad, &known).expect_err(bad);
            assert!(error.contains(named), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(value in ".*") {
            let encoded: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
            let pairs = parse(&format!("v={encoded}"), &["v"]).expect("good");
            prop_assert_eq!(&pairs[0].1, &value);
        }

        #[test]
        fn anything_is_answered_without_panic(query in "[a-z%&=+0-9]{0,40}") {
            drop(parse(&query, &["a", "b"]));
        }
    }
}
