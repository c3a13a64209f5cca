//! Quantities as people read them: three significant figures, a unit, no digits without meaning.
//! Text, page and plots all take their numbers from here, so they never disagree.

/// Three significant figures of something below a thousand: `1.23`, `12.3`, `123`; two of what is
/// small: `0.97`, `0.012`.
fn figures(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        tiny if tiny < 0.095 => (1.0 - tiny.log10().floor()).min(6.0) as usize,
        small if small < 9.995 => 2,
        small if small < 99.95 => 1,
        _large => 0,
    };
    format!("{value:.decimals$}")
}

/// `value` in the first unit that makes it less than `step`, or in the last one.
fn in_units(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut units = units.iter().peekable();
    while let Some(unit) = units.next() {
        if value.abs() < step - 0.5 || units.peek().is_none() {
            return format!("{} {unit}", figures(value)).trim_end().to_owned();
        }
        value /= step;
    }
    figures(value)
}

/// A count or an amount: `64`, `0.97`, `380 k`, `1.23 M`.
pub fn amount(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1_000.0 {
        return format!("{value:.0}");
    }
    in_units(value, 1_000.0, &["", "k", "M", "G", "T"])
}

/// Something per second: `380 k/s`.
pub fn rate(per_second: f64) -> String {
    format!("{}/s", amount(per_second))
}

/// A latency in microseconds: `850 ns`, `123 µs`, `1.23 ms`, `12.3 s`.
pub fn latency(us: f64) -> String {
    in_units(us * 1e3, 1_000.0, &["ns", "µs", "ms", "s"])
}

/// Memory: `512 B`, `41.2 MiB`.
pub fn bytes(bytes: f64) -> String {
    if bytes.fract() == 0.0 && bytes.abs() < 1024.0 {
        return format!("{bytes:.0} B");
    }
    in_units(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// A whole number with all of its digits: `3,801,234`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How long something took or will take: `350 ms`, `4.35 s`, `2 min 05 s`, `1 h 02 min`.
pub fn duration(seconds: f64) -> String {
    if seconds == 0.0 {
        return "0 s".into();
    }
    if seconds < 59.5 {
        return trimmed(latency(seconds * 1e6));
    }
    let whole = seconds.round() as u64;
    match (whole / 3_600, whole / 60 % 60, whole % 60) {
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// `50.0 k` as `50 k`: for the ticks of an axis and for what was asked for, where a nought is not
/// a measured figure.
pub fn trimmed(quantity: String) -> String {
    let end = quantity.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-');
    let (number, unit) = quantity.split_at(end.unwrap_or(quantity.len()));
    if !number.contains('.') {
        return quantity;
    }
    format!("{}{unit}", number.trim_end_matches('0').trim_end_matches('.'))
}

/// `2026-08-01 12:34:56 UTC`.
pub fn date(unix_ms: u64) -> String {
    let (days, second) = (unix_ms / 86_400_000, unix_ms / 1_000 % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a number of days since 1970-01-01, by counting in eras of 400 years
/// that begin in March, so that the leap day is the last of a year (Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let since_march_of_0 = days + 719_468;
    let (era, day_of_era) = (since_march_of_0 / 146_097, since_march_of_0 % 146_097);
    let leaps = day_of_era / 1_460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Text that a peer may have chosen, without what a terminal or a browser would act upon.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Marks that reorder or hide text without being control characters.
fn is_invisible(c: char) -> bool {
    const RANGES: [(char, char); 3] =
        [('\u{200b}', '\u{200f}'), ('\u{2028}', '\u{202e}'), ('\u{2060}', '\u{2069}')];
    c == '\u{feff}' || RANGES.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_figures() {
        let said: Vec<String> = [
            0.0, 0.00028, 0.0123, 0.97, 64.0, 640.5, 999.4, 999.6, 1_000.0, 9_996.0, 380_123.0,
            1.5e6, 2e15,
        ]
        .map(amount)
        .to_vec();
        let expected = [
            "0", "0.00028", "0.012", "0.97", "64", "640", "999", "1.00 k", "1.00 k", "10.0 k",
            "380 k", "1.50 M", "2000 T",
        ];
        assert_eq!(said, expected);
        assert_eq!(rate(380_123.0), "380 k/s");
    }

    #[test]
    fn latencies_and_bytes_adapt_their_unit() {
        let said = [0.0, 0.05, 0.85, 12.34, 999.9, 1_234.5, 2.5e6, 7.2e9].map(latency);
        assert_eq!(
            said,
            ["0 ns", "50.0 ns", "850 ns", "12.3 µs", "1.00 ms", "1.23 ms", "2.50 s", "7200 s"]
        );
        let said = [0.0, 160.0, 127.5, 16_384.0, 43_200_000.0, 25_769_803_776.0].map(bytes);
        assert_eq!(said, ["0 B", "160 B", "128 B", "16.0 KiB", "41.2 MiB", "24.0 GiB"]);
    }

    #[test]
    fn whole_numbers_are_grouped() {
        let said = [0, 12, 999, 1_000, 3_801_234, u64::MAX].map(grouped);
        assert_eq!(said, ["0", "12", "999", "1,000", "3,801,234", "18,446,744,073,709,551,615"]);
    }

    #[test]
    fn durations_read_like_a_clock() {
        let said = [0.0, 0.1, 4.35, 10.0, 59.4, 59.6, 125.0, 3_600.0, 3_725.0].map(duration);
        assert_eq!(
            said,
            [
                "0 s",
                "100 ms",
                "4.35 s",
                "10 s",
                "59.4 s",
                "1 min",
                "2 min 05 s",
                "1 h",
                "1 h 02 min"
            ]
        );
    }

    #[test]
    fn ticks_lose_empty_decimals_only() {
        let said = ["50.0 k", "1.50 ms", "100 k", "0", "1.00", "-2.0 s"].map(|s| trimmed(s.into()));
        assert_eq!(said, ["50 k", "1.5 ms", "100 k", "0", "1", "-2 s"]);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        // From `date -u -d @SECONDS`.
        for (seconds, said) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_785_587_696, "2026-08-01 12:34:56 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(seconds * 1_000 + 999), said);
        }
    }

    #[test]
    fn nothing_that_a_terminal_acts_upon_is_printed() {
        assert_eq!(printable("a\u{1b}[31m\r\n\u{202e}ü"), "a\\u{1b}[31m\\u{d}\\u{a}\\u{202e}ü");
    }
}
