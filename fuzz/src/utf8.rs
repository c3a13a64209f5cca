//! The validation of texts that come in pieces, against the standard library on the whole.

use ringwire::ws::utf8::{Invalid, Utf8};

use super::choices::Choices;

/// Input: how long the pieces are, by turns, then the text.
pub(crate) fn check(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let lengths = [0; 4].map(|_: u8| 1 + choices.below(40));
    let text = choices.rest();
    check_pieces(text, &lengths);
    check_pieces(text, &[1]);
    check_pieces(text, &[text.len().max(1)]);
}

fn check_pieces(text: &[u8], lengths: &[usize]) {
    let fails_after = fails_after(text);
    let (mut utf8, mut seen) = (Utf8::new(), 0);
    for len in lengths.iter().cycle() {
        if seen == text.len() {
            break;
        }
        let piece = &text[seen..text.len().min(seen + len)];
        seen += piece.len();
        let expected = if fails_after.is_some_and(|at| at <= seen) { Err(Invalid) } else { Ok(()) };
        assert_eq!(utf8.push(piece), expected, "at {seen}");
        if expected.is_err() {
            return;
        }
        assert_eq!(utf8.is_complete(), std::str::from_utf8(&text[..seen]).is_ok(), "at {seen}");
    }
}

/// After how many octets it is clear that the text is not UTF-8: no continuation helps.
fn fails_after(text: &[u8]) -> Option<usize> {
    let error = std::str::from_utf8(text).err()?;
    let from = error.valid_up_to();
    let is_hopeless = |len: &usize| {
        let prefix = std::str::from_utf8(&text[from..*len]);
        prefix.is_err_and(|error| error.error_len().is_some())
    };
    (from + 1..=text.len().min(from + 4)).find(is_hopeless)
}
