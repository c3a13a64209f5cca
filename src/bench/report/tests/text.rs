//! The text report against text that was looked at and then written down (`RINGWIRE_BLESS=1`
//! writes it anew), and against the width of a terminal.

use super::sample;
use crate::bench::report::text::{COLUMNS_MAX, Style, render};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench/report/tests/golden.txt");

#[test]
fn the_text_is_what_was_agreed() {
    let reports = [sample::echo(90), sample::idle(), sample::faulty()];
    let texts = reports.map(|report| render(&report, Style::Plain)).join("\n=====\n\n");
    if std::env::var_os("RINGWIRE_BLESS").is_some() {
        std::fs::write(GOLDEN, &texts).expect("the golden file is writable");
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert_eq!(texts, golden, "RINGWIRE_BLESS=1 cargo test --lib report, then look at it");
}

#[test]
fn the_page_shows_such_a_text() {
    let text = render(&sample::echo(90), Style::Plain);
    let page = include_str!("../../../../docs/bench.md");
    assert!(
        page.contains(&format!("```text\n{text}```")),
        "docs/bench.md shows another text:\n{text}"
    );
}

#[test]
fn lines_fit_and_hold_nothing_that_a_terminal_acts_upon() {
    for report in [sample::echo(1), sample::echo(3_600), sample::idle(), sample::faulty()] {
        let text = render(&report, Style::Plain);
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS_MAX, "{line}");
            assert_eq!(line, line.trim_end());
        }
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
        assert!(!text.contains("\n\n\n"));
    }
}

#[test]
fn only_a_terminal_gets_colours() {
    let good = render(&sample::echo(3), Style::Terminal);
    assert!(good.contains("\x1b[1;32mOK\x1b[0m"), "{good}");
    let bad = render(&sample::faulty(), Style::Terminal);
    assert!(bad.contains("\x1b[1;31mFAILED\x1b[0m"), "{bad}");
    let stripped = ["0", "1", "1;31", "1;32"]
        .iter()
        .fold(bad, |text, code| text.replace(&format!("\x1b[{code}m"), ""));
    let plain = render(&sample::faulty(), Style::Plain);
    assert_eq!(
        stripped.split_whitespace().collect::<Vec<_>>(),
        plain.split_whitespace().collect::<Vec<_>>()
    );
}
