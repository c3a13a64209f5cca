//! What a frame is (RFC 6455, section 5.2) and what a message is.

/// A frame's opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The peer closes.
    Close = 0x8,
    /// The peer asks for a pong.
    Ping = 0x9,
    /// An answer to a ping, or unsolicited.
    Pong = 0xa,
}

/// A message's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any octets.
    Binary,
}

/// A control frame's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Close,
    Ping,
    Pong,
}

/// How a frame is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    First(Kind),
    Continuation,
    Control(Control),
}

impl Opcode {
    /// Decodes the low nibble of a frame's first octet; `None` for a reserved opcode.
    pub fn from_bits(bits: u8) -> Option<Opcode> {
        match bits {
            0x0 => Some(Opcode::Continuation),
            0x1 => Some(Opcode::Text),
            0x2 => Some(Opcode::Binary),
            0x8 => Some(Opcode::Close),
            0x9 => Some(Opcode::Ping),
            0xa => Some(Opcode::Pong),
            _ => None,
        }
    }

    /// True for close, ping and pong.
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    pub(super) fn class(self) -> Class {
        match self {
            Opcode::Continuation => Class::Continuation,
            Opcode::Text => Class::First(Kind::Text),
            Opcode::Binary => Class::First(Kind::Binary),
            Opcode::Close => Class::Control(Control::Close),
            Opcode::Ping => Class::Control(Control::Ping),
            Opcode::Pong => Class::Control(Control::Pong),
        }
    }
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Opcode {
        match kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_opcodes_are_one_to_one() {
        let known = (0..=0xf_u8).filter_map(|bits| {
            let opcode = Opcode::from_bits(bits)?;
            assert_eq!(opcode as u8, bits);
            assert_eq!(opcode.is_control(), bits >= 8);
            assert_eq!(opcode.is_control(), matches!(opcode.class(), Class::Control(_)));
            Some(bits)
        });
        assert_eq!(known.collect::<Vec<_>>(), [0x0, 0x1, 0x2, 0x8, 0x9, 0xa]);
    }

    #[test]
    fn a_kind_is_its_opcode() {
        for kind in [Kind::Text, Kind::Binary] {
            assert_eq!(Opcode::from(kind).class(), Class::First(kind));
        }
    }
}
