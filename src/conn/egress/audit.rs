//! Whether a queue's accounts agree with what is in it: looked at by tests.

use super::{Egress, cost_of, is_message};

impl Egress {
    /// E1 and E2: counts everything once more and compares. Panics where something is wrong.
    pub fn audit(&self, charge_max: usize) {
        let charged = self.frames.iter().map(|waiting| cost_of(&waiting.frame)).sum::<usize>();
        assert_eq!(charged, self.charged, "E1: charged octets");
        let direct = self.frames.iter().filter(|waiting| !is_message(waiting.tag));
        let direct = direct.map(|waiting| cost_of(&waiting.frame)).sum::<usize>();
        assert_eq!(direct, self.direct, "E1: octets that the peer has caused");
        let first = self.frames.front().expect("an empty queue is not kept");
        assert!(self.skip < first.frame.len(), "E2: the first frame is not all out");
        assert!(self.in_flight <= self.frames.len(), "E2: more in flight than there is");
        // A frame that is partly out is kept whatever it costs.
        let beyond = if self.skip > 0 { cost_of(&first.frame) } else { 0 };
        assert!(charged <= charge_max + beyond, "E1: {charged} charged, {charge_max} allowed");
    }

    /// What the frame that is partly out is charged: it may go over limits.
    pub fn partial_cost(&self) -> usize {
        let first = self.frames.front().filter(|_| self.skip > 0);
        first.map_or(0, |waiting| cost_of(&waiting.frame))
    }
}
