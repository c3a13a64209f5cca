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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many octets show that a text is not UTF-8, by the standard library's verdict on every
    /// prefix: an `error_len` means that no continuation helps.
    fn fails_after(bytes: &[u8]) -> Option<usize> {
        (1..=bytes.len()).find(|&len| {
            std::str::from_utf8(&bytes[..len]).is_err_and(|error| error.error_len().is_some())
        })
    }

    fn check(bytes: &[u8], pieces: &[&[u8]]) {
        let fails_after = fails_after(bytes);
        let (mut utf8, mut seen) = (Utf8::new(), 0);
        for piece in pieces {
            seen += piece.len();
            let expected =
                if fails_after.is_some_and(|at| at <= seen) { Err(Invalid) } else { Ok(()) };
            assert_eq!(utf8.push(piece), expected, "{bytes:x?} at {seen}");
            if expected.is_err() {
                return;
            }
            assert_eq!(utf8.is_complete(), std::str::from_utf8(&bytes[..seen]).is_ok());
        }
    }

    fn octet_by_octet(bytes: &[u8]) {
        check(bytes, &bytes.chunks(1).collect::<Vec<_>>());
    }

    /// Octets at the edges of what section 4 of RFC 3629 allows.
    const EDGES: [u8; 22] = [
        0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xec,
        0xed, 0xee, 0xf0, 0xf3, 0xf4, 0xf5, 0xff,
    ];

    #[test]
    fn every_lead_and_second_octet_with_every_edge() {
        for (lead, second) in (0..=255_u8).flat_map(|a| (0..=255_u8).map(move |b| (a, b))) {
            octet_by_octet(&[lead, second]);
            octet_by_octet(&[lead, second, 0xbf, 0x80]);
        }
        for lead in EDGES {
            for rest in 0..22_usize.pow(3) {
                let [a, b, c] = [rest % 22, rest / 22 % 22, rest / 484].map(|index| EDGES[index]);
                octet_by_octet(&[lead, a, b, c]);
            }
        }
    }

    #[test]
    fn fails_with_the_octet_that_cannot_be_repaired() {
        for (bytes, octets) in [
            (&b"\xf5"[..], 1),
            (b"\xc0\x80", 1),
            (b"\xed\xa0\x80", 2),
            (b"\xe0\x80\x80", 2),
            (b"\xf4\x90\x80\x80", 2),
            (b"ok \xce\xba\xe1\xbd\xb9\xff", 9),
        ] {
            assert_eq!(fails_after(bytes), Some(octets));
            octet_by_octet(bytes);
        }
    }

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let edges = prop::collection::vec(prop::sample::select(EDGES.to_vec()), 0..12);
        let valid = ".{0,60}".prop_map(String::into_bytes);
        let long =
            (".{1,5}", 0..60_usize).prop_map(|(text, times)| text.repeat(times).into_bytes());
        let broken = (long.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
            |(mut text, at, octet)| {
                if !text.is_empty() {
                    let at = at.index(text.len());
                    text[at] = octet;
                }
                text
            },
        );
        prop_oneof![edges, valid, long, broken, prop::collection::vec(any::<u8>(), 0..20)]
    }

    proptest! {
        #[test]
        fn any_pieces_of_any_octets(
            bytes in texts(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            check(&bytes, &pieces);
            octet_by_octet(&bytes);
        }
    }
}
