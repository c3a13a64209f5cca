//! The connections of one ring in the client role: connecting, upgrading, subscribing, messages in
//! and out, ending.
//!
//! Pure, like a shard: completions and the time in, orders out. What a connection is for is the
//! [`Scenario`]'s business. Invariants: O1-O3 of `ring::op`; C1 a slot is connected again only
//! after its `Closed`; C2 everything that did not go as it should is counted as a fault once.

mod ending;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use super::dialect::{Said, shorten};
use super::io::Io;
use super::pace::Pacer;
use super::plan::Plan;
use super::published::Published;
use super::report::FaultCause;
use crate::base::{ConnKey, Generation, Slot, Tick};
use crate::conn::{Link, Recv, Send, Teardown};
use crate::limits::{BENCH_LINGER_MS, HEAD_BYTES_MAX};
use crate::ring::{
    Completion, FileSlot, KernelFault, Op, OpQueue, PeerAddr, SourceId, Staging, TargetId,
};
use crate::ws::accept_key::UpgradeKey;
use crate::ws::client::{Response, UpgradeFault, parse_response, write_request};
use crate::ws::deflate::offer::OFFER;
use crate::ws::message::{Event, Message};
use crate::ws::opcode::Opcode;
use crate::ws::protocol::{Protocol, Role};

/// What connections are opened for.
pub(super) trait Scenario {
    /// Sends what is due. Gives the moment at which the next message will be.
    fn turn(&mut self, clients: &mut Clients) -> Option<u64>;
    /// What says when the next one is due, where that is not up to the server.
    fn pacer(&self) -> Option<&Pacer>;
    /// A connection is ready. True when it is to be closed again at once.
    fn opened(&mut self, io: &mut Io, slot: Slot) -> bool;
    /// A message came.
    fn message(&mut self, io: &mut Io, link: &mut Link, message: Message<'_>);
    /// A connection that was ready is no more.
    fn gone(&mut self, io: &mut Io, slot: Slot);
    /// Messages that have still to come, when nothing new is sent.
    fn outstanding(&self, published: &Published) -> u64;
}

/// One connection.
struct Client {
    link: Link,
    stage: Stage,
}

enum Stage {
    /// Not begun, or over and to be begun again.
    Idle,
    Connecting {
        began_ns: u64,
    },
    Upgrading(Box<Opening>),
    /// The answer to the subscription is awaited.
    Subscribing(Protocol),
    Open(Protocol),
    /// Our close frame is out, and the server's is awaited.
    Closing(Protocol),
    /// Both are out: it is for the server to end the stream.
    Lingering,
    /// What the kernel still holds is awaited.
    Ended,
}

struct Opening {
    key: UpgradeKey,
    began_ns: u64,
    /// What has come of the response.
    head: Vec<u8>,
}

/// What has to come about in time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Connected, upgraded and subscribed.
    Opened,
    /// Our close frame answered.
    Closed,
}

struct Deadline {
    at_ns: u64,
    key: ConnKey,
    progress: Progress,
}

/// Deadlines that are kept beside two for each connection before they are looked through.
const DEADLINES_SPARE: usize = 1024;

/// See the module's header.
pub(super) struct Clients {
    pub(super) io: Io,
    plan: Arc<Plan>,
    /// The number of the first connection among those of all rings.
    first: u32,
    table: Vec<Client>,
    /// Receives to be armed again.
    unarmed: Vec<Slot>,
    /// In order. Those of connections that have come so far are dropped from the front early.
    deadlines: VecDeque<Deadline>,
    /// Until when a server may end the stream, in order.
    lingering: VecDeque<(u64, ConnKey)>,
    /// Connections between their beginning and their being ready.
    opening: u32,
    generation: u32,
    is_settled: bool,
}

impl Clients {
    /// `count` connections, the first of which is number `first` of the run.
    pub(super) fn new(io: Io, plan: Arc<Plan>, first: u32, count: u32) -> Self {
        let nobody = |slot| Client { link: link(slot, 0), stage: Stage::Idle };
        Clients {
            io,
            plan,
            first,
            table: (0..count).map(nobody).collect(),
            unarmed: Vec::new(),
            deadlines: VecDeque::new(),
            lingering: VecDeque::new(),
            opening: 0,
            generation: 0,
            is_settled: true,
        }
    }

    /// How many there are at most.
    pub(super) fn count(&self) -> u32 {
        self.table.len() as u32
    }

    /// Connections that are being opened.
    pub(super) fn opening(&self) -> u32 {
        self.opening
    }

    /// True when the slot can be connected.
    pub(super) fn is_idle(&self, slot: Slot) -> bool {
        matches!(self.table[slot.index()].stage, Stage::Idle)
    }

    /// True when messages can be sent.
    pub(super) fn is_open(&self, slot: Slot) -> bool {
        matches!(self.table[slot.index()].stage, Stage::Open(_))
    }

    /// What the outbox knows of a connection, and the means to send to it.
    pub(super) fn link(&mut self, slot: Slot) -> (&mut Io, &mut Link) {
        (&mut self.io, &mut self.table[slot.index()].link)
    }

    /// The ring has come back.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.io.now_ns = now_ns;
        self.is_settled = false;
    }

    /// Before anything is sent: what was staged for the last turn is over.
    pub(super) fn settle(&mut self) {
        if !self.is_settled {
            self.is_settled = true;
            self.io.outbox.begin_turn();
        }
    }

    /// The orders of the turn, and the memory that they refer to.
    pub(super) fn orders(&mut self) -> (&mut OpQueue, &Staging) {
        for slot in std::mem::take(&mut self.unarmed) {
            self.arm(slot);
        }
        self.io.orders()
    }

    /// Begins to connect what was due at `began_ns`.
    pub(super) fn connect(&mut self, slot: Slot, began_ns: u64) {
        // 0 is nobody.
        self.generation = self.generation.wrapping_add(1).max(1);
        let client = &mut self.table[slot.index()];
        assert!(matches!(client.stage, Stage::Idle), "C1");
        *client =
            Client { link: link(slot.0, self.generation), stage: Stage::Connecting { began_ns } };
        // Until it is over it stands for what the kernel holds of our sending side.
        client.link.io.send = Send::InFlight;
        self.opening += 1;
        let number = self.first + slot.0;
        let targets = self.plan.targets.len() as u32;
        let source = match self.plan.sources.len() as u32 {
            0 => None,
            sources => Some(SourceId((number / targets % sources) as u16)),
        };
        let (conn, file) = (client.link.key, client.link.file);
        let target = TargetId((number % targets) as u16);
        self.io.ops.push(Op::Connect { conn, file, target, source });
        self.await_progress(conn, Progress::Opened);
    }

    /// Takes one fact.
    pub(super) fn on(
        &mut self,
        completion: Completion<'_>,
        now_ns: u64,
        scenario: &mut impl Scenario,
    ) {
        self.io.now_ns = now_ns;
        match completion {
            Completion::SentShort { conn, sent } => {
                self.sent_short(conn, sent as usize, scenario);
            }
            Completion::SendFailed { conn, fault } => self.broken(conn, fault, scenario),
            Completion::Connected { conn, result } => {
                self.settle();
                self.connected(conn, result);
            }
            Completion::Received { conn, bytes } => {
                self.settle();
                self.received(conn, bytes, scenario);
            }
            Completion::RecvEnded { conn, why } => {
                self.settle();
                self.recv_ended(conn, why, scenario);
            }
            Completion::QueuedSent { conn, result } => {
                self.settle();
                self.queued_sent(conn, result, scenario);
            }
            Completion::Closed { conn } => {
                let slot = self.known(conn).expect("a slot is not reused before it is closed");
                self.table[slot.index()].stage = Stage::Idle;
            }
            Completion::CancelMissed { conn } => self.cancel_missed(conn),
            Completion::Accepted { .. }
            | Completion::AcceptFailed { .. }
            | Completion::AcceptStopped { .. }
            | Completion::Woken
            | Completion::WakeFailed { .. } => unreachable!("bug: nothing of this was ordered"),
        }
    }

    /// The connection's slot, unless the key is stale.
    pub(super) fn known(&self, key: ConnKey) -> Option<Slot> {
        let client = self.table.get(key.slot.index())?;
        let is_known = client.link.key == key && !matches!(client.stage, Stage::Idle);
        is_known.then_some(key.slot)
    }

    fn await_progress(&mut self, key: ConnKey, progress: Progress) {
        let at_ns = self.io.now_ns + self.plan.timeout.as_nanos() as u64;
        if self.deadlines.len() > 2 * self.table.len() + DEADLINES_SPARE {
            // One that hangs keeps those behind it: forget who has come so far long ago.
            let mut deadlines = std::mem::take(&mut self.deadlines);
            deadlines.retain(|deadline| self.awaited(deadline).is_some());
            self.deadlines = deadlines;
        }
        self.deadlines.push_back(Deadline { at_ns, key, progress });
    }

    fn arm(&mut self, slot: Slot) {
        let link = &mut self.table[slot.index()].link;
        if link.io.recv == Recv::Idle && link.io.teardown == Teardown::None {
            link.io.recv = Recv::Armed;
            self.io.ops.push(Op::ArmRecv { conn: link.key, file: link.file });
        }
    }

    fn connected(&mut self, conn: ConnKey, result: Result<(), KernelFault>) {
        let Some(slot) = self.known(conn) else { return };
        let client = &mut self.table[slot.index()];
        client.link.io.send = Send::Idle;
        let Stage::Connecting { began_ns } = client.stage else {
            // It took too long and was given up; the kernel is done with it only now.
            return self.try_close(slot);
        };
        if let Err(fault) = result {
            return self.fail(slot, FaultCause::ConnectFailed, || fault.to_string());
        }
        let nonce = u128::from(self.io.prng.next_u64()) << 64 | u128::from(self.io.prng.next_u64());
        let key = UpgradeKey::from_nonce(nonce.to_le_bytes());
        client.stage = Stage::Upgrading(Box::new(Opening { key, began_ns, head: Vec::new() }));
        let topic = self.plan.topic_of(self.first + slot.0);
        let target = self.plan.dialect.request_target(&self.plan.path, topic);
        let mut request = std::mem::take(&mut self.io.scratch);
        request.clear();
        let offer = [("Sec-WebSocket-Extensions", OFFER)];
        let extra = if self.plan.deflate { &offer[..] } else { &[] };
        write_request(&mut request, &self.plan.host, &target, &key, None, extra);
        self.io.send_octets(&mut client.link, &request);
        self.io.scratch = request;
        self.arm(slot);
    }

    fn received(&mut self, conn: ConnKey, bytes: &mut [u8], scenario: &mut impl Scenario) {
        let Some(slot) = self.known(conn) else { return };
        match &mut self.table[slot.index()].stage {
            Stage::Open(_) | Stage::Subscribing(_) | Stage::Closing(_) => {
                self.frames(slot, bytes, scenario);
            }
            Stage::Upgrading(opening) => {
                let mut head = std::mem::take(&mut opening.head);
                if head.is_empty() {
                    return self.upgraded(slot, bytes, scenario);
                }
                head.extend_from_slice(bytes);
                self.upgraded(slot, &mut head, scenario);
            }
            Stage::Idle | Stage::Connecting { .. } | Stage::Lingering | Stage::Ended => {}
        }
    }

    /// What has come of the response, and maybe of the frames after it.
    fn upgraded(&mut self, slot: Slot, head: &mut [u8], scenario: &mut impl Scenario) {
        let Stage::Upgrading(opening) = &mut self.table[slot.index()].stage else {
            unreachable!("the caller has looked")
        };
        let offers = self.plan.deflate;
        let parsed = parse_response(head, HEAD_BYTES_MAX, &opening.key, None, offers);
        let (consumed, deflate) = match parsed {
            Ok(Response::Incomplete) => {
                opening.head = head.to_vec();
                return;
            }
            Ok(Response::Accepted { consumed: _, subprotocol: _, deflate: None }) if offers => {
                let why = || "the server does not agree to compressed messages".into();
                return self.fail(slot, FaultCause::UpgradeRefused, why);
            }
            Ok(Response::Accepted { consumed, subprotocol: _, deflate }) => (consumed, deflate),
            Err(fault) => {
                return self.fail(slot, blame(fault), || fault.to_string());
            }
        };
        self.io.upgraded(opening.began_ns);
        let protocol = match deflate {
            None => Protocol::new(Role::Client),
            Some(agreement) => {
                self.table[slot.index()].link.deflate_bits = agreement.send_window_bits;
                Protocol::with_deflate(Role::Client, agreement)
            }
        };
        let topic = self.plan.topic_of(self.first + slot.0);
        match topic.and_then(|topic| self.plan.dialect.subscribe(topic)) {
            Some(request) => {
                let client = &mut self.table[slot.index()];
                client.stage = Stage::Subscribing(protocol);
                self.io.send(&mut client.link, Opcode::Text, |out| {
                    out.extend_from_slice(request.as_bytes());
                });
            }
            None => {
                self.table[slot.index()].stage = Stage::Open(protocol);
                self.ready(slot, scenario);
            }
        }
        self.frames(slot, &mut head[consumed..], scenario);
    }

    fn ready(&mut self, slot: Slot, scenario: &mut impl Scenario) {
        self.opening -= 1;
        self.io.tally.established += 1;
        if scenario.opened(&mut self.io, slot) {
            self.finish(slot, scenario);
        }
    }

    /// Closes a connection that has done what it was for.
    fn finish(&mut self, slot: Slot, scenario: &mut impl Scenario) {
        self.io.tally.established -= 1;
        scenario.gone(&mut self.io, slot);
        if self.io.closes_by_reset {
            return self.end(slot);
        }
        let client = &mut self.table[slot.index()];
        if let Stage::Open(protocol) = std::mem::replace(&mut client.stage, Stage::Ended) {
            client.stage = Stage::Closing(protocol);
        }
        let conn = client.link.key;
        self.io.send_close(&mut client.link);
        self.await_progress(conn, Progress::Closed);
    }

    fn frames(&mut self, slot: Slot, bytes: &mut [u8], scenario: &mut impl Scenario) {
        let mut rest = bytes;
        loop {
            let Client { link, stage } = &mut self.table[slot.index()];
            let io = &mut self.io;
            let (protocol, awaited) = match stage {
                Stage::Open(protocol) => (protocol, Awaited::Messages),
                Stage::Subscribing(protocol) => (protocol, Awaited::Answer),
                Stage::Closing(protocol) => (protocol, Awaited::Close),
                Stage::Idle
                | Stage::Connecting { .. }
                | Stage::Upgrading(_)
                | Stage::Lingering
                | Stage::Ended => return,
            };
            let step = match protocol.step(rest, &io.message_limits, &mut io.pool) {
                Ok(step) => step,
                Err(fault) => {
                    return self.lose(slot, FaultCause::Protocol, scenario, || fault.to_string());
                }
            };
            let used = step.consumed;
            let Some(event) = step.event else {
                if !protocol.is_stalled() {
                    return;
                }
                // There is nobody here whom a large message keeps waiting.
                io.pool.refill();
                rest = &mut rest[used..];
                continue;
            };
            match (event, awaited) {
                (Event::Message(message), Awaited::Messages) => {
                    scenario.message(io, link, message);
                }
                (Event::Message(message), Awaited::Answer) => {
                    let said = self.plan.dialect.understand(message.kind, message.payload, 0);
                    match said {
                        Said::Subscribed => self.subscribed(slot, scenario),
                        Said::Payload(_) | Said::Other => {}
                        Said::Refused(what) => {
                            return self.fail(slot, FaultCause::Refused, || what);
                        }
                        Said::Wrong(what) => return self.fail(slot, FaultCause::Protocol, || what),
                    }
                }
                (Event::Close { .. }, Awaited::Close) => return self.linger(slot),
                (Event::Message(_) | Event::Ping(_), Awaited::Close) | (Event::Pong(_), _) => {}
                (Event::Ping(payload), Awaited::Messages | Awaited::Answer) => {
                    io.pong(link, payload);
                }
                (Event::Close { code, reason }, Awaited::Messages | Awaited::Answer) => {
                    let code = code.map_or(1005, |code| code.0);
                    let why =
                        format!("closed by the server: {code} {}", shorten(reason.as_bytes()));
                    io.send_close(link);
                    return self.lose(slot, FaultCause::ClosedEarly, scenario, || why);
                }
            }
            rest = &mut rest[used..];
        }
    }

    fn subscribed(&mut self, slot: Slot, scenario: &mut impl Scenario) {
        let stage = &mut self.table[slot.index()].stage;
        if let Stage::Subscribing(protocol) = std::mem::replace(stage, Stage::Idle) {
            *stage = Stage::Open(protocol);
            self.ready(slot, scenario);
        }
    }

    fn sent_short(&mut self, conn: ConnKey, sent: usize, scenario: &mut impl Scenario) {
        let Some(slot) = self.known(conn) else { return };
        let client = &mut self.table[slot.index()];
        if matches!(client.stage, Stage::Ended) {
            return;
        }
        if self.io.take_back(&mut client.link, sent) {
            return self.io.send_waiting(&mut client.link);
        }
        // Messages that were counted as sent are gone: what followed would come out of order.
        let why = || "what the kernel did not take is more than may wait".into();
        self.lose(slot, FaultCause::Overrun, scenario, why);
    }
}

/// What a connection that can receive frames is waiting for.
#[derive(Clone, Copy)]
enum Awaited {
    Messages,
    /// That to its subscription.
    Answer,
    Close,
}

fn blame(fault: UpgradeFault) -> FaultCause {
    match fault {
        UpgradeFault::Refused { status: _ } => FaultCause::UpgradeRefused,
        UpgradeFault::NotHttp
        | UpgradeFault::HeadTooLarge
        | UpgradeFault::NoUpgrade
        | UpgradeFault::NoConnectionUpgrade
        | UpgradeFault::WrongAccept
        | UpgradeFault::UnofferedSubprotocol
        | UpgradeFault::UnofferedExtension => FaultCause::Protocol,
    }
}

fn link(slot: u32, generation: u32) -> Link {
    let key = ConnKey { slot: Slot(slot), generation: Generation(generation) };
    Link::new(key, FileSlot(slot), PeerAddr::Unknown, Tick(0))
}
