//! The bare means of drawing: shapes and text with classes, and the frame around a picture.
//!
//! Text is escaped here and nowhere else. Coordinates are pixels of the view box, told with one
//! decimal.

use crate::bench::report::units::printable;
use std::fmt::Write;

/// Colours and fonts of every picture. A page that shows pictures inline includes it once.
pub const STYLE: &str = include_str!("style.css");

/// Width of an average character at 12 pixels, estimated generously (P3): the widest of common
/// sans-serif fonts have digits of 0.64 em.
const CHAR_PX: f64 = 7.6;

/// Where a picture will be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Inline in a page that has [`STYLE`], on the page's background.
    Page,
    /// A file of its own, with style and background, readable wherever it is embedded.
    File,
}

/// Pixels of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Across.
    pub width: f64,
    /// Down.
    pub height: f64,
}

/// Which end of a text is at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// Pixels that a text takes at most, at the usual size.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHAR_PX
}

/// `text` cut so that it takes no more than `width` pixels.
pub(super) fn shortened(text: &str, width: f64) -> String {
    let chars_max = (width / CHAR_PX).max(1.0) as usize;
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// Text for HTML and SVG: what has meaning there is escaped, what is invisible is spelled out.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            plain => out.push(plain),
        }
    }
    out
}

/// A picture while it is drawn.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
}

impl Canvas {
    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let (x, y, anchor, text) = (at.0, at.1, anchor.as_str(), escaped(text));
        self.put(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    pub(super) fn rect(&mut self, at: (f64, f64), size: Size, radius: f64, class: &str) {
        let ((x, y), Size { width, height }) = (at, size);
        let size = format_args!(r#"width="{width:.1}" height="{height:.1}" rx="{radius}""#);
        self.put(format_args!(r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" {size}/>"#));
    }

    pub(super) fn path(&mut self, data: &str, class: &str) {
        self.put(format_args!(r#"<path class="{class}" d="{data}"/>"#));
    }

    pub(super) fn dot(&mut self, at: (f64, f64), class: &str) {
        let (x, y) = at;
        self.put(format_args!(r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="4"/>"#));
    }

    /// A transparent area that says something when the pointer rests on it.
    pub(super) fn hint(&mut self, at: (f64, f64), size: Size, hint: &str) {
        self.body.push_str(r#"<g class="hit">"#);
        self.rect(at, size, 0.0, "");
        self.put(format_args!("<title>{}</title></g>", escaped(hint)));
    }

    fn put(&mut self, shape: std::fmt::Arguments<'_>) {
        self.body.write_fmt(shape).expect("a string takes it");
        self.body.push('\n');
    }

    /// The picture as one `svg` element; `title` is what a screen reader says.
    pub(super) fn finish(self, size: Size, title: &str, surface: Surface) -> String {
        let Size { width, height } = size;
        let title = escaped(title);
        let head = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {width:.0} \
             {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" \
             aria-label=\"{title}\">\n"
        );
        let ground = match surface {
            Surface::Page => String::new(),
            Surface::File => {
                let mut ground = Self::default();
                let inner = Size { width: width - 1.0, height: height - 1.0 };
                ground.rect((0.5, 0.5), inner, 6.0, "card");
                format!("<style>\n{STYLE}</style>\n{}", ground.body)
            }
        };
        format!("{head}{ground}{}</svg>\n", self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_not_leave_its_element() {
        let mut canvas = Canvas::default();
        canvas.text((0.0, 0.0), Anchor::Start, "name", "</text><script>\"'&\u{1b}");
        let svg = canvas.finish(Size { width: 10.0, height: 10.0 }, "\"><b>", Surface::File);
        assert!(
            svg.contains(">&lt;/text&gt;&lt;script&gt;&quot;&#39;&amp;\\u{1b}</text>"),
            "{svg}"
        );
        assert!(svg.contains("aria-label=\"&quot;&gt;&lt;b&gt;\""), "{svg}");
    }

    #[test]
    fn only_a_file_brings_style_and_ground() {
        let draw =
            |surface| Canvas::default().finish(Size { width: 9.0, height: 9.0 }, "", surface);
        assert!(!draw(Surface::Page).contains("style"));
        assert!(draw(Surface::File).contains("<style>"));
        assert!(draw(Surface::File).contains("class=\"card\""));
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(shortened("short", 100.0), "short");
        assert_eq!(shortened("ünïcödé text", 5.0 * CHAR_PX), "ünïc…");
    }
}
