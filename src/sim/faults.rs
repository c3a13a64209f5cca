//! What the simulated kernel does wrong, or late, and how often.
//!
//! Everything here is something that the real kernel may do. Each seed draws its own mixture, and
//! most faults are wholly off in most seeds: bugs hide where a fault never meets another one, as
//! well as where every fault keeps others from ever getting far (swarm testing, Groce et al. 2012).

use crate::base::prng::Prng;

/// A probability in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance(pub u16);

impl Chance {
    /// Rolls the dice. Something that never happens costs no random number, so a calm kernel is the
    /// same with every seed.
    pub fn strikes(self, prng: &mut Prng) -> bool {
        self.0 > 0 && prng.below(1000) < u64::from(self.0)
    }
}

/// How often what happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A fast send is taken in part only, at any octet (K4).
    pub short_send: Chance,
    /// A fast send is not taken at all: -EAGAIN (K4).
    pub would_block: Chance,
    /// A fast send finds the connection broken (K5).
    pub send_fails: Chance,
    /// A queued send ends before all is out (K6).
    pub queued_short: Chance,
    /// A queued send finds the connection broken (K6).
    pub queued_fails: Chance,
    /// No receive buffer is free (K7).
    pub starves: Chance,
    /// A multishot receive ends for no reason (K8).
    pub ends_again: Chance,
    /// A receive finds the connection broken (K9).
    pub recv_fails: Chance,
    /// A cancelled receive goes on for a while (K10).
    pub late_cancel: Chance,
    /// A cancel misses a receive that the kernel is about to try again (K10).
    pub missed_cancel: Chance,
    /// A shutdown takes its time (K11).
    pub late_shutdown: Chance,
    /// The completions of one socket or listener are made later (K1).
    pub delays: Chance,
    /// The completion queue has overflowed: a turn gets only a few of those that wait (K2).
    pub overflows: Chance,
    /// Completions of a connection that is gone (K3).
    pub ghosts: Chance,
    /// An accept finds that the connection is gone (K12).
    pub accept_aborts: Chance,
    /// An accept lacks memory (K12).
    pub accept_fails: Chance,
    /// A wake-up can't be delivered (K13).
    pub wake_fails: Chance,
    /// A shard wakes for nothing (K13).
    pub idle_wakes: Chance,
    /// The process stands still, or the clock of the wall is set (K14).
    pub clock_jumps: Chance,
}

impl Faults {
    /// Draws the mixture of a seed.
    pub fn draw(prng: &mut Prng) -> Faults {
        // One seed in eight has no faults at all.
        if prng.below(8) == 0 {
            return Faults::default();
        }
        let mut drawn = |most: u64| match prng.below(5) {
            0..=2 => Chance(0),
            3 => Chance(1 + prng.below(most / 8 + 1) as u16),
            _ => Chance(1 + prng.below(most) as u16),
        };
        Faults {
            short_send: drawn(800),
            would_block: drawn(500),
            send_fails: drawn(20),
            queued_short: drawn(700),
            queued_fails: drawn(100),
            starves: drawn(500),
            ends_again: drawn(800),
            recv_fails: drawn(20),
            late_cancel: drawn(800),
            missed_cancel: drawn(800),
            late_shutdown: drawn(900),
            delays: drawn(800),
            overflows: drawn(900),
            ghosts: drawn(300),
            accept_aborts: drawn(200),
            accept_fails: drawn(200),
            wake_fails: drawn(300),
            idle_wakes: drawn(200),
            clock_jumps: drawn(8),
        }
    }

    /// True when nothing goes wrong.
    pub fn is_calm(&self) -> bool {
        *self == Faults::default()
    }
}

/// Bugs that are put in on purpose, to see that they are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// The kernel drops an octet of a send.
    DropsAnOctet,
    /// The kernel says of a short send that one octet more went out.
    CountsOneTooMany,
    /// The kernel delivers what was received twice.
    ReceivesTwice,
    /// The kernel exchanges two pieces of a stream.
    SwapsReceived,
    /// The kernel never says that a cancelled receive is over.
    ForgetsTheEnd,
    /// The kernel never says that a descriptor is closed.
    ForgetsTheClose,
    /// The kernel loses wake-ups.
    LosesWakes,
    /// The model is told of an offset that nobody was given.
    TellsAWrongOffset,
    /// The model is told towards the end of no message any more.
    MissesTheLast,
    /// The model is not told where messages stand that it has published.
    MissesAcks,
    /// The model is told that messages were refused that were taken.
    TakesAcksForRefusals,
    /// The model takes all publishers for the same.
    TakesAllForOne,
}

impl Canary {
    /// All of them.
    pub const ALL: [Canary; 12] = [
        Canary::DropsAnOctet,
        Canary::CountsOneTooMany,
        Canary::ReceivesTwice,
        Canary::SwapsReceived,
        Canary::ForgetsTheEnd,
        Canary::ForgetsTheClose,
        Canary::LosesWakes,
        Canary::TellsAWrongOffset,
        Canary::MissesTheLast,
        Canary::MissesAcks,
        Canary::TakesAcksForRefusals,
        Canary::TakesAllForOne,
    ];
}
