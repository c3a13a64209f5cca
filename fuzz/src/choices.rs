//! Octets as a source of choices. One that has run out chooses zero, so every input means
//! something, and a shorter one nearly the same.

/// See the module's header.
pub(crate) struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Choices { rest: octets }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn octet(&mut self) -> u8 {
        let Some((&octet, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        octet
    }

    /// Less than `bound`, which is 256 at most: one octet.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        assert!((1..=256).contains(&bound));
        usize::from(self.octet()) % bound
    }

    /// Any one of `values`.
    pub(crate) fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// Two octets.
    pub(crate) fn number(&mut self) -> usize {
        usize::from(self.octet()) << 8 | usize::from(self.octet())
    }

    /// Small, medium or large: an octet says how many octets the number has.
    pub(crate) fn scaled(&mut self, bits_max: u32) -> u32 {
        let bits = u32::from(self.octet()) % (bits_max + 1);
        let number = (self.number() << 16 | self.number()) as u32;
        number & ((1_u64 << bits) - 1) as u32
    }

    /// `len` octets, or what is left.
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}
