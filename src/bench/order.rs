//! Whether the messages of one sender come whole and in order.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{FaultCause, FaultLog};
use crate::base::Slot;

/// Numbers remembered as missing, so that a late message is told from a duplicate.
const MISSING_MAX: usize = 64 * 1024;
/// Messages that can be missing at a time: more than any pace leaves on their way.
const GAP_MAX: u32 = 1 << 26;

/// What a message is to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It had not come before, whether or not it was its turn.
    New,
    /// It has come before.
    Repeated,
}

/// Remembers what was skipped and what could not be read, for all streams of one ring.
#[derive(Debug, Default)]
pub(super) struct Orders {
    missing: BTreeSet<(u64, u32)>,
    /// By connection: messages that came corrupted and whose numbers are not known yet to be
    /// missing. Each stands for one of them, which would otherwise count as lost too.
    unread: BTreeMap<Slot, u64>,
}

impl Orders {
    /// Message `sequence` of a stream has come to a connection. In order is the hot path.
    pub(super) fn observe(
        &mut self,
        (slot, stream): (Slot, u64),
        expected: &mut u32,
        sequence: u32,
        faults: &mut FaultLog,
    ) -> Place {
        if sequence == *expected {
            *expected += 1;
            return Place::New;
        }
        self.disordered((slot, stream), expected, sequence, faults)
    }

    /// A message has come to a connection that can't be read.
    #[cold]
    pub(super) fn corrupted(&mut self, slot: Slot) {
        *self.unread.entry(slot).or_default() += 1;
    }

    /// Of so many messages that have not come to a connection, those that have not come corrupted
    /// either.
    pub(super) fn still_late(&self, slot: Slot, late: u64) -> u64 {
        late.saturating_sub(self.unread.get(&slot).copied().unwrap_or(0))
    }

    #[cold]
    fn disordered(
        &mut self,
        (slot, stream): (Slot, u64),
        expected: &mut u32,
        sequence: u32,
        faults: &mut FaultLog,
    ) -> Place {
        let awaited = *expected;
        if sequence.saturating_sub(awaited) > GAP_MAX || sequence == u32::MAX {
            // Nobody has sent so many: a number that a server made up.
            faults.add(FaultCause::Corrupted, || format!("message {sequence} was never sent"));
            return Place::Repeated;
        }
        let found = || format!("message {sequence} of stream {stream} where {awaited} was due");
        if sequence > awaited {
            let skipped = u64::from(sequence - awaited);
            let lost = self.still_late(slot, skipped);
            if let Some(unread) = self.unread.get_mut(&slot) {
                *unread -= skipped - lost;
            }
            let room = MISSING_MAX - self.missing.len();
            let numbers = (sequence - lost as u32..sequence).take(room);
            self.missing.extend(numbers.map(|number| (stream, number)));
            faults.add_many(FaultCause::Lost, lost, found);
            *expected = sequence + 1;
        } else if self.missing.remove(&(stream, sequence)) {
            faults.take_back(FaultCause::Lost);
            faults.add(FaultCause::Reordered, found);
        } else {
            faults.add(FaultCause::Duplicated, found);
            return Place::Repeated;
        }
        Place::New
    }
}

/// A sender has sent as many messages as there are numbers, and falls silent.
#[cold]
pub(super) fn out_of_numbers(faults: &mut FaultLog) {
    faults.add(FaultCause::Overrun, || "a sender has used up the numbers of its messages".into());
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: (Slot, u64) = (Slot(3), 7);

    /// What a stream of numbers is found to be.
    fn faults_of(numbers: &[u32]) -> Vec<(FaultCause, u64)> {
        let (mut orders, mut faults, mut expected) = (Orders::default(), FaultLog::default(), 0);
        for number in numbers {
            orders.observe(HERE, &mut expected, *number, &mut faults);
        }
        faults.faults().iter().map(|fault| (fault.cause, fault.count)).collect()
    }

    #[test]
    fn tells_loss_disorder_and_duplicates_apart() {
        assert_eq!(faults_of(&[0, 1, 2, 3]), []);
        assert_eq!(faults_of(&[0, 3, 4]), [(FaultCause::Lost, 2)]);
        assert_eq!(faults_of(&[0, 1, 1]), [(FaultCause::Duplicated, 1)]);
        assert_eq!(faults_of(&[1, 0, 2]), [(FaultCause::Reordered, 1)]);
        assert_eq!(
            faults_of(&[2, 0, 0]),
            [(FaultCause::Lost, 1), (FaultCause::Duplicated, 1), (FaultCause::Reordered, 1)]
        );
    }

    #[test]
    fn what_came_corrupted_is_not_lost_as_well() {
        let (mut orders, mut faults, mut expected) = (Orders::default(), FaultLog::default(), 0);
        orders.corrupted(Slot(3));
        assert_eq!((orders.still_late(Slot(3), 2), orders.still_late(Slot(4), 2)), (1, 2));
        orders.observe(HERE, &mut expected, 2, &mut faults);
        assert_eq!(faults.count(FaultCause::Lost), 1, "of two that were skipped");
        assert_eq!(orders.still_late(Slot(3), 2), 2, "it stands for one message only");
        assert_eq!(orders.observe(HERE, &mut expected, 1, &mut faults), Place::New);
        assert_eq!(orders.observe(HERE, &mut expected, 1, &mut faults), Place::Repeated);
        assert_eq!(faults.count(FaultCause::Lost), 0);
    }
}
