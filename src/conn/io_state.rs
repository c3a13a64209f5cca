//! What the kernel still holds of a connection: the second machine, orthogonal to the phase.
//!
//! Invariants: I1 a slot is freed only when the descriptor is closed; I2 the descriptor is closed
//! only when no receive and no queued send is outstanding (terminate, join, close); I3 a receive is
//! armed again only while nothing pauses it and no teardown has begun to join.

/// The receiving side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recv {
    /// Not armed: paused, or about to be armed.
    Idle,
    /// Armed: bytes may come.
    Armed,
    /// A cancel is under way; bytes may still come.
    Cancelling,
    /// Ended for want of buffers: armed again when buffers are back.
    Starved,
    /// The peer's stream is over.
    Over,
}

/// The sending side, as far as the kernel owns memory of it. Fast sends hold nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// Nothing in flight.
    Idle,
    /// One queued send in flight.
    InFlight,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teardown {
    /// Not begun.
    None,
    /// What is queued goes out first. `linger`: then wait for the peer to close, because closing
    /// with unread input would reset the connection and destroy our last words.
    Flushing { linger: bool },
    /// Our half is shut; input is read and thrown away until the peer closes.
    Lingering,
    /// Both halves are shut: the receive and the send are being joined.
    Joining,
    /// The close is under way.
    Closing,
}

/// Why reading is paused; a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause(u8);

impl Pause {
    /// Its replies fill its egress queue.
    pub const EGRESS: Pause = Pause(1);
    /// What it publishes fills a lane.
    pub const LANE: Pause = Pause(2);
    /// The handler asked for it.
    pub const HANDLER: Pause = Pause(4);
    /// What it has sent is not all inflated yet.
    pub const INFLATE: Pause = Pause(8);

    /// True when nothing pauses reading.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True when `reason` is among the reasons.
    pub fn has(self, reason: Pause) -> bool {
        self.0 & reason.0 != 0
    }

    /// Adds a reason.
    pub fn add(&mut self, reason: Pause) {
        self.0 |= reason.0;
    }

    /// Takes a reason away.
    pub fn remove(&mut self, reason: Pause) {
        self.0 &= !reason.0;
    }
}

/// See the module's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoState {
    /// The receiving side.
    pub recv: Recv,
    /// The sending side.
    pub send: Send,
    /// The end.
    pub teardown: Teardown,
    /// Why reading is paused.
    pub pause: Pause,
}

/// What to order the kernel about a receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvOrder {
    /// Nothing.
    Keep,
    /// `Op::ArmRecv`.
    Arm,
    /// `Op::CancelRecv`.
    Cancel,
}

impl IoState {
    /// A connection that was just accepted.
    pub fn new() -> Self {
        IoState {
            recv: Recv::Idle,
            send: Send::Idle,
            teardown: Teardown::None,
            pause: Pause::default(),
        }
    }

    /// True while bytes from the peer are wanted, if only to throw them away.
    pub fn wants_input(&self) -> bool {
        match self.teardown {
            Teardown::None => self.pause.is_empty(),
            Teardown::Flushing { linger } => linger,
            Teardown::Lingering => true,
            Teardown::Joining | Teardown::Closing => false,
        }
    }

    /// Brings the receive in line with what is wanted; the caller carries the order out.
    pub fn steer_recv(&mut self) -> RecvOrder {
        match (self.recv, self.wants_input()) {
            (Recv::Idle, true) => {
                self.recv = Recv::Armed;
                RecvOrder::Arm
            }
            (Recv::Armed, false) if self.teardown == Teardown::None => {
                self.recv = Recv::Cancelling;
                RecvOrder::Cancel
            }
            // A teardown ends its receive by shutting the socket down, not by a cancel.
            (Recv::Armed, false) => RecvOrder::Keep,
            (Recv::Armed | Recv::Cancelling | Recv::Starved | Recv::Over, _) => RecvOrder::Keep,
            (Recv::Idle, false) => RecvOrder::Keep,
        }
    }

    /// I2: nothing is outstanding that the close would have to wait for.
    pub fn is_joined(&self) -> bool {
        let recv = match self.recv {
            Recv::Idle | Recv::Starved | Recv::Over => true,
            Recv::Armed | Recv::Cancelling => false,
        };
        recv && self.send == Send::Idle
    }
}

impl Default for IoState {
    fn default() -> Self {
        IoState::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_pauses_while_any_reason_stands_and_goes_on_after_the_last() {
        let mut io = IoState::new();
        assert_eq!(io.steer_recv(), RecvOrder::Arm);
        io.pause.add(Pause::EGRESS);
        io.pause.add(Pause::LANE);
        assert_eq!(io.steer_recv(), RecvOrder::Cancel);
        assert_eq!(io.steer_recv(), RecvOrder::Keep, "one cancel is enough");
        io.pause.remove(Pause::EGRESS);
        io.recv = Recv::Idle;
        assert_eq!(io.steer_recv(), RecvOrder::Keep, "the lane is still full");
        io.pause.remove(Pause::LANE);
        assert_eq!(io.steer_recv(), RecvOrder::Arm);
    }

    #[test]
    fn nothing_is_joined_while_the_kernel_holds_a_receive_or_a_send() {
        for recv in [Recv::Idle, Recv::Armed, Recv::Cancelling, Recv::Starved, Recv::Over] {
            for send in [Send::Idle, Send::InFlight] {
                let io = IoState { recv, send, ..IoState::new() };
                let held = matches!(recv, Recv::Armed | Recv::Cancelling) || send == Send::InFlight;
                assert_eq!(io.is_joined(), !held, "{io:?}");
            }
        }
    }

    #[test]
    fn a_pause_does_not_outlive_the_teardown_that_lingers() {
        let mut io = IoState::new();
        io.pause.add(Pause::HANDLER);
        io.teardown = Teardown::Lingering;
        assert_eq!(io.steer_recv(), RecvOrder::Arm, "the peer's end has to be heard");
        io.teardown = Teardown::Joining;
        io.recv = Recv::Idle;
        assert_eq!(io.steer_recv(), RecvOrder::Keep);
    }
}
