//! UTF-8 validation of a text that arrives in pieces.
//!
//! Keeps at most the three octets of an unfinished character. Fails with the first octet that no
//! continuation can repair (`F5`, `ED A0`, `F4 90`), not only at the end of the character.

/// The text can't become UTF-8 any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// The state between two pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8 {
    carry: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// The state before the first piece.
    pub fn new() -> Self {
        Utf8::default()
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Invalid> {
        let rest = self.finish_character(piece)?;
        match simdutf8::compat::from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(Invalid),
            Err(error) => {
                self.keep(&rest[error.valid_up_to()..]);
                Ok(())
            }
        }
    }

    /// True when the text so far ends with a whole character.
    pub fn is_complete(self) -> bool {
        self.len == 0
    }

    /// Completes the carried character from `piece` and gives what follows it. A piece that is too
    /// short to complete it is carried as well, and nothing follows.
    fn finish_character<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], Invalid> {
        if self.len == 0 {
            return Ok(piece);
        }
        let carried = usize::from(self.len);
        let mut character = [0; 4];
        character[..carried].copy_from_slice(&self.carry[..carried]);
        for (index, &octet) in piece.iter().enumerate().take(4 - carried) {
            let len = carried + index + 1;
            character[len - 1] = octet;
            match std::str::from_utf8(&character[..len]) {
                Ok(_) => {
                    self.len = 0;
                    return Ok(&piece[index + 1..]);
                }
                Err(error) if error.error_len().is_some() => return Err(Invalid),
                Err(_) => self.keep(&character[..len]),
            }
        }
        Ok(&[])
    }

    fn keep(&mut self, unfinished: &[u8]) {
        self.carry[..unfinished.len()].copy_from_slice(unfinished);
        self.len = unfinished.len() as u8;
    }
}
