//! Numbers as people are shown them, read back: the oracle for what the page and `top` say.

/// A number with its unit, and half of what the last digit shown is worth: `12.3 k/s` is 12300,
/// give or take 50.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) slack: f64,
}

impl Figure {
    /// Reads the figure that a text begins with.
    pub(crate) fn read(text: &str) -> Figure {
        let text = text.replace('\u{a0}', " ");
        let end = text.find(|c: char| !matches!(c, '0'..='9' | ',' | '.')).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let digits = digits.replace(',', "");
        let number: f64 = digits.parse().unwrap_or_else(|why| panic!("{text:?}: {why}"));
        let places = digits.split_once('.').map_or(0, |(_, places)| places.len());
        let scale = match unit.trim_start().split([' ', '/']).next().unwrap_or_default() {
            "k" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "KiB" => 1024.0,
            "MiB" => 1024.0 * 1024.0,
            "GiB" => 1024.0 * 1024.0 * 1024.0,
            "%" => 0.01,
            _ => 1.0,
        };
        let slack = scale * 0.5 * 0.1f64.powi(i32::try_from(places).expect("few digits"));
        Figure { value: number * scale, slack: slack * 1.0001 }
    }

    /// True when the figure is how a number may be shown.
    pub(crate) fn is(self, number: f64) -> bool {
        (self.value - number).abs() <= self.slack
    }
}

/// Asserts that a text shows this number.
pub(crate) fn assert_shows(text: &str, number: &serde_json::Value, what: &str) {
    let number = number.as_f64().unwrap_or_else(|| panic!("{what}: {number}"));
    assert!(Figure::read(text).is(number), "{what}: {text:?} is shown for {number}");
}
