//! Whether the messages of one sender come whole and in order.

use std::collections::BTreeSet;

use super::report::{FaultCause, FaultLog};

/// Numbers remembered as missing, so that a late message is told from a duplicate.
const MISSING_MAX: usize = 64 * 1024;

/// Remembers what was skipped, for all streams of one ring.
#[derive(Debug, Default)]
pub(super) struct Orders {
    missing: BTreeSet<(u64, u32)>,
}

impl Orders {
    /// Message `sequence` of a stream has come. True when it is the next one: the hot path.
    pub(super) fn observe(
        &mut self,
        stream: u64,
        expected: &mut u32,
        sequence: u32,
        faults: &mut FaultLog,
    ) -> bool {
        if sequence == *expected {
            *expected += 1;
            return true;
        }
        self.disordered(stream, expected, sequence, faults);
        false
    }

    #[cold]
    fn disordered(
        &mut self,
        stream: u64,
        expected: &mut u32,
        sequence: u32,
        faults: &mut FaultLog,
    ) {
        let awaited = *expected;
        let found = || format!("message {sequence} of stream {stream} where {awaited} was due");
        if sequence > awaited {
            for skipped in awaited..sequence {
                if self.missing.len() < MISSING_MAX {
                    self.missing.insert((stream, skipped));
                }
            }
            faults.add_many(FaultCause::Lost, u64::from(sequence - awaited), found);
            *expected = sequence + 1;
        } else if self.missing.remove(&(stream, sequence)) {
            faults.take_back(FaultCause::Lost);
            faults.add(FaultCause::Reordered, found);
        } else {
            faults.add(FaultCause::Duplicated, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream of numbers is found to be.
    fn faults_of(numbers: &[u32]) -> Vec<(FaultCause, u64)> {
        let (mut orders, mut faults, mut expected) = (Orders::default(), FaultLog::default(), 0);
        for number in numbers {
            orders.observe(7, &mut expected, *number, &mut faults);
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
}
