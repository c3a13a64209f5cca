//! The timer wheel against a sorted map of deadlines.

use std::collections::BTreeMap;

use ringwire::base::wheel::Wheel;
use ringwire::base::{Slot, Tick};

use super::choices::Choices;

const SLOTS: usize = 32;

/// Input: when time begins, then operations.
pub(crate) fn check(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let start = match choices.below(4) {
        0 => 0,
        1 => choices.scaled(32),
        // Time ends with the number's bits; deadlines saturate there.
        2 => u32::MAX - choices.scaled(12),
        _ => 1 << choices.below(32),
    };
    let mut pair =
        Pair { wheel: Wheel::new(SLOTS as u32, Tick(start)), now: start, model: BTreeMap::new() };
    while !choices.is_empty() {
        match choices.below(6) {
            0..=2 => pair.set(&mut choices),
            3 => pair.clear(&mut choices),
            4 => pair.advance(&mut choices, usize::MAX),
            _ => {
                let most = choices.below(8);
                pair.advance(&mut choices, most);
            }
        }
        pair.check();
    }
}

/// The wheel and its model: by slot, the deadline.
struct Pair {
    wheel: Wheel,
    now: u32,
    model: BTreeMap<u32, u32>,
}

impl Pair {
    fn set(&mut self, choices: &mut Choices<'_>) {
        let (slot, after) = (choices.below(SLOTS) as u32, choices.scaled(32));
        // Now and then one that has passed already.
        let at = match choices.below(8) {
            0 => self.now.saturating_sub(after),
            _ => self.now.saturating_add(after),
        };
        self.wheel.set(Slot(slot), Tick(at));
        self.model.insert(slot, at);
    }

    fn clear(&mut self, choices: &mut Choices<'_>) {
        let slot = choices.below(SLOTS) as u32;
        self.wheel.clear(Slot(slot));
        self.model.remove(&slot);
    }

    /// Time passes, and at most so many are taken out: those that are due, each once.
    fn advance(&mut self, choices: &mut Choices<'_>, most: usize) {
        self.now = self.now.saturating_add(choices.scaled(32));
        let mut fired = 0;
        while fired < most
            && let Some(slot) = self.wheel.pop_expired(Tick(self.now))
        {
            fired += 1;
            let at = self.model.remove(&slot.0);
            assert!(at.is_some_and(|at| at <= self.now), "{slot:?} fires early, or twice");
        }
        let is_due = |at: &u32| *at <= self.now;
        assert!(fired == most || !self.model.values().any(is_due), "one is due and does not fire");
    }

    fn check(&mut self) {
        assert_eq!(self.wheel.armed(), self.model.len());
        let soonest = self.model.values().min().copied();
        let bound = self.wheel.next_deadline().map(|tick| tick.0);
        assert_eq!(bound.is_some(), soonest.is_some());
        // What has passed fires at once, so the wheel may name the present.
        assert!(bound <= soonest.map(|at| at.max(self.now)), "{bound:?} is after {soonest:?}");
    }
}
