//! Where a server is: `ws://host[:port][/path][?query]` or `unix:/path`.

use std::path::PathBuf;
use std::str::FromStr;

/// The port of `ws://` without one (RFC 6455, section 3).
const PORT: u16 = 80;
/// What a Unix socket, whose URL has no room for a path, is asked for.
const UNIX_TARGET: &str = "/ws";

/// See the module's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Where to connect.
    pub place: Place,
    /// The value of the field `Host`.
    pub host: String,
    /// What to ask for: path and query.
    pub target: String,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name or an address without brackets, and a port.
    Tcp(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why a text is no such place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is no URL to connect to: {problem}; write {form} or unix:/path")]
pub struct UrlError {
    url: String,
    problem: &'static str,
    form: &'static str,
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Url, UrlError> {
        let form = "ws://host:port/ws";
        parse(text).map_err(|problem| UrlError { url: text.to_owned(), problem, form })
    }
}

/// Where an admin interface is: `http://host:port`, the same without `http://`, or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminUrl {
    /// Where to connect.
    pub place: Place,
    /// The value of the field `Host`.
    pub host: String,
}

impl FromStr for AdminUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<AdminUrl, UrlError> {
        let form = "http://host:port";
        parse_admin(text).map_err(|problem| UrlError { url: text.to_owned(), problem, form })
    }
}

fn parse_admin(text: &str) -> Result<AdminUrl, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        let place = unix(path)?;
        return Ok(AdminUrl { place, host: "localhost".into() });
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    if !scheme.eq_ignore_ascii_case("http") {
        return Err("its scheme is not http");
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if !authority.bytes().all(|octet| octet.is_ascii_graphic() && !b"/?#@".contains(&octet)) {
        return Err("something other than host and port is in it");
    }
    let (name, port) = host_and_port(authority)?;
    Ok(AdminUrl { place: Place::Tcp(name.to_owned(), port), host: authority.to_owned() })
}

fn unix(path: &str) -> Result<Place, &'static str> {
    if path.is_empty() { Err("no path") } else { Ok(Place::Unix(path.into())) }
}

fn parse(text: &str) -> Result<Url, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        let place = unix(path)?;
        return Ok(Url { place, host: "localhost".into(), target: UNIX_TARGET.into() });
    }
    if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err("it has characters that have to be percent-encoded");
    }
    let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
    if scheme.eq_ignore_ascii_case("wss") {
        return Err("this client speaks no TLS");
    }
    if !scheme.eq_ignore_ascii_case("ws") {
        return Err("its scheme is not ws");
    }
    if rest.contains('#') {
        return Err("a WebSocket URL has no fragment");
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    if authority.contains('@') {
        return Err("it has a user");
    }
    let (name, port) = host_and_port(authority)?;
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Ok(Url { place: Place::Tcp(name.to_owned(), port), host: authority.to_owned(), target })
}

fn host_and_port(authority: &str) -> Result<(&str, u16), &'static str> {
    let (name, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (name, after) = rest.split_once(']').ok_or("a bracket is not closed")?;
        if name.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("what stands in brackets is no IPv6 address");
        }
        match after.strip_prefix(':') {
            Some(port) => (name, Some(port)),
            None if after.is_empty() => (name, None),
            None => return Err("something follows the bracket"),
        }
    } else {
        match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err("an IPv6 address needs brackets"),
            Some((name, port)) => (name, Some(port)),
            None => (authority, None),
        }
    };
    if name.is_empty() {
        return Err("it has no host");
    }
    let Some(port) = port else { return Ok((name, PORT)) };
    let port: u16 = port.parse().map_err(|_| "its port is no number up to 65535")?;
    if port == 0 { Err("nobody can listen on port 0") } else { Ok((name, port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> (String, u16, String, String) {
        let url: Url = text.parse().unwrap();
        match url.place {
            Place::Tcp(name, port) => (name, port, url.host, url.target),
            Place::Unix(path) => panic!("{path:?}"),
        }
    }

    #[test]
    fn places() {
        let url = |name: &str, port, host: &str, target: &str| {
            (name.to_owned(), port, host.to_owned(), target.to_owned())
        };
        for (text, expected) in [
            ("ws://127.0.0.1:9001/ws", url("127.0.0.1", 9001, "127.0.0.1:9001", "/ws")),
            ("WS://example.org", url("example.org", 80, "example.org", "/")),
            ("ws://[::1]:9001/a/b?c=d", url("::1", 9001, "[::1]:9001", "/a/b?c=d")),
            ("ws://[::1]", url("::1", 80, "[::1]", "/")),
            ("ws://host?x=1", url("host", 80, "host", "/?x=1")),
            ("ws://host:1/p?u=http://a@b:c/", url("host", 1, "host:1", "/p?u=http://a@b:c/")),
        ] {
            assert_eq!(tcp(text), expected, "{text}");
        }
        let unix: Url = "unix:/run/ringwire.sock".parse().unwrap();
        assert_eq!(unix.place, Place::Unix("/run/ringwire.sock".into()));
        assert_eq!((unix.host.as_str(), unix.target.as_str()), ("localhost", "/ws"));
    }

    #[test]
    fn places_of_admin_interfaces() {
        let tcp = |name: &str, port, host: &str| {
            Ok(AdminUrl { place: Place::Tcp(name.to_owned(), port), host: host.to_owned() })
        };
        let parsed = |text: &str| text.parse::<AdminUrl>().map_err(|error| error.to_string());
        assert_eq!(parsed("http://127.0.0.1:9002"), tcp("127.0.0.1", 9002, "127.0.0.1:9002"));
        assert_eq!(parsed("HTTP://[::1]:9002/"), tcp("::1", 9002, "[::1]:9002"));
        assert_eq!(parsed("localhost:9002"), tcp("localhost", 9002, "localhost:9002"));
        assert_eq!(parsed("unix:/a b").unwrap().place, Place::Unix("/a b".into()));
        for (text, problem) in [
            ("https://host/", "not http"),
            ("ws://127.0.0.1:9001", "not http"),
            ("http://host:9002/v1/status", "other than host and port"),
            ("http://u@host:9002", "other than host and port"),
            ("a\r\nb", "other than host and port"),
            ("", "no host"),
            ("unix:", "no path"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(problem) && error.contains("write http://"), "{error}");
        }
    }

    #[test]
    fn what_is_no_place_is_told() {
        for (text, problem) in [
            ("", "no scheme"),
            ("127.0.0.1:9001", "no scheme"),
            ("wss://host/", "no TLS"),
            ("http://host/", "not ws"),
            ("ws:///ws", "no host"),
            ("ws://:80/ws", "no host"),
            ("ws://host:/ws", "port"),
            ("ws://host:65536/ws", "port"),
            ("ws://host:0/ws", "port 0"),
            ("ws://::1/ws", "brackets"),
            ("ws://[::1/ws", "not closed"),
            ("ws://[::1]9001/ws", "follows"),
            ("ws://[localhost]/ws", "no IPv6"),
            ("ws://user@host/ws", "user"),
            ("ws://host/ws#top", "fragment"),
            ("ws://host/a b", "percent"),
            ("ws://host/\r\nX: y", "percent"),
            ("unix:", "no path"),
        ] {
            let error = text.parse::<Url>().unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("write ws://"), "{error}");
        }
    }
}
