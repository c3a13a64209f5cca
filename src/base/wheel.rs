//! A hierarchical timer wheel, intrusive by slot: at most one deadline per connection.
//!
//! Owns six levels of 64 buckets (together all of `Tick`) and one node per slot. All memory is
//! allocated at start and touched as slots are used; setting, clearing and firing never allocate.
//!
//! Invariants:
//! - W1 a node is in the circular list of exactly one bucket, or in none (`next == 0`);
//! - W2 an entry lies on the level of the highest six-bit group in which its deadline differs from
//!   `current`, so everything on a lower level fires before everything on a higher one; until it
//!   was moved down, what lies in a bucket that time has entered comes before all else;
//! - W3 a bit of `occupied` may be set for an empty bucket (removal does not look), never the
//!   reverse.

use super::ids::Slot;
use super::time::Tick;

const LEVELS: usize = 6;
const BUCKETS: usize = 64;
/// Node 0 stands for "not linked"; then come the bucket heads, then the slots.
const FIRST_SLOT: u32 = 1 + (LEVELS * BUCKETS) as u32;

const NEXT: usize = 0;
const PREV: usize = 1;
const DEADLINE: usize = 2;

/// See the module's header.
pub struct Wheel {
    /// `[next, prev, deadline]`: arrays of integers, so that the zeroed memory comes untouched.
    nodes: Vec<[u32; 3]>,
    occupied: [u64; LEVELS],
    current: u32,
    armed: usize,
}

impl Wheel {
    /// A wheel for `slots` slots whose time begins at `now`.
    pub fn new(slots: u32, now: Tick) -> Self {
        let mut nodes = vec![[0; 3]; (FIRST_SLOT + slots) as usize];
        for head in 1..FIRST_SLOT {
            nodes[head as usize] = [head, head, 0];
        }
        Wheel { nodes, occupied: [0; LEVELS], current: now.0, armed: 0 }
    }

    /// Sets (or moves) the slot's deadline. One that has passed fires at the next look.
    pub fn set(&mut self, slot: Slot, deadline: Tick) {
        self.clear(slot);
        self.link(FIRST_SLOT + slot.0, deadline.0);
        self.armed += 1;
    }

    /// Forgets the slot's deadline, if it has one.
    pub fn clear(&mut self, slot: Slot) {
        let node = FIRST_SLOT + slot.0;
        if self.nodes[node as usize][NEXT] != 0 {
            self.unlink(node);
            self.armed -= 1;
        }
    }

    /// How many slots have a deadline.
    pub fn armed(&self) -> usize {
        self.armed
    }

    /// Takes out one slot whose deadline is `now` or earlier. Call until `None`, or stop at a
    /// budget and come back.
    pub fn pop_expired(&mut self, now: Tick) -> Option<Slot> {
        while let Some((level, start)) = self.next_bucket() {
            if start > now.0 {
                break;
            }
            self.current = start;
            let node = self.nodes[bucket_head(level, start) as usize][NEXT];
            let deadline = self.nodes[node as usize][DEADLINE];
            self.unlink(node);
            if level == 0 {
                self.armed -= 1;
                return Some(Slot(node - FIRST_SLOT));
            }
            self.link(node, deadline);
        }
        self.current = self.current.max(now.0);
        None
    }

    /// A tick before which nothing fires: how long the shell may sleep.
    pub fn next_deadline(&mut self) -> Option<Tick> {
        self.next_bucket().map(|(_, start)| Tick(start))
    }

    /// The earliest bucket that holds something, and the first tick it stands for. Clears the
    /// bits of empty ones on its way (W3): one left over from an earlier round would stand for a
    /// tick that is still to come and hide what is due on a higher level.
    fn next_bucket(&mut self) -> Option<(usize, u32)> {
        if let Some(level) = self.entered_bucket() {
            return Some((level, self.current));
        }
        for level in 0..LEVELS {
            let shift = 6 * level as u32;
            loop {
                let ahead = self.occupied[level] >> bucket_index(level, self.current);
                if ahead == 0 {
                    break;
                }
                let index = (self.current >> shift) + ahead.trailing_zeros();
                let start = (index << shift).max(self.current);
                let head = bucket_head(level, start);
                if self.nodes[head as usize][NEXT] != head {
                    return Some((level, start));
                }
                self.occupied[level] &= !(1 << bucket_index(level, start));
            }
        }
        None
    }

    /// The highest level whose present bucket still holds something: time has entered it, so what
    /// is in it belongs further down, and may be due before anything that is there already.
    fn entered_bucket(&self) -> Option<usize> {
        (1..LEVELS).rev().find(|&level| {
            let head = bucket_head(level, self.current);
            let may_hold = self.occupied[level] >> bucket_index(level, self.current) & 1 == 1;
            may_hold && self.nodes[head as usize][NEXT] != head
        })
    }

    fn link(&mut self, node: u32, deadline: u32) {
        let at = deadline.max(self.current);
        let differs = at ^ self.current;
        let level = if differs == 0 { 0 } else { (31 - differs.leading_zeros()) as usize / 6 };
        let head = bucket_head(level, at);
        let last = self.nodes[head as usize][PREV];
        self.nodes[node as usize] = [head, last, deadline];
        self.nodes[last as usize][NEXT] = node;
        self.nodes[head as usize][PREV] = node;
        self.occupied[level] |= 1 << bucket_index(level, at);
    }

    fn unlink(&mut self, node: u32) {
        let [next, prev, _] = self.nodes[node as usize];
        self.nodes[prev as usize][NEXT] = next;
        self.nodes[next as usize][PREV] = prev;
        self.nodes[node as usize][NEXT] = 0;
    }
}

fn bucket_index(level: usize, tick: u32) -> u32 {
    (tick >> (6 * level)) & 63
}

fn bucket_head(level: usize, tick: u32) -> u32 {
    1 + (level * BUCKETS) as u32 + bucket_index(level, tick)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u32),
        Clear(u32),
        Advance(u32),
        /// Time passes, and at most so many are taken out.
        AdvanceInPart(u32, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let delay = prop_oneof![0..4u32, 0..200u32, 0..10_000u32, 0..3_000_000u32];
        prop_oneof![
            4 => (0..32u32, delay.clone()).prop_map(|(slot, after)| Step::Set(slot, after)),
            1 => (0..32u32).prop_map(Step::Clear),
            3 => delay.clone().prop_map(Step::Advance),
            2 => (delay, 0..8usize).prop_map(|(by, most)| Step::AdvanceInPart(by, most)),
        ]
    }

    proptest! {
        /// Oracle: a sorted map of deadlines.
        #[test]
        fn fires_what_a_sorted_map_fires(
            start in 0..u32::MAX / 4,
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let mut now = start;
            let mut wheel = Wheel::new(32, Tick(now));
            let mut model: BTreeMap<u32, u32> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Set(slot, after) => {
                        wheel.set(Slot(slot), Tick(now + after));
                        model.insert(slot, now + after);
                    }
                    Step::Clear(slot) => {
                        wheel.clear(Slot(slot));
                        model.remove(&slot);
                    }
                    Step::Advance(by) => {
                        now += by;
                        let mut fired = Vec::new();
                        while let Some(slot) = wheel.pop_expired(Tick(now)) {
                            fired.push(slot.0);
                        }
                        let due = |(slot, at): (&u32, &u32)| (*at <= now).then_some(*slot);
                        let expected: Vec<u32> = model.iter().filter_map(due).collect();
                        model.retain(|_, at| *at > now);
                        fired.sort_unstable();
                        prop_assert_eq!(fired, expected);
                    }
                    Step::AdvanceInPart(by, most) => {
                        now += by;
                        let mut fired = 0;
                        while fired < most
                            && let Some(slot) = wheel.pop_expired(Tick(now))
                        {
                            fired += 1;
                            let at = model.remove(&slot.0);
                            prop_assert!(at.is_some_and(|at| at <= now), "early, or twice");
                        }
                        let are_left = model.values().any(|at| *at <= now);
                        prop_assert!(fired == most || !are_left, "some are due and don't fire");
                    }
                }
                prop_assert_eq!(wheel.armed(), model.len());
                let soonest = model.values().min().copied();
                let bound = wheel.next_deadline().map(|tick| tick.0);
                prop_assert_eq!(bound.is_some(), soonest.is_some());
                prop_assert!(bound <= soonest);
            }
        }
    }

    /// Time enters a high bucket at the very tick at which one of its entries is due, and another
    /// one is moved down first.
    #[test]
    fn what_is_due_fires_though_its_neighbour_has_moved_down_already() {
        let edge = 1 << 18;
        let mut wheel = Wheel::new(2, Tick(5));
        wheel.set(Slot(0), Tick(edge + 768));
        wheel.set(Slot(1), Tick(edge));
        assert_eq!(wheel.pop_expired(Tick(edge - 1)), None);
        assert_eq!(wheel.pop_expired(Tick(edge)), Some(Slot(1)));
        assert_eq!(wheel.pop_expired(Tick(edge)), None);
        assert_eq!(wheel.pop_expired(Tick(edge + 768)), Some(Slot(0)));
    }

    #[test]
    fn fires_in_order_across_levels() {
        let mut wheel = Wheel::new(8, Tick(0));
        for (slot, at) in [(0, 5000), (1, 70), (2, 3), (3, 300_000)] {
            wheel.set(Slot(slot), Tick(at));
        }
        let mut order = Vec::new();
        for now in (0..300_001).step_by(1000) {
            while let Some(slot) = wheel.pop_expired(Tick(now)) {
                order.push(slot.0);
            }
        }
        assert_eq!(order, [2, 1, 0, 3]);
    }
}
