//! Close codes and the payload of a close frame (RFC 6455, sections 5.5.1 and 7.4).

use super::fault::PeerFault;

/// Octets of a control frame's payload.
pub const CONTROL_BYTES_MAX: usize = 125;
/// Octets of a close reason: a control frame less the code.
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// A close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// Done.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// The endpoint goes away (drain, page left).
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL: CloseCode = CloseCode(1002);
    /// A kind of data that the endpoint doesn't take.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// A close frame had no code. Never on the wire.
    pub const NO_STATUS: CloseCode = CloseCode(1005);
    /// The connection ended without a close frame. Never on the wire.
    pub const ABNORMAL: CloseCode = CloseCode(1006);
    /// The payload didn't fit its kind (text that isn't UTF-8).
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// The endpoint's policy was broken.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// The message was too large.
    pub const TOO_LARGE: CloseCode = CloseCode(1009);
    /// The client needed an extension that the server didn't offer.
    pub const EXTENSION_REQUIRED: CloseCode = CloseCode(1010);
    /// The endpoint failed.
    pub const INTERNAL: CloseCode = CloseCode(1011);
    /// The service restarts (IANA).
    pub const SERVICE_RESTART: CloseCode = CloseCode(1012);
    /// Try again later (IANA).
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);
    /// A gateway got a bad answer (IANA).
    pub const BAD_GATEWAY: CloseCode = CloseCode(1014);
    /// TLS failed. Never on the wire.
    pub const TLS_HANDSHAKE: CloseCode = CloseCode(1015);

    /// True when the code may be in a close frame: RFC 6455 section 7.4 and the IANA registry.
    pub fn may_be_received(self) -> bool {
        match self.0 {
            1000..=1003 | 1007..=1014 | 3000..=4999 => true,
            0..=999 | 1004..=1006 | 1015..=2999 | 5000..=u16::MAX => false,
        }
    }
}

/// Reads the payload of a received close frame.
pub fn parse_payload(payload: &[u8]) -> Result<(Option<CloseCode>, &str), PeerFault> {
    let (code, reason) = match payload {
        [] => return Ok((None, "")),
        [_] => return Err(PeerFault::BadClosePayload),
        [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
    };
    if !code.may_be_received() {
        return Err(PeerFault::BadCloseCode);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| PeerFault::BadCloseReason)?;
    Ok((Some(code), reason))
}

/// Writes the payload of a close frame and gives its length. A reason that is too long is cut at a
/// character's boundary: the code is what matters, and a control frame can't grow.
pub fn write_payload(out: &mut [u8; CONTROL_BYTES_MAX], code: CloseCode, reason: &str) -> usize {
    let reason = &reason.as_bytes()[..floor_char_boundary(reason, REASON_BYTES_MAX)];
    out[..2].copy_from_slice(&code.0.to_be_bytes());
    out[2..2 + reason.len()].copy_from_slice(reason);
    2 + reason.len()
}

fn floor_char_boundary(text: &str, max: usize) -> usize {
    if text.len() <= max {
        return text.len();
    }
    (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_rfc_and_of_autobahn() {
        let good = [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
            4000, 4999,
        ];
        let bad = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
        for code in good {
            assert!(CloseCode(code).may_be_received(), "{code}");
            let payload = [&code.to_be_bytes()[..], b"why"].concat();
            assert_eq!(parse_payload(&payload), Ok((Some(CloseCode(code)), "why")));
        }
        for code in bad {
            assert!(!CloseCode(code).may_be_received(), "{code}");
            assert_eq!(parse_payload(&code.to_be_bytes()), Err(PeerFault::BadCloseCode));
        }
    }

    #[test]
    fn payloads() {
        assert_eq!(parse_payload(b""), Ok((None, "")));
        assert_eq!(parse_payload(&[3]), Err(PeerFault::BadClosePayload));
        assert_eq!(parse_payload(&[3, 0xe8]), Ok((Some(CloseCode::NORMAL), "")));
        assert_eq!(parse_payload(&[3, 0xe8, 0xce]), Err(PeerFault::BadCloseReason));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut out = [0; CONTROL_BYTES_MAX];
        for lead in 0..5 {
            let reason = format!("{}{}", "a".repeat(lead), "\u{1f600}".repeat(40));
            let len = write_payload(&mut out, CloseCode::POLICY, &reason);
            let (code, cut) = parse_payload(&out[..len]).unwrap();
            assert_eq!(code, Some(CloseCode::POLICY));
            assert!(reason.starts_with(cut) && cut.len() > REASON_BYTES_MAX - 4);
        }
        let len = write_payload(&mut out, CloseCode::NORMAL, "");
        assert_eq!(out[..len], [3, 0xe8]);
    }
}
