//! Numbers as people read them, as the status page writes them too.

/// With commas: `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Something per second, without saying so: `0.5`, `1,234`, `12.3 k`, `1.23 M`.
pub(super) fn rate(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        n if n < 9.95 => format!("{n:.1}"),
        n if n < 9_999.5 => count(n.round() as u64),
        n if n < 999_950.0 => format!("{:.1} k", n / 1e3),
        n if n < 999_995_000.0 => format!("{:.2} M", n / 1e6),
        n => format!("{:.2} G", n / 1e9),
    }
}

/// `512 B`, `1.5 MiB`.
pub(super) fn octets(number: f64) -> String {
    let mut number = number;
    for (index, unit) in ["B", "KiB", "MiB", "GiB"].into_iter().enumerate() {
        if number < 1023.95 {
            let text = if index == 0 { rate(number.round()) } else { format!("{number:.1}") };
            return format!("{text} {unit}");
        }
        number /= 1024.0;
    }
    format!("{number:.1} TiB")
}

/// `3.4 %`, `35 %`.
pub(super) fn share(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if (0.05..9.95).contains(&percent) {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// The two largest parts of a time: `3 d 4 h`, `5 min 6 s`.
pub(super) fn span(seconds: u64) -> String {
    const PARTS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let from = PARTS.iter().position(|(_, size)| seconds >= *size).unwrap_or(PARTS.len() - 1);
    let mut rest = seconds;
    let mut shown = Vec::new();
    for (name, size) in PARTS.iter().skip(from).take(2) {
        shown.push(format!("{} {name}", rest / size));
        rest %= size;
    }
    shown.join(" ")
}
