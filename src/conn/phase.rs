//! What the protocol believes of a connection: a machine of four states, pure and total.
//!
//! `tests/golden/phase.txt` pins the whole table; a changed cell shows in the diff.

/// Where a connection is in its life (RFC 6455, sections 4 and 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The opening handshake is not complete.
    Upgrading,
    /// Messages flow both ways.
    Open,
    /// We have sent a close frame and wait for the peer's; what else it sends is ignored.
    Closing,
    /// Nothing more will be said by the protocol. What is queued may still go out.
    Ended,
}

/// What moves a connection on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// The handshake is complete and accepted.
    UpgradeAccepted,
    /// The handshake is refused, with an HTTP answer.
    UpgradeRefused,
    /// We want to close and say so.
    CloseRequested,
    /// The peer's close frame is here.
    CloseReceived,
    /// The peer broke the protocol.
    PeerFaulted,
    /// The deadline of the present phase has passed.
    DeadlinePassed,
    /// The stream is over: end of file, reset, or given up.
    StreamLost,
}

impl Phase {
    /// All phases.
    pub const ALL: [Phase; 4] = [Phase::Upgrading, Phase::Open, Phase::Closing, Phase::Ended];
}

impl Trigger {
    /// All triggers.
    pub const ALL: [Trigger; 7] = [
        Trigger::UpgradeAccepted,
        Trigger::UpgradeRefused,
        Trigger::CloseRequested,
        Trigger::CloseReceived,
        Trigger::PeerFaulted,
        Trigger::DeadlinePassed,
        Trigger::StreamLost,
    ];
}

/// The phase after `trigger`. `None` where the trigger can't happen: to send it there is a bug.
pub fn next(phase: Phase, trigger: Trigger) -> Option<Phase> {
    match (phase, trigger) {
        (Phase::Upgrading, Trigger::UpgradeAccepted) => Some(Phase::Open),
        (Phase::Upgrading, Trigger::UpgradeRefused) => Some(Phase::Ended),
        // A drain or a handler may want to close what has not begun: it just ends.
        (Phase::Upgrading, Trigger::CloseRequested) => Some(Phase::Ended),
        (Phase::Upgrading, Trigger::DeadlinePassed) => Some(Phase::Ended),
        (Phase::Upgrading, Trigger::StreamLost) => Some(Phase::Ended),
        (Phase::Upgrading, Trigger::CloseReceived | Trigger::PeerFaulted) => None,

        (Phase::Open, Trigger::UpgradeAccepted | Trigger::UpgradeRefused) => None,
        (Phase::Open, Trigger::CloseRequested) => Some(Phase::Closing),
        (Phase::Open, Trigger::CloseReceived) => Some(Phase::Ended),
        (Phase::Open, Trigger::PeerFaulted) => Some(Phase::Ended),
        (Phase::Open, Trigger::DeadlinePassed) => Some(Phase::Ended),
        (Phase::Open, Trigger::StreamLost) => Some(Phase::Ended),

        (Phase::Closing, Trigger::UpgradeAccepted | Trigger::UpgradeRefused) => None,
        // Whoever closes first gives the reason; later wishes change nothing.
        (Phase::Closing, Trigger::CloseRequested) => Some(Phase::Closing),
        (Phase::Closing, Trigger::CloseReceived) => Some(Phase::Ended),
        (Phase::Closing, Trigger::PeerFaulted) => Some(Phase::Ended),
        (Phase::Closing, Trigger::DeadlinePassed) => Some(Phase::Ended),
        (Phase::Closing, Trigger::StreamLost) => Some(Phase::Ended),

        (Phase::Ended, Trigger::UpgradeAccepted | Trigger::UpgradeRefused) => None,
        (Phase::Ended, Trigger::CloseReceived | Trigger::PeerFaulted) => None,
        (Phase::Ended, Trigger::CloseRequested) => Some(Phase::Ended),
        (Phase::Ended, Trigger::DeadlinePassed) => Some(Phase::Ended),
        (Phase::Ended, Trigger::StreamLost) => Some(Phase::Ended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_golden_one() {
        let mut table = String::new();
        for phase in Phase::ALL {
            for trigger in Trigger::ALL {
                let to = next(phase, trigger).map_or("(bug)".into(), |to| format!("{to:?}"));
                table += &format!("{phase:<9?} + {trigger:<15?} -> {to}\n");
            }
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/phase.txt");
        if std::env::var_os("RINGWIRE_BLESS").is_some() {
            std::fs::write(path, &table).expect("the golden file can be written");
        }
        let golden = std::fs::read_to_string(path).expect("the golden file is there");
        assert_eq!(table, golden, "run with RINGWIRE_BLESS=1 if the change is meant");
    }

    #[test]
    fn nothing_leaves_the_end_and_nothing_returns_to_an_earlier_phase() {
        let rank = |phase| Phase::ALL.iter().position(|p| *p == phase);
        for phase in Phase::ALL {
            for trigger in Trigger::ALL {
                if let Some(to) = next(phase, trigger) {
                    assert!(rank(to) >= rank(phase), "{phase:?} + {trigger:?} -> {to:?}");
                }
            }
        }
    }
}
