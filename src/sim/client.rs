//! One simulated client: what it still has to write, what it has read, what it believes.
//!
//! Judges everything that the server sends it. Speaks WebSocket by itself ([`super::wire`]), and
//! what it speaks on top of that is in [`Speech`] or, for the other dialect, in [`Echoes`].

use super::deflate::{Deflate, inflate_message};
use super::echoes::Echoes;
use super::plan::Dialect;
use super::socket::{SocketId, StreamEnd};
use super::speech::{Ears, Speech};
use super::topics::Verdict;
use super::wire::{self, Frame};
use crate::limits::{BAD_REQUESTS_MAX, EGRESS_CONTROL_RESERVE_BYTES, TICK_MS};

/// Octets of an answer to a client of these topics, at most.
const ANSWER_BYTES_MAX: usize = 200;

/// What a client is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Reads what comes and answers what it should.
    Good,
    /// The same, but its socket takes little at a time, and it stops reading now and then.
    Slow,
    /// Reads, and never answers a ping or a close frame.
    Mute,
    /// Does not even ask properly to upgrade.
    Rude,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for the answer to its request head; one with this status is expected.
    Upgrading { status: u16 },
    /// It speaks.
    Open,
    /// It is done: its stream has ended.
    Over,
}

/// What a client knows of the run.
pub(super) struct Scene<'a> {
    pub(super) ears: Ears<'a>,
    pub(super) is_draining: bool,
    /// The drain still waits for what was acknowledged before it.
    pub(super) is_patient: bool,
    /// The longest time in which the server has heard nothing of it.
    pub(super) silence_ms: u64,
}

/// See the module's header.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) index: usize,
    pub(super) socket: SocketId,
    pub(super) nature: Nature,
    pub(super) stage: Stage,
    pub(super) is_stalled: bool,
    /// It has offered to compress.
    pub(super) offers: bool,
    /// The server has agreed.
    pub(super) deflate: Option<Deflate>,
    tx: Vec<u8>,
    tx_at: usize,
    rx: Vec<u8>,
    pub(super) speech: Speech,
    pub(super) echoes: Echoes,
    /// The close frame that it has sent: its code.
    said_close: Option<Option<u16>>,
    /// It has broken the protocol, and deserves to be closed with this code.
    deserves: Option<u16>,
    heard_close: bool,
    /// Nothing more will be written behind what is there.
    pub(super) wants_end: bool,
    pub(super) has_ended: bool,
    /// Bad requests that the server may have seen in a row.
    bad_in_a_row: u32,
    bad_most: u32,
    /// Octets of answers that it may have waited for at a time, at most.
    owed_most: usize,
}

impl Client {
    pub(super) fn new(index: usize, socket: SocketId, nature: Nature) -> Self {
        Client {
            index,
            socket,
            nature,
            stage: Stage::Upgrading { status: 101 },
            is_stalled: false,
            offers: false,
            deflate: None,
            tx: Vec::new(),
            tx_at: 0,
            rx: Vec::new(),
            speech: Speech::default(),
            echoes: Echoes::default(),
            said_close: None,
            deserves: None,
            heard_close: false,
            wants_end: false,
            has_ended: false,
            bad_in_a_row: 0,
            bad_most: 0,
            owed_most: 0,
        }
    }

    /// Its first words: a request to upgrade that is right, or one that gets this status.
    pub(super) fn say_head(&mut self, head: &str, status: u16) {
        self.tx.extend_from_slice(head.as_bytes());
        self.stage = Stage::Upgrading { status };
        self.wants_end = status != 101;
    }

    /// True while it may say something more.
    pub(super) fn may_speak(&self) -> bool {
        let is_done = self.wants_end || self.said_close.is_some() || self.deserves.is_some();
        self.stage != Stage::Over && !is_done && self.nature != Nature::Rude
    }

    /// True when it behaves, its handshake went well, and nothing has ended yet.
    pub(super) fn is_healthy(&self) -> bool {
        self.stage == Stage::Open && self.may_speak() && self.nature != Nature::Mute
    }

    /// Says one frame.
    pub(super) fn say(&mut self, first: u8, payload: &[u8]) {
        assert!(self.may_speak());
        wire::write_frame(&mut self.tx, first, payload);
    }

    /// Says a message in so many fragments, compressed if that was agreed on.
    pub(super) fn say_compressed(&mut self, opcode: u8, payload: &[u8], fragments: usize) {
        match &mut self.deflate {
            None => self.say_message(opcode, payload, fragments),
            Some(deflate) => {
                let payload = deflate.compress(payload);
                self.say_message(opcode | wire::RSV1, &payload, fragments);
            }
        }
    }

    /// Says a message in so many fragments.
    pub(super) fn say_message(&mut self, opcode: u8, payload: &[u8], fragments: usize) {
        let size = payload.len().div_ceil(fragments).max(1);
        let mut chunks = payload.chunks(size).peekable();
        if chunks.peek().is_none() {
            return self.say(wire::FIN | opcode, b"");
        }
        let mut opcode = opcode;
        while let Some(chunk) = chunks.next() {
            let fin = if chunks.peek().is_none() { wire::FIN } else { 0 };
            self.say(fin | opcode, chunk);
            opcode = 0;
        }
    }

    /// Says goodbye.
    pub(super) fn say_close(&mut self, code: Option<u16>) {
        let payload = code.map_or(Vec::new(), |code| code.to_be_bytes().to_vec());
        self.say(wire::FIN | wire::CLOSE, &payload);
        self.said_close = Some(code);
    }

    /// Says something that no client may say.
    pub(super) fn violate(&mut self, octets: &[u8], code: u16) {
        assert!(self.may_speak());
        self.tx.extend_from_slice(octets);
        self.deserves = Some(code);
    }

    /// Counts requests that the server takes for bad ones.
    pub(super) fn note_request(&mut self, is_bad: bool) {
        self.bad_in_a_row = if is_bad { self.bad_in_a_row + 1 } else { 0 };
        self.bad_most = self.bad_most.max(self.bad_in_a_row);
    }

    /// Takes down what it may be owed now.
    pub(super) fn note_owed(&mut self) {
        let owed = self.speech.unanswered() * ANSWER_BYTES_MAX + self.echoes.unanswered_bytes();
        self.owed_most = self.owed_most.max(owed);
    }

    /// Octets that it has not written yet.
    pub(super) fn unwritten(&self) -> usize {
        self.tx.len() - self.tx_at
    }

    /// The next octets to write.
    pub(super) fn take_unwritten(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.unwritten());
        let octets = self.tx[self.tx_at..][..count].to_vec();
        self.tx_at += count;
        if self.tx_at == self.tx.len() {
            self.tx.clear();
            self.tx_at = 0;
        }
        octets
    }

    /// Octets have come.
    pub(super) fn hear(&mut self, octets: &[u8], scene: &mut Scene<'_>) -> Verdict {
        self.rx.extend_from_slice(octets);
        if let Stage::Upgrading { status } = self.stage
            && let Some(len) = wire::response_len(&self.rx)
        {
            let head: Vec<u8> = self.rx.drain(..len).collect();
            self.hear_response(&head, status, scene)?;
        }
        let mut used = 0;
        while self.stage == Stage::Open
            && let Some((mut frame, len)) = wire::parse(&self.rx[used..], self.deflate.is_some())?
        {
            used += len;
            if frame.is_compressed {
                frame.payload = inflate_message(&frame.payload)?;
            }
            self.hear_frame(frame, scene)?;
        }
        self.rx.drain(..used);
        Ok(())
    }

    fn hear_response(&mut self, head: &[u8], expected: u16, scene: &Scene<'_>) -> Verdict {
        let status = std::str::from_utf8(head).ok().and_then(|head| head.get(9..12)?.parse().ok());
        let status: u16 = status.ok_or("not an HTTP response")?;
        // There may always be no room.
        if status != expected && status != 503 {
            return Err(format!("{status} instead of {expected}"));
        }
        if status == 101 {
            self.stage = Stage::Open;
            self.deflate = Deflate::agreed(head)?;
            let is_due = self.offers && scene.ears.plan.config.deflate.is_some();
            if self.deflate.is_some() != is_due {
                return Err(format!("{:?} to what was offered: {}", self.deflate, self.offers));
            }
        } else {
            // A body follows, and the end.
            self.wants_end = true;
        }
        let is_plain = scene.ears.plan.dialect == Dialect::Echo;
        self.echoes.is_spoken = is_plain;
        Ok(())
    }

    fn hear_frame(&mut self, frame: Frame, scene: &mut Scene<'_>) -> Verdict {
        if self.heard_close {
            return Err("something behind the close frame".into());
        }
        match frame.opcode {
            wire::CLOSE => self.hear_close(&frame.payload, scene),
            wire::PING => {
                if self.nature != Nature::Mute && self.may_speak() {
                    self.say(wire::FIN | wire::PONG, &frame.payload);
                }
                Ok(())
            }
            wire::PONG => self.echoes.hear_pong(&frame.payload),
            opcode if self.echoes.is_spoken => self.echoes.hear(opcode, &frame.payload),
            wire::TEXT => self.speech.hear(&frame.payload, &mut scene.ears),
            _ => Err("the protocol knows no binary messages".into()),
        }
    }

    fn hear_close(&mut self, payload: &[u8], scene: &Scene<'_>) -> Verdict {
        self.heard_close = true;
        let code = match payload {
            [] => None,
            [high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
            [_] => return Err("half a close code".into()),
        };
        // Whoever asks for more at once than may wait for it gets no more than that.
        let egress_max = scene.ears.plan.config.egress.bytes_max - EGRESS_CONTROL_RESERVE_BYTES;
        let config = &scene.ears.plan.config;
        let heartbeat_ms = config.heartbeat_interval_ms + config.heartbeat_timeout_ms;
        let is_due = match code {
            Some(1001) => scene.is_draining,
            Some(1013) => scene.ears.plan.is_ingress_tiny,
            Some(4001) => scene.ears.pace.is_slow() || self.owed_most >= egress_max,
            // What was heard last, the ping and its deadline are each known to a tick.
            Some(4002) => scene.silence_ms + 3 * TICK_MS >= heartbeat_ms,
            Some(4500) => self.bad_most >= u32::from(BAD_REQUESTS_MAX),
            Some(_) | None => false,
        };
        if code == Some(1001) && scene.is_patient && self.said_close.is_none() {
            self.speech.check_drain(&scene.ears)?;
        }
        let is_answer = self.said_close == Some(code);
        let is_deserved = self.deserves.is_some() && self.deserves == code;
        if !(is_due || is_answer || is_deserved) {
            let (said, deserves) = (self.said_close, self.deserves);
            return Err(format!("closed with {code:?}; said {said:?}, deserves {deserves:?}"));
        }
        if self.may_speak() && self.nature != Nature::Mute {
            self.say_close(code);
        }
        Ok(())
    }

    /// Its stream has ended.
    pub(super) fn hear_end(&mut self, end: StreamEnd, scene: &Scene<'_>) -> Verdict {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        if end == StreamEnd::Reset || scene.ears.pace.is_slow() || stage != Stage::Open {
            return Ok(());
        }
        if !self.rx.is_empty() {
            return Err(format!("{} octets of a frame, and the end", self.rx.len()));
        }
        if !self.heard_close && !self.wants_end {
            return Err("the end came without a close frame".into());
        }
        Ok(())
    }

    /// How it stands, for who replays a run.
    pub(super) fn describe(&self) -> String {
        format!(
            "client {} ({:?}, {:?}, {:?}): {} to write, {} unanswered",
            self.index,
            self.socket,
            self.nature,
            self.stage,
            self.unwritten(),
            self.speech.unanswered() + self.echoes.unanswered(),
        )
    }
}
