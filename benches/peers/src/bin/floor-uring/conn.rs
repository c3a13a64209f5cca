//! One connection of the io_uring floor.

/// What the connection does.
#[derive(Clone, Copy, Debug, Default)]
pub enum State {
    #[default]
    Free,
    Head,
    Echo,
    Topic(u32),
}

/// What the connection's own fast send of this turn refers to.
#[derive(Clone, Copy, Debug, Default)]
pub enum Sent {
    #[default]
    Nothing,
    /// The beginning of a receive buffer.
    Buffer { buffer: u16, bytes: u32 },
    /// See [`Slow::spill`].
    Spill,
}

/// See the module's header.
#[derive(Debug, Default)]
pub struct Conn {
    pub state: State,
    pub sent: Sent,
    pub recv_armed: bool,
    pub send_armed: bool,
    pub closing: bool,
    pub slow: Option<Box<Slow>>,
}

/// What a connection has that is not as simple as possible.
#[derive(Debug, Default)]
pub struct Slow {
    /// The beginning of a head or frame.
    pub partial: Vec<u8>,
    /// Answers that do not stand in a receive buffer.
    pub spill: Vec<u8>,
    /// What waits for the send in flight.
    pub queue: Vec<u8>,
    pub in_flight: Vec<u8>,
    pub in_flight_at: usize,
}

impl Conn {
    pub fn slow(&mut self) -> &mut Slow {
        self.slow.get_or_insert_default()
    }

    /// Whether a fast send may be the next thing for this connection.
    #[inline]
    pub fn is_flowing(&self) -> bool {
        !self.send_armed && matches!(self.sent, Sent::Nothing)
    }

    /// Gives back memory that is not needed at rest.
    pub fn rest(&mut self) {
        let is_idle = self.slow.as_ref().is_some_and(|slow| {
            slow.partial.is_empty() && slow.queue.is_empty() && slow.in_flight.is_empty()
        });
        if is_idle && !self.send_armed && matches!(self.sent, Sent::Nothing) {
            self.slow = None;
        }
    }
}
