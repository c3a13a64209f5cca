//! Everything a peer can do wrong after the upgrade, and the close code that each deserves.

use super::close::CloseCode;

/// A violation by the peer. It ends the connection; the same enum is the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerFault {
    /// RSV1, RSV2 or RSV3 is set where nothing that was agreed on gives it a meaning (5.2).
    ReservedBits,
    /// An opcode that RFC 6455 reserves (5.2).
    ReservedOpcode,
    /// A control frame without FIN (5.5).
    ControlFragmented,
    /// A control frame of more than 125 octets (5.5).
    ControlTooLong,
    /// An unmasked frame from a client (5.1).
    Unmasked,
    /// A masked frame from a server (5.1).
    Masked,
    /// A length that would fit in a shorter form (5.2).
    LengthNotMinimal,
    /// A 64-bit length whose most significant bit is set (5.2).
    LengthOverflow,
    /// A continuation frame where no message is unfinished (5.4).
    UnexpectedContinuation,
    /// A new message inside an unfinished one (5.4).
    ExpectedContinuation,
    /// A message of more frames than we take.
    TooManyFragments,
    /// A message of more octets than we take.
    MessageTooLarge,
    /// A text message that is not UTF-8 (8.1).
    InvalidUtf8,
    /// A close frame of one octet: half a code (5.5.1).
    BadClosePayload,
    /// A close code that must not be on the wire (7.4).
    BadCloseCode,
    /// A close reason that is not UTF-8 (5.5.1).
    BadCloseReason,
    /// A compressed message that is not valid deflate, or is cut off (RFC 7692, 7.2.2).
    DeflateCorrupt,
    /// A compressed message that becomes too much larger than it was sent.
    DeflateRatio,
}

impl PeerFault {
    /// Every fault, in declaration order.
    pub const ALL: [PeerFault; 18] = [
        PeerFault::ReservedBits,
        PeerFault::ReservedOpcode,
        PeerFault::ControlFragmented,
        PeerFault::ControlTooLong,
        PeerFault::Unmasked,
        PeerFault::Masked,
        PeerFault::LengthNotMinimal,
        PeerFault::LengthOverflow,
        PeerFault::UnexpectedContinuation,
        PeerFault::ExpectedContinuation,
        PeerFault::TooManyFragments,
        PeerFault::MessageTooLarge,
        PeerFault::InvalidUtf8,
        PeerFault::BadClosePayload,
        PeerFault::BadCloseCode,
        PeerFault::BadCloseReason,
        PeerFault::DeflateCorrupt,
        PeerFault::DeflateRatio,
    ];

    /// The code to close with.
    pub fn close_code(self) -> CloseCode {
        match self {
            PeerFault::ReservedBits
            | PeerFault::ReservedOpcode
            | PeerFault::ControlFragmented
            | PeerFault::ControlTooLong
            | PeerFault::Unmasked
            | PeerFault::Masked
            | PeerFault::LengthNotMinimal
            | PeerFault::LengthOverflow
            | PeerFault::UnexpectedContinuation
            | PeerFault::ExpectedContinuation
            | PeerFault::BadClosePayload
            | PeerFault::BadCloseCode => CloseCode::PROTOCOL,
            PeerFault::TooManyFragments => CloseCode::POLICY,
            PeerFault::MessageTooLarge | PeerFault::DeflateRatio => CloseCode::TOO_LARGE,
            PeerFault::InvalidUtf8 | PeerFault::BadCloseReason | PeerFault::DeflateCorrupt => {
                CloseCode::INVALID_PAYLOAD
            }
        }
    }

    /// The name in metrics, logs and close reasons.
    pub fn label(self) -> &'static str {
        match self {
            PeerFault::ReservedBits => "reserved_bits",
            PeerFault::ReservedOpcode => "reserved_opcode",
            PeerFault::ControlFragmented => "control_fragmented",
            PeerFault::ControlTooLong => "control_too_long",
            PeerFault::Unmasked => "unmasked",
            PeerFault::Masked => "masked",
            PeerFault::LengthNotMinimal => "length_not_minimal",
            PeerFault::LengthOverflow => "length_overflow",
            PeerFault::UnexpectedContinuation => "unexpected_continuation",
            PeerFault::ExpectedContinuation => "expected_continuation",
            PeerFault::TooManyFragments => "too_many_fragments",
            PeerFault::MessageTooLarge => "message_too_large",
            PeerFault::InvalidUtf8 => "invalid_utf8",
            PeerFault::BadClosePayload => "bad_close_payload",
            PeerFault::BadCloseCode => "bad_close_code",
            PeerFault::BadCloseReason => "bad_close_reason",
            PeerFault::DeflateCorrupt => "deflate_corrupt",
            PeerFault::DeflateRatio => "deflate_ratio",
        }
    }
}

impl std::fmt::Display for PeerFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

impl std::error::Error for PeerFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_fault_is_listed_once_with_its_own_label() {
        for (index, fault) in PeerFault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
        }
        let labels: HashSet<_> = PeerFault::ALL.into_iter().map(PeerFault::label).collect();
        assert_eq!(labels.len(), PeerFault::ALL.len());
        assert_eq!(PeerFault::DeflateRatio as usize, PeerFault::ALL.len() - 1);
    }

    #[test]
    fn every_close_code_may_be_on_the_wire() {
        for fault in PeerFault::ALL {
            assert!(fault.close_code().may_be_received(), "{fault}");
        }
    }
}
