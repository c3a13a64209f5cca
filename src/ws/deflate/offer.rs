//! `Sec-WebSocket-Extensions` (RFC 6455, section 9.1), as far as permessage-deflate goes (RFC 7692,
//! section 7.1).
//!
//! A list that is not well-formed is the peer's fault; an offer of ours that has a parameter we do
//! not know, twice, or with a value it can't have is declined, and the next one is looked at.

use super::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::ws::request::token;

/// The extension's name.
pub const NAME: &str = "permessage-deflate";

/// What a client of ours offers: nothing carried over in either direction, and any window.
pub const OFFER: &str = "permessage-deflate; server_no_context_takeover; \
                         client_no_context_takeover; client_max_window_bits";

const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_WINDOW: &str = "server_max_window_bits";
const CLIENT_WINDOW: &str = "client_max_window_bits";

/// Window sizes that the RFC knows; 8 is one that we can inflate but not keep to.
const RFC_WINDOW_BITS: std::ops::RangeInclusive<u8> = 8..=WINDOW_BITS_MAX;

/// What both ends have agreed on, from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Agreement {
    /// Our compressor refers back no farther than 2 to the power of this.
    pub send_window_bits: u8,
    /// The peer's does not, either.
    pub recv_window_bits: u8,
    /// The peer may refer to its earlier messages.
    pub recv_takeover: bool,
}

/// What a server agrees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Our compressor's window, unless the client wants a smaller one.
    pub server_window_bits: u8,
    /// The client's window, if it lets us say.
    pub client_window_bits: u8,
    /// The client may refer to its earlier messages.
    pub client_takeover: bool,
}

impl Default for Policy {
    fn default() -> Self {
        let bits = WINDOW_BITS_MAX;
        Policy { server_window_bits: bits, client_window_bits: bits, client_takeover: false }
    }
}

/// The list is not one (RFC 6455, section 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The parameters of one offer, or of an answer, after their values were checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Params {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_window: Option<u8>,
    client_window: Option<ClientWindow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientWindow {
    /// "I understand the parameter", without a wish.
    Any,
    Bits(u8),
}

/// What a server makes of what a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negotiated {
    /// The first offer that can be met.
    Agreed(Agreed),
    /// None of them can be met.
    Declined,
    /// There is none.
    NotOffered,
}

impl Negotiated {
    /// What was agreed on, if anything was.
    pub fn agreed(self) -> Option<Agreed> {
        match self {
            Negotiated::Agreed(agreed) => Some(agreed),
            Negotiated::Declined | Negotiated::NotOffered => None,
        }
    }
}

/// What a server agrees to of what a client offers.
pub fn negotiate<'a>(
    fields: impl Iterator<Item = &'a [u8]>,
    policy: &Policy,
) -> Result<Negotiated, Malformed> {
    let mut found = Negotiated::NotOffered;
    for field in fields {
        for element in Elements(field) {
            let extension = element?;
            // The rest of the list has to be well-formed also after the choice.
            let offered = extension.params()?;
            if found.agreed().is_none() && extension.name == NAME {
                let met = offered.and_then(|offered| meet(&offered, policy));
                found = met.map_or(Negotiated::Declined, Negotiated::Agreed);
            }
        }
    }
    Ok(found)
}

/// An agreement, and how it is put to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    agreement: Agreement,
    answer: Params,
}

impl Agreed {
    /// What was agreed on.
    pub fn agreement(&self) -> Agreement {
        self.agreement
    }

    /// Appends the value of the answer's `Sec-WebSocket-Extensions`.
    pub fn write_answer(&self, out: &mut Vec<u8>) {
        write_params(out, &self.answer);
    }
}

fn meet(offered: &Params, policy: &Policy) -> Option<Agreed> {
    let server_window = match offered.server_window {
        // zlib's compressor has no window of 256 octets: a promise that we could not keep.
        Some(bits) if bits < WINDOW_BITS_MIN => return None,
        Some(bits) => bits.min(policy.server_window_bits),
        None => policy.server_window_bits,
    };
    let client_window = offered.client_window.map(|wish| match wish {
        ClientWindow::Any => policy.client_window_bits,
        ClientWindow::Bits(bits) => bits.min(policy.client_window_bits),
    });
    let client_takeover = policy.client_takeover && !offered.client_no_takeover;
    let is_limited = |bits: &u8| *bits < WINDOW_BITS_MAX;
    let answer = Params {
        server_no_takeover: true,
        client_no_takeover: !client_takeover,
        server_window: offered.server_window.map(|_| server_window),
        client_window: client_window.filter(is_limited).map(ClientWindow::Bits),
    };
    let agreement = Agreement {
        send_window_bits: server_window,
        recv_window_bits: client_window.unwrap_or(WINDOW_BITS_MAX),
        recv_takeover: client_takeover,
    };
    Some(Agreed { agreement, answer })
}

/// What a server has answered to [`OFFER`]. `None`: it declined. `Err`: it answered something
/// that was not offered (RFC 7692, section 7.1), or promised less than was asked for.
pub fn check_answer<'a>(
    fields: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<Agreement>, Malformed> {
    let mut agreement = None;
    for field in fields {
        for element in Elements(field) {
            let extension = element?;
            let answer = extension.params()?.ok_or(Malformed)?;
            let is_first = agreement.is_none();
            // What was offered with `server_no_context_takeover` can only be accepted with it.
            if extension.name != NAME || !is_first || !answer.server_no_takeover {
                return Err(Malformed);
            }
            let send_window_bits = match answer.client_window {
                None => WINDOW_BITS_MAX,
                Some(ClientWindow::Bits(bits)) if bits >= WINDOW_BITS_MIN => bits,
                // An answer has a value, and one below our smallest can't be kept to.
                Some(ClientWindow::Any | ClientWindow::Bits(_)) => return Err(Malformed),
            };
            agreement = Some(Agreement {
                send_window_bits,
                recv_window_bits: answer.server_window.unwrap_or(WINDOW_BITS_MAX),
                recv_takeover: false,
            });
        }
    }
    Ok(agreement)
}

fn write_params(out: &mut Vec<u8>, params: &Params) {
    out.extend_from_slice(NAME.as_bytes());
    let mut write = |name: &str, bits: Option<u8>| {
        out.extend_from_slice(b"; ");
        out.extend_from_slice(name.as_bytes());
        if let Some(bits) = bits {
            out.push(b'=');
            out.extend_from_slice(bits.to_string().as_bytes());
        }
    };
    if params.server_no_takeover {
        write(SERVER_NO_TAKEOVER, None);
    }
    if params.client_no_takeover {
        write(CLIENT_NO_TAKEOVER, None);
    }
    if params.server_window.is_some() {
        write(SERVER_WINDOW, params.server_window);
    }
    match params.client_window {
        Some(ClientWindow::Any) => write(CLIENT_WINDOW, None),
        Some(ClientWindow::Bits(bits)) => write(CLIENT_WINDOW, Some(bits)),
        None => {}
    }
}

/// One element of the list.
struct Extension<'a> {
    name: &'a str,
    params: &'a [u8],
}

impl Extension<'_> {
    /// Its parameters, or `None` where one is not as RFC 7692 has it.
    fn params(&self) -> Result<Option<Params>, Malformed> {
        let mut params = Params::default();
        let mut is_valid = true;
        for part in split(self.params, b';').skip(1) {
            let (name, value) = name_and_value(part?)?;
            is_valid &= params.set(name, value);
        }
        Ok(is_valid.then_some(params))
    }
}

impl Params {
    fn set(&mut self, name: &str, value: Option<&str>) -> bool {
        let flag = |flag: &mut bool| value.is_none() && !std::mem::replace(flag, true);
        match name {
            SERVER_NO_TAKEOVER => flag(&mut self.server_no_takeover),
            CLIENT_NO_TAKEOVER => flag(&mut self.client_no_takeover),
            SERVER_WINDOW => match value.and_then(window_bits) {
                Some(bits) => self.server_window.replace(bits).is_none(),
                None => false,
            },
            CLIENT_WINDOW => match value.map(window_bits) {
                None => self.client_window.replace(ClientWindow::Any).is_none(),
                Some(Some(bits)) => self.client_window.replace(ClientWindow::Bits(bits)).is_none(),
                Some(None) => false,
            },
            _ => false,
        }
    }
}

/// "A decimal integer value without leading zeroes between 8 to 15" (7.1.2.1).
fn window_bits(value: &str) -> Option<u8> {
    let is_plain = !value.starts_with('0') && value.bytes().all(|octet| octet.is_ascii_digit());
    let bits: u8 = value.parse().ok().filter(|_| is_plain)?;
    RFC_WINDOW_BITS.contains(&bits).then_some(bits)
}

/// The elements of one field's value; empty ones count for nothing (RFC 9110, section 5.6.1).
struct Elements<'a>(&'a [u8]);

impl<'a> IntoIterator for Elements<'a> {
    type Item = Result<Extension<'a>, Malformed>;
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        let elements = split(self.0, b',').filter(|part| part != &Ok(b"".as_slice()));
        Box::new(elements.map(|part| {
            let params = part?;
            let name = split(params, b';').next().ok_or(Malformed)??;
            Ok(Extension { name: token(name).ok_or(Malformed)?, params })
        }))
    }
}

/// Parts between separators that are not inside a quoted string, without space around them.
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        let mut is_quoted = false;
        let mut is_escaped = false;
        let end = value.iter().position(|&octet| {
            let ends = octet == separator && !is_quoted;
            is_quoted ^= octet == b'"' && !is_escaped;
            is_escaped = is_quoted && octet == b'\\' && !is_escaped;
            ends
        });
        rest = end.map(|end| &value[end + 1..]);
        if end.is_none() && is_quoted {
            return Some(Err(Malformed));
        }
        Some(Ok(value[..end.unwrap_or(value.len())].trim_ascii()))
    })
}

/// `name`, `name=token` or `name="token"`: RFC 6455, section 9.1 has a quoted value be a token.
fn name_and_value(part: &[u8]) -> Result<(&str, Option<&str>), Malformed> {
    let Some(at) = part.iter().position(|&octet| octet == b'=') else {
        return Ok((token(part).ok_or(Malformed)?, None));
    };
    let name = token(part[..at].trim_ascii_end()).ok_or(Malformed)?;
    let value = part[at + 1..].trim_ascii_start();
    let bare = match value {
        [b'"', inner @ .., b'"'] => inner,
        plain => plain,
    };
    Ok((name, Some(token(bare).ok_or(Malformed)?)))
}
