//! A naive HTTP/1.1 client for the admin listener, and the Prometheus text format.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::SOON;
use super::raw::Head;

const RESPONSE_BYTES_MAX: u64 = 16 << 20;

/// A whole response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One request on a connection of its own; `None` when nothing listens any more.
pub(crate) fn try_request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> Option<Response> {
    let mut stream = TcpStream::connect_timeout(&addr, SOON).ok()?;
    stream.set_read_timeout(Some(SOON)).expect("a time above zero");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut octets = Vec::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_end(&mut octets).ok()?;
    let text = String::from_utf8(octets).expect("a response in UTF-8");
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let head = Head::parse(head);
    let chunked = head.field("transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let body = if chunked { unchunked(rest) } else { rest.to_owned() };
    Some(Response { status: head.status, body })
}

/// One request, which has to be answered.
pub(crate) fn request(addr: SocketAddr, method: &str, path: &str, body: &str) -> Response {
    try_request(addr, method, path, body)
        .unwrap_or_else(|| panic!("{method} {path}: no answer from {addr}"))
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = size.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16).expect("the size of a chunk");
        body.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    body
}

/// One scrape.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn scrape(admin: SocketAddr) -> Metrics {
        let response = request(admin, "GET", "/metrics", "");
        assert_eq!(response.status, 200, "{response:?}");
        Metrics(response.body)
    }

    /// The sum of a family's samples whose labels have all of `labels`. The family has to be there:
    /// a name that is spelled wrongly must not read as zero.
    pub(crate) fn value(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        let samples: Vec<_> = self.samples(family).collect();
        assert!(!samples.is_empty(), "no metric named {family}");
        let has = |text: &str| {
            labels.iter().all(|(name, value)| text.contains(&format!("{name}=\"{value}\"")))
        };
        samples.iter().filter(|(text, _)| has(text)).map(|(_, value)| value).sum()
    }

    /// Labels and value of each sample of a family.
    fn samples<'a>(&'a self, family: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(family)?;
            if !rest.starts_with(['{', ' ']) {
                return None;
            }
            let (labels, value) = rest.rsplit_once(' ')?;
            Some((labels, value.parse().expect("the value of a sample")))
        })
    }
}
