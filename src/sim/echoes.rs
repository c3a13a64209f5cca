//! What a client of the plain handler waits for: its own messages, in order, and its jobs, in any.
//! And for every client, the pongs to its ping frames, of which older ones may be left out.

use std::collections::{BTreeSet, VecDeque};

use super::topics::Verdict;
use super::wire;
use crate::handler::{Ctx, Handler, Message};

/// What a message begins with that asks for a job.
pub(super) const JOB: u8 = b'j';
/// What the answer to a job begins with.
const DONE: u8 = b'd';
/// What is answered when there are too many jobs.
const BUSY: u8 = b'b';

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    pub(super) is_spoken: bool,
    echoes: VecDeque<(u8, Vec<u8>)>,
    jobs: BTreeSet<Vec<u8>>,
    pongs: VecDeque<Vec<u8>>,
}

impl Echoes {
    /// A message that is to come back.
    pub(super) fn expect(&mut self, opcode: u8, payload: &[u8]) {
        if payload.first() == Some(&JOB) {
            self.jobs.insert(payload[1..].to_vec());
        } else {
            self.echoes.push_back((opcode, payload.to_vec()));
        }
    }

    /// A ping frame with this payload was sent.
    pub(super) fn expect_pong(&mut self, payload: &[u8]) {
        self.pongs.push_back(payload.to_vec());
    }

    /// Messages that have not come back.
    pub(super) fn unanswered(&self) -> usize {
        self.echoes.len() + self.jobs.len()
    }

    /// Octets of them, with their headers.
    pub(super) fn unanswered_bytes(&self) -> usize {
        let echoes = self.echoes.iter().map(|(_, payload)| payload.len() + 10).sum::<usize>();
        echoes + self.jobs.iter().map(|payload| payload.len() + 11).sum::<usize>()
    }

    pub(super) fn hear(&mut self, opcode: u8, payload: &[u8]) -> Verdict {
        if opcode == wire::BINARY
            && let [DONE | BUSY, job @ ..] = payload
        {
            return match self.jobs.remove(job) {
                true => Ok(()),
                false => Err(format!("a job that nobody has asked for: {job:?}")),
            };
        }
        match self.echoes.pop_front() {
            Some((of, octets)) if of == opcode && octets == payload => Ok(()),
            other => Err(format!("{payload:?} came back instead of {other:?}")),
        }
    }

    /// Pongs come in the order of their pings; only the newest has to (RFC 6455, section 5.5.3).
    pub(super) fn hear_pong(&mut self, payload: &[u8]) -> Verdict {
        while let Some(expected) = self.pongs.pop_front() {
            if expected == payload {
                return Ok(());
            }
        }
        Err(format!("a pong without its ping: {payload:?}"))
    }
}

/// Gives messages back, and does jobs.
pub(super) struct Plain;

impl Handler for Plain {
    type Session = ();

    fn on_message(&mut self, ctx: &mut Ctx<'_, ()>, message: Message<'_>) {
        let sent = match message.payload {
            [JOB, rest @ ..] => {
                let octets = rest.to_vec();
                let work = move || octets;
                let tell = |ctx: &mut Ctx<'_, ()>, name: u8, octets: &[u8]| {
                    let payload = [&[name], octets].concat();
                    let kind = crate::handler::Kind::Binary;
                    ctx.send(Message { kind, payload: &payload }).is_ok()
                };
                let done = move |ctx: &mut Ctx<'_, ()>, result: Result<Vec<u8>, _>| {
                    let octets = result.expect("the job does not panic");
                    if !tell(ctx, DONE, &octets) {
                        ctx.close_slow();
                    }
                };
                match ctx.spawn(work, done) {
                    Ok(()) => true,
                    Err(_) => tell(ctx, BUSY, rest),
                }
            }
            _ => ctx.send(message).is_ok(),
        };
        if !sent {
            ctx.close_slow();
        }
    }
}
