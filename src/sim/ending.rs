//! The end of a run: faults stop, what is under way arrives, everybody leaves, nothing is left.

use super::client::Client;
use super::faults::Faults;
use super::plan::Dialect;
use super::run::Sim;
use super::topics::{Verdict, data_of};
use crate::handler::Handler;
use crate::limits::{HOUSEKEEPING_MS, TOPIC_IDLE_MS_MAX};
use crate::pubsub::envelope::DrainOrder;

/// Rounds in which a host without faults has to come to rest. In each of them every client reads
/// and writes all that it can and every shard has a turn, so what remains is bounded by what lies
/// in lanes, sockets and queues; the smallest pieces are octets of a client's input.
const ROUNDS_MAX: usize = 50_000;
/// What a wake-up that was not delivered costs: the next look of housekeeping finds what was to be
/// told, and the turn after it what that led to. Lanes that are full are tried again much sooner.
const REST_MS: u64 = 3 * HOUSEKEEPING_MS;
/// Steps of a message on its way: the publisher's shard takes it, the home gives it its place, the
/// subscriber's shard sends it, and the publisher's is told.
const HOPS: u64 = 4;
/// Turns for each of them on each shard: one to do it, and one to see that nothing is left to do.
const TURNS_PER_HOP: u64 = 2;
/// Octets of a message that is sure to come in one piece.
const SMALL_BYTES: usize = 60;

impl<H: Handler> Sim<H> {
    pub(super) fn finish(&mut self) -> Verdict {
        self.host.kernel.faults = Faults::default();
        for client in &mut self.clients {
            client.is_stalled = false;
            let socket = self.host.kernel.socket_mut(client.socket);
            (socket.room, socket.input_step) = (usize::MAX, usize::MAX);
        }
        if self.is_draining {
            (0..self.host.shards())
                .for_each(|shard| _ = self.host.drain(shard, DrainOrder::default()));
        } else {
            self.rest(REST_MS)?;
            self.check_answers()?;
            self.check_places()?;
            if self.plan.dialect == Dialect::Json {
                self.probe()?;
            }
        }
        self.say_goodbye();
        self.wait_for_the_end()?;
        self.topics.check_order()?;
        self.rest(REST_MS)?;
        self.host.assert_empty();
        if !self.is_draining {
            assert_eq!(self.host.questions, 0, "the control plane was answered");
            self.rest(TOPIC_IDLE_MS_MAX + REST_MS)?;
            assert_eq!(self.host.audit_all().home_topics, 0, "idle topics are forgotten");
        }
        Ok(())
    }

    /// Everything that can happen now happens. True when anything did.
    fn round(&mut self) -> Result<bool, String> {
        let mut moved = self.pump_all()?;
        self.host.run_control();
        for shard in 0..self.host.shards() {
            self.host.kernel.work(shard);
            if self.host.wants_turn(shard) {
                self.turn(shard);
                moved = true;
            }
        }
        Ok(moved)
    }

    /// Lets so much time pass, with whatever happens in it.
    fn rest(&mut self, ms: u64) -> Verdict {
        let end_ms = self.host.now().monotonic_ms + ms;
        for _ in 0..ROUNDS_MAX {
            if self.round()? {
                continue;
            }
            let now_ms = self.host.now().monotonic_ms;
            if now_ms >= end_ms {
                return Ok(());
            }
            let next_ms = self.host.next_wake_ms().unwrap_or(end_ms).clamp(now_ms + 1, end_ms);
            self.host.leap(next_ms - now_ms);
        }
        Err("the server does not come to rest".into())
    }

    /// Who behaves has every answer.
    fn check_answers(&self) -> Verdict {
        for client in self.healthy() {
            let missing = client.speech.unanswered() + client.echoes.unanswered();
            if missing > 0 || client.unwritten() > 0 {
                return Err(format!("answers are missing: {}: {client:?}", client.describe()));
            }
        }
        Ok(())
    }

    /// Who subscribes has everything that it was to get.
    fn check_places(&self) -> Verdict {
        for client in self.healthy() {
            let pace = self.host.kernel.socket(client.socket).pace();
            for (topic, place) in client.speech.places() {
                let newest = self.topics.newest(topic, place.epoch);
                let is_behind = newest.is_some_and(|newest| newest > place.offset);
                let is_owed = self.plan.keeps_newest(topic) || !client.speech.was_slow(topic, pace);
                if is_owed && is_behind {
                    let name = client.describe();
                    return Err(format!("{name}: at {place:?} of {topic}, newest {newest:?}"));
                }
            }
            if let Some((topic, place, number)) =
                client.speech.missed(&self.plan, &self.topics, pace)
            {
                let name = client.describe();
                return Err(format!("{name}: at {place:?} of {topic}, without {number}"));
            }
        }
        Ok(())
    }

    fn healthy(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().filter(|client| client.is_healthy())
    }

    /// With nothing in the way, a message reaches everybody in a few turns.
    fn probe(&mut self) -> Verdict {
        // What is compressed may take turns, and memory that there is not.
        self.is_plain = true;
        for topic in self.plan.topics.clone() {
            let is_there = |client: &Client| client.speech.places().any(|(of, _)| of == topic);
            if !self.healthy().any(is_there) {
                continue;
            }
            let publisher = self.clients.iter().position(Client::is_healthy).expect("there is one");
            self.next_small_number();
            let (number, turns) = (self.serial, self.host.turns());
            self.publish(publisher, topic);
            while self.round()? {
                // The last hop takes as many turns as its budget says.
                let parts = self.clients.len().div_ceil(self.plan.config.fanout_budget) as u64;
                let most = HOPS * TURNS_PER_HOP + parts;
                if self.host.turns() > turns + most * self.host.shards() as u64 {
                    break;
                }
            }
            self.check_probe(number, topic)?;
            self.probes += 1;
        }
        Ok(())
    }

    fn next_small_number(&mut self) {
        self.serial += 1;
        while data_of(self.serial, self.plan.payload_max).len() > SMALL_BYTES {
            self.serial += 1;
        }
    }

    fn check_probe(&self, number: u64, topic: usize) -> Verdict {
        for client in self.healthy() {
            let mut places = client.speech.places().filter(|(of, _)| *of == topic);
            if let Some((_, place)) = places.next()
                && self.topics.number_at(topic, place) != Some(number)
            {
                let name = client.describe();
                return Err(format!("{name}: probe {number} of {topic} has not come: {place:?}"));
            }
        }
        Ok(())
    }

    /// Every client leaves, in one way or another.
    fn say_goodbye(&mut self) {
        for client in &mut self.clients {
            let socket = self.host.kernel.socket_mut(client.socket);
            match self.prng.below(4) {
                0 => socket.reset(0),
                1 if client.may_speak() => client.say_close(Some(1000)),
                _ => client.wants_end = true,
            }
        }
    }

    /// Deadlines pass until the last connection is gone.
    fn wait_for_the_end(&mut self) -> Verdict {
        let config = &self.plan.config;
        // The longest way to go: a handshake or a heartbeat that never comes, given up late because
        // the shard stood still, and a close that is not answered.
        let silence_ms = config.heartbeat_interval_ms + 2 * config.heartbeat_timeout_ms;
        let most_ms = config.handshake_timeout_ms + 2 * config.close_timeout_ms + silence_ms;
        let end_ms = self.host.now().monotonic_ms + 2 * most_ms + REST_MS;
        while self.host.connections() > 0 || self.host.kernel.open_files() > 0 {
            if self.host.now().monotonic_ms > end_ms {
                let (conns, files) = (self.host.connections(), self.host.kernel.open_files());
                return Err(format!("{conns} connections and {files} descriptors are left"));
            }
            self.rest(most_ms / 8 + 1)?;
        }
        match self.is_draining && !self.host.is_drained() {
            true => Err("the drain is not complete".into()),
            false => Ok(()),
        }
    }
}
