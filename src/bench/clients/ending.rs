//! How connections end: by the other side, by a fault, by time, or because they are done.
//!
//! Terminate, join, close: a descriptor is closed only when the kernel holds neither a receive nor
//! a send of it (O3 of `ring::op`).

use super::{BENCH_LINGER_MS, Client, Clients, Deadline, Progress, Scenario, Stage};
use crate::base::{ConnKey, Slot};
use crate::bench::report::FaultCause;
use crate::conn::{Recv, Send, Teardown};
use crate::ring::{KernelFault, Op, RecvEnd, ShutdownHow};

impl Clients {
    /// Ends connections that did not come further in time.
    pub(in crate::bench) fn expire(&mut self) {
        while let Some(deadline) = self.deadlines.front() {
            let slot = self.awaited(deadline);
            if slot.is_some() && deadline.at_ns > self.io.now_ns {
                break;
            }
            self.deadlines.pop_front();
            if let Some(slot) = slot {
                self.too_late(slot);
            }
        }
        while let Some((deadline, key)) = self.lingering.front().copied() {
            let slot = self.known(key).filter(|slot| self.is_lingering(*slot));
            if slot.is_some() && deadline > self.io.now_ns {
                break;
            }
            self.lingering.pop_front();
            if let Some(slot) = slot {
                self.end(slot);
            }
        }
    }

    /// The connection that a deadline is for, if it has not come so far yet.
    pub(super) fn awaited(&self, deadline: &Deadline) -> Option<Slot> {
        let slot = self.known(deadline.key)?;
        let awaited = match self.table[slot.index()].stage {
            Stage::Connecting { .. } | Stage::Upgrading(_) | Stage::Subscribing(_) => {
                Progress::Opened
            }
            Stage::Closing(_) => Progress::Closed,
            Stage::Idle | Stage::Open(_) | Stage::Lingering | Stage::Ended => return None,
        };
        (awaited == deadline.progress).then_some(slot)
    }

    fn is_lingering(&self, slot: Slot) -> bool {
        matches!(self.table[slot.index()].stage, Stage::Lingering)
    }

    fn too_late(&mut self, slot: Slot) {
        let what = match self.table[slot.index()].stage {
            Stage::Connecting { .. } => "a connect was not answered",
            Stage::Upgrading(_) => "an upgrade was not answered",
            Stage::Subscribing(_) => "a subscription was not answered",
            Stage::Closing(_) => {
                let what = || "a closing handshake was not answered".into();
                self.io.tally.faults.add(FaultCause::TimedOut, what);
                return self.end(slot);
            }
            Stage::Idle | Stage::Open(_) | Stage::Lingering | Stage::Ended => return,
        };
        self.fail(slot, FaultCause::TimedOut, || what.into());
    }

    /// Both close frames are out. The server is to end the stream, as RFC 6455 has it in section
    /// 7.1.1; one that leaves that to the client is given a moment.
    pub(super) fn linger(&mut self, slot: Slot) {
        let Client { link, stage } = &mut self.table[slot.index()];
        if let Stage::Closing(mut protocol) = std::mem::replace(stage, Stage::Lingering) {
            protocol.release(&mut self.io.pool);
        }
        let deadline = self.io.now_ns + BENCH_LINGER_MS * 1_000_000;
        self.lingering.push_back((deadline, link.key));
    }

    pub(super) fn recv_ended(&mut self, conn: ConnKey, why: RecvEnd, scenario: &mut impl Scenario) {
        let Some(slot) = self.known(conn) else { return };
        let link = &mut self.table[slot.index()].link;
        match why {
            RecvEnd::Starved | RecvEnd::Again => {
                link.io.recv = Recv::Idle;
                self.io.tally.starved += u64::from(why == RecvEnd::Starved);
                self.unarmed.push(slot);
                self.try_close(slot);
            }
            RecvEnd::Cancelled => {
                link.io.recv = Recv::Over;
                self.try_close(slot);
            }
            RecvEnd::Eof => {
                link.io.recv = Recv::Over;
                self.over(slot, scenario, || "the server ended the stream".into());
            }
            RecvEnd::Failed(fault) => {
                link.io.recv = Recv::Over;
                self.over(slot, scenario, || fault.to_string());
            }
        }
    }

    pub(super) fn queued_sent(
        &mut self,
        conn: ConnKey,
        result: Result<u32, KernelFault>,
        scenario: &mut impl Scenario,
    ) {
        let Some(slot) = self.known(conn) else { return };
        let Client { link, stage } = &mut self.table[slot.index()];
        link.io.send = Send::Idle;
        match result {
            _ if matches!(stage, Stage::Ended) => self.try_close(slot),
            Ok(octets) => {
                self.io.outbox.sent(link, octets as usize);
                self.io.send_waiting(link);
            }
            Err(fault) => self.over(slot, scenario, || fault.to_string()),
        }
    }

    pub(super) fn broken(
        &mut self,
        conn: ConnKey,
        fault: KernelFault,
        scenario: &mut impl Scenario,
    ) {
        if let Some(slot) = self.known(conn) {
            self.over(slot, scenario, || fault.to_string());
        }
    }

    /// The transport has ended.
    pub(super) fn over(
        &mut self,
        slot: Slot,
        scenario: &mut impl Scenario,
        why: impl FnOnce() -> String,
    ) {
        match self.table[slot.index()].stage {
            Stage::Idle => {}
            Stage::Connecting { .. } => self.fail(slot, FaultCause::ConnectFailed, why),
            Stage::Upgrading(_) => self.fail(slot, FaultCause::UpgradeRefused, why),
            Stage::Open(_) | Stage::Subscribing(_) => {
                self.lose(slot, FaultCause::ClosedEarly, scenario, why);
            }
            Stage::Closing(_) => {
                let why = || format!("a close frame was not answered: {}", why());
                self.io.tally.faults.add(FaultCause::Protocol, why);
                self.end(slot);
            }
            Stage::Lingering => self.end(slot),
            Stage::Ended => self.try_close(slot),
        }
    }

    /// A connection that never became ready.
    pub(super) fn fail(&mut self, slot: Slot, cause: FaultCause, why: impl FnOnce() -> String) {
        self.opening -= 1;
        self.io.tally.failed += 1;
        self.io.tally.faults.add(cause, why);
        self.end(slot);
    }

    /// A connection that can't go on, whatever it was at.
    pub(super) fn lose(
        &mut self,
        slot: Slot,
        cause: FaultCause,
        scenario: &mut impl Scenario,
        why: impl FnOnce() -> String,
    ) {
        match self.table[slot.index()].stage {
            Stage::Idle | Stage::Ended => {}
            Stage::Connecting { .. } | Stage::Upgrading(_) | Stage::Subscribing(_) => {
                self.fail(slot, cause, why);
            }
            Stage::Open(_) => {
                self.io.tally.established -= 1;
                self.io.tally.lost += 1;
                self.io.tally.faults.add(cause, why);
                scenario.gone(&mut self.io, slot);
                self.end(slot);
            }
            Stage::Closing(_) | Stage::Lingering => {
                self.io.tally.faults.add(cause, why);
                self.end(slot);
            }
        }
    }

    pub(super) fn end(&mut self, slot: Slot) {
        let Client { link, stage } = &mut self.table[slot.index()];
        if let Stage::Open(protocol) | Stage::Subscribing(protocol) | Stage::Closing(protocol) =
            stage
        {
            protocol.release(&mut self.io.pool);
        }
        *stage = Stage::Ended;
        if link.io.recv == Recv::Armed {
            link.io.recv = Recv::Cancelling;
            self.io.ops.push(Op::CancelRecv { conn: link.key });
        }
        if link.io.send == Send::InFlight {
            let (file, how) = (link.file, ShutdownHow::Both);
            self.io.closes.push(Op::Shutdown { file, how });
        }
        self.try_close(slot);
    }

    /// A receive was not there to be cancelled. If it has not ended meanwhile, it is there again.
    pub(super) fn cancel_missed(&mut self, key: ConnKey) {
        let Some(slot) = self.known(key) else { return };
        if self.table[slot.index()].link.io.recv == Recv::Cancelling {
            self.io.ops.push(Op::CancelRecv { conn: key });
        }
    }

    pub(super) fn try_close(&mut self, slot: Slot) {
        let Client { link, stage } = &mut self.table[slot.index()];
        let may = matches!(stage, Stage::Ended) && link.io.is_joined();
        if may && link.io.teardown == Teardown::None {
            link.io.teardown = Teardown::Closing;
            self.io.outbox.forget(link);
            self.io.closes.push(Op::Close { conn: link.key, file: link.file });
        }
    }
}
