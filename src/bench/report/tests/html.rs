//! The page against a small parser of its own, and against what must never be in it.

use super::sample;
use crate::bench::report::{Report, Scenario, html};
use serde_json::Value;

/// Every kind of report there is to show, with its name.
fn reports() -> Vec<(&'static str, Report)> {
    let mut handshake = sample::echo(30);
    handshake.scenario = Scenario::Handshake;
    handshake.messages = None;
    let mut fanout = sample::echo(30);
    fanout.scenario = Scenario::Fanout;
    fanout.server = None;
    let mut empty = sample::idle();
    empty.timeline.clear();
    vec![
        ("echo-10", sample::echo(10)),
        ("echo-1", sample::echo(1)),
        ("echo-3600", sample::echo(3_600)),
        ("handshake", handshake),
        ("fanout", fanout),
        ("idle", sample::idle()),
        ("empty", empty),
        ("faulty", sample::faulty()),
    ]
}

/// Set `RINGWIRE_PAGES` to a folder to look at the pages.
#[test]
fn every_page_is_whole() {
    for (name, report) in reports() {
        let page = html::page(&report);
        assert_balanced(name, &page);
        assert!(page.contains(&format!("<h1>ringwire bench {}</h1>", report.scenario.as_str())));
        if let Some(folder) = std::env::var_os("RINGWIRE_PAGES") {
            let file = std::path::Path::new(&folder).join(format!("{name}.html"));
            std::fs::write(file, page).expect("a folder that can be written to");
        }
    }
}

/// Every element that is opened is closed, in order. What stands in style and script is no markup.
fn assert_balanced(name: &str, page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        let end = rest[at..].find('>').map(|end| at + end).expect("a tag ends");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        let word = tag.split([' ', '\n']).next().unwrap_or_default();
        if let Some(closed) = word.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "{name}: </{closed}>");
        } else if !tag.starts_with('!') && !tag.ends_with('/') && word != "meta" {
            open.push(word);
        }
        if matches!(word, "style" | "script") {
            rest = &rest[rest.find(&format!("</{word}")).expect("its end")..];
        }
    }
    assert!(open.is_empty(), "{name}: still open: {open:?}");
}

/// The JSON in the page, as a browser finds it: up to the first end of a script element.
fn embedded(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"report\">").expect("the element");
    let (json, _) = rest.split_once("</script").expect("its end");
    serde_json::from_str(json).expect("JSON")
}

#[test]
fn the_page_carries_the_whole_json() {
    for (name, report) in reports() {
        let json: Value = serde_json::from_str(&report.to_json()).expect("JSON");
        assert_eq!(embedded(&html::page(&report)), json, "{name}");
    }
}

#[test]
fn what_a_peer_said_stays_text() {
    let mut report = sample::faulty();
    report.command = "ringwire bench echo '<img src=x onerror=alert(1)>' ws://a/?b&c".into();
    report.machine.cpu = "<b>CPU</b>".into();
    report.settings.urls = vec!["ws://h/\"><svg onload=alert(1)>".into()];
    let page = html::page(&report);
    assert_balanced("hostile", &page);
    assert_eq!(page.matches("<script").count(), 2, "the JSON and what offers it");
    for tag in ["<img", "<b>CPU", "<svg onload", "\u{1b}"] {
        assert!(!page.contains(tag), "{tag:?}");
    }
    assert!(
        page.contains("&lt;/script&gt;&lt;script&gt;alert(&quot;&amp;amp;&quot;)"),
        "the example"
    );
    assert!(page.contains("?b&amp;c"));
}

#[test]
fn the_page_loads_nothing() {
    for (name, report) in reports() {
        let page = html::page(&report);
        for loads in [" src=", "url(", "@import", "<link", "https://", "fetch("] {
            assert!(!page.contains(loads), "{name}: {loads}");
        }
        let hosts = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!hosts.contains("http://"), "{name}");
    }
}

#[test]
fn hours_do_not_make_pictures_heavier_than_their_pixels() {
    let hour = html::page(&sample::echo(3_600));
    let pictures = hour.split_once("class=\"plots\"").expect("pictures").1;
    let pictures = pictures.split_once("</section>").expect("their end").0;
    assert!(pictures.len() < 400_000, "{} bytes of pictures", pictures.len());
}
