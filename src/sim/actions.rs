//! What happens in a step: what clients say and do, and what befalls them.

use super::client::{Client, Nature};
use super::deflate::{OFFERS, UNMET, compressed};
use super::faults::Canary;
use super::plan::{Action, Asking, Dialect, Plan};
use super::run::Sim;
use super::speech::Ask;
use super::topics::{Verdict, data_of};
use super::wire::{self, BINARY, CLOSE, FIN, PING, TEXT};
use crate::base::prng::Prng;
use crate::handler::Handler;
use crate::ring::ListenerId;

/// Octets that a client may have to write before it says nothing more.
const UNWRITTEN_BYTES_MAX: usize = 32 * 1024;
/// Zeros that compress beyond any ratio that is drawn to be met.
const SPARSE_BYTES: usize = 100_000;
/// Requests of a flood, at most.
const FLOOD_MAX: u64 = 100;
/// Time that passes in a short while, and in a long one.
const ADVANCE_MS_MAX: u64 = 300;
const LONG_ADVANCE_MS_MAX: u64 = 12_000;
/// Wake-ups of such a while that are waited for.
const ADVANCE_WAKES_MAX: usize = 40;

impl<H: Handler> Sim<H> {
    pub(super) fn draw_action(&mut self) -> Action {
        let mut at = self.prng.below(self.plan.weights_sum);
        for (action, weight) in &self.plan.weights {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *action,
            }
        }
        Action::Idle
    }

    pub(super) fn act(&mut self, action: Action) -> Verdict {
        match action {
            Action::Connect => self.connect(),
            Action::Ask(asking) => self.with_speaker(|sim, client| sim.ask(client, asking)),
            Action::Flood => self.with_speaker(|sim, client| {
                let asking = match sim.prng.below(8) {
                    0 => Asking::Nonsense,
                    1 | 2 => Asking::Ping,
                    _ => Asking::Publish,
                };
                (0..sim.prng.below(FLOOD_MAX)).for_each(|_| sim.ask(client, asking));
            }),
            Action::PingFrame => self.with_speaker(Self::ping_frame),
            Action::Stall => self.with_client(|sim, client| sim.clients[client].is_stalled = true),
            Action::Unstall => {
                self.with_client(|sim, client| sim.clients[client].is_stalled = false);
            }
            Action::Violate => self.with_speaker(Self::violate),
            Action::SayClose => self.with_speaker(Self::say_close),
            Action::HalfClose => {
                self.with_client(|sim, client| sim.clients[client].wants_end = true);
            }
            Action::Reset => self.with_client(Self::reset),
            Action::Vanish => self.with_client(|sim, client| {
                sim.clients.swap_remove(client);
            }),
            Action::Idle => {}
            Action::Advance => return self.advance(ADVANCE_MS_MAX),
            Action::LongAdvance => return self.advance(LONG_ADVANCE_MS_MAX),
            Action::AskTopics => {
                let shard = self.any_shard();
                self.host.ask_topics(shard);
            }
            Action::Spurious => {
                let shard = self.any_shard();
                self.turn(shard);
            }
        }
        Ok(())
    }

    fn any_shard(&mut self) -> usize {
        self.prng.below(self.host.shards() as u64) as usize
    }

    fn with_client(&mut self, act: impl FnOnce(&mut Self, usize)) {
        if !self.clients.is_empty() {
            let client = self.prng.below(self.clients.len() as u64) as usize;
            act(self, client);
        }
    }

    fn with_speaker(&mut self, act: impl FnOnce(&mut Self, usize)) {
        self.with_client(|sim, client| {
            if sim.clients[client].may_speak() {
                act(sim, client);
            }
        });
    }

    fn connect(&mut self) {
        if self.clients.len() >= self.plan.clients_max {
            return;
        }
        let shard = self.any_shard();
        let listener = ListenerId(self.prng.below(u64::from(self.plan.config.listeners)) as u16);
        let socket = self.host.kernel.connect(shard, listener);
        let nature = match self.prng.below(12) {
            0 => Nature::Mute,
            1 => Nature::Rude,
            2..=5 => Nature::Slow,
            _ => Nature::Good,
        };
        let mut client = Client::new(self.arrivals, socket, nature);
        self.arrivals += 1;
        let room = match nature {
            Nature::Slow => self.plan.slow_room,
            Nature::Good | Nature::Mute | Nature::Rude => 64 * self.plan.slow_room,
        };
        let room = 1 + self.prng.below(room) as usize;
        self.host.kernel.socket_mut(socket).room = room;
        if self.prng.below(3) == 0 {
            let step = 1 + self.prng.below(200) as usize;
            self.host.kernel.socket_mut(socket).input_step = step;
        }
        if nature == Nature::Rude {
            let (head, status) = rude_head(&mut self.prng, &self.plan);
            client.say_head(&head, status);
        } else {
            let mut fields = "Sec-WebSocket-Protocol: ringwire.v1.json\r\n".to_owned();
            client.offers = self.prng.below(3) > 0;
            let offers = if client.offers { &OFFERS[..] } else { &UNMET[..] };
            let offer = offers[self.prng.below(offers.len() as u64) as usize];
            if !offer.is_empty() {
                fields += &format!("Sec-WebSocket-Extensions: {offer}\r\n");
            }
            client.say_head(&wire::head("/ws", &fields), 101);
        }
        self.clients.push(client);
        if nature != Nature::Rude {
            let last = self.clients.len() - 1;
            (0..self.prng.below(4)).for_each(|_| self.ask(last, Asking::Subscribe));
        }
    }

    /// One request of a client, whatever its dialect makes of it.
    pub(super) fn ask(&mut self, client: usize, asking: Asking) {
        if self.clients[client].unwritten() > UNWRITTEN_BYTES_MAX {
            return;
        }
        self.serial += 1;
        match self.plan.dialect {
            Dialect::Json => self.ask_json(client, asking),
            Dialect::Echo => self.ask_echo(client, asking),
        }
        self.clients[client].note_owed();
    }

    fn ask_json(&mut self, client: usize, asking: Asking) {
        let id = self.serial;
        let topic = self.any_topic();
        let text = match asking {
            Asking::Publish => return self.publish(client, topic),
            Asking::Nonsense if self.prng.below(2) == 0 => return self.babble(client),
            Asking::Nonsense => {
                self.clients[client].note_request(true);
                self.clients[client].speech.ask(id, Ask::Nonsense, &self.plan)
            }
            Asking::Subscribe => {
                let since = self.clients[client].speech.left_at(topic);
                let since = since.filter(|_| self.prng.below(2) == 0);
                let speech = &mut self.clients[client].speech;
                speech.ask(id, Ask::Subscribe { topic, since }, &self.plan)
            }
            Asking::Unsubscribe => {
                let speech = &mut self.clients[client].speech;
                speech.ask(id, Ask::Unsubscribe { topic }, &self.plan)
            }
            Asking::Ping => self.clients[client].speech.ask(id, Ask::Ping, &self.plan),
        };
        if asking != Asking::Nonsense {
            self.clients[client].note_request(false);
        }
        self.say(client, TEXT, text.as_bytes());
    }

    fn any_topic(&mut self) -> usize {
        let topics = self.plan.topics.clone();
        topics.start + self.prng.below(topics.len() as u64) as usize
    }

    /// Publishes a message with the present number.
    pub(super) fn publish(&mut self, client: usize, topic: usize) {
        let number = self.serial;
        let is_one = self.canary == Some(Canary::TakesAllForOne);
        let publisher = if is_one { 0 } else { self.clients[client].index };
        self.topics.published(number, topic, publisher);
        self.clients[client].note_request(false);
        let speech = &mut self.clients[client].speech;
        let text = if self.prng.below(8) == 0 {
            speech.publish_quietly(number, topic, &self.plan)
        } else {
            let octets = data_of(number, self.plan.payload_max).len();
            speech.ask(number, Ask::Publish { topic, octets }, &self.plan)
        };
        self.say(client, TEXT, text.as_bytes());
    }

    fn babble(&mut self, client: usize) {
        self.clients[client].note_request(true);
        self.clients[client].speech.babbled();
        match self.prng.below(3) {
            0 => self.say(client, TEXT, b"?"),
            1 => self.say(client, TEXT, b"[\"ping\"]"),
            _ => self.say(client, BINARY, b"{\"type\":\"ping\"}"),
        }
    }

    fn ask_echo(&mut self, client: usize, asking: Asking) {
        let text = data_of(self.serial, self.plan.payload_max);
        let (opcode, payload) = match asking {
            Asking::Subscribe | Asking::Unsubscribe => (BINARY, format!("j{text}")),
            Asking::Publish | Asking::Nonsense => (TEXT, text),
            Asking::Ping => (BINARY, String::new()),
        };
        self.clients[client].echoes.expect(opcode, payload.as_bytes());
        self.say(client, opcode, payload.as_bytes());
    }

    /// Says a message in as many fragments as there may be.
    fn say(&mut self, client: usize, opcode: u8, payload: &[u8]) {
        let most = u64::from(self.plan.config.message.fragments_max.min(3));
        let fragments = if self.prng.below(4) == 0 { 1 + self.prng.below(most) } else { 1 };
        let client = &mut self.clients[client];
        if client.deflate.is_some() && !self.is_plain && self.prng.below(4) > 0 {
            client.say_compressed(opcode, payload, fragments as usize);
        } else {
            client.say_message(opcode, payload, fragments as usize);
        }
    }

    fn ping_frame(&mut self, client: usize) {
        self.serial += 1;
        let payload = format!("ping {}", self.serial);
        self.clients[client].echoes.expect_pong(payload.as_bytes());
        self.clients[client].say(FIN | PING, payload.as_bytes());
    }

    fn violate(&mut self, client: usize) {
        let deflates = self.clients[client].deflate.is_some() && self.prng.below(2) == 0;
        let (octets, code) = match deflates {
            true => compressed_violation(&mut self.prng, &self.plan),
            false => violation(&mut self.prng, &self.plan),
        };
        self.clients[client].violate(&octets, code);
    }

    fn say_close(&mut self, client: usize) {
        let code = [None, Some(1000), Some(1001), Some(3000), Some(4999)];
        let code = code[self.prng.below(code.len() as u64) as usize];
        self.clients[client].say_close(code);
    }

    fn reset(&mut self, client: usize) {
        let id = self.clients.swap_remove(client).socket;
        let input = self.host.kernel.socket(id).input_len() as u64;
        let kept = self.prng.below(input + 1) as usize;
        self.host.kernel.socket_mut(id).reset(kept);
    }

    /// Time passes, and whoever wants to be woken in it is.
    fn advance(&mut self, most_ms: u64) -> Verdict {
        let end_ms = self.host.now().monotonic_ms + self.prng.below(most_ms);
        for _ in 0..ADVANCE_WAKES_MAX {
            let now_ms = self.host.now().monotonic_ms;
            if now_ms >= end_ms {
                break;
            }
            let next_ms = self.host.next_wake_ms().unwrap_or(end_ms).clamp(now_ms + 1, end_ms);
            self.host.leap(next_ms - now_ms);
            for shard in 0..self.host.shards() {
                self.host.kernel.work(shard);
                if self.host.wants_turn(shard) {
                    self.turn(shard);
                }
            }
            self.pump_some()?;
        }
        Ok(())
    }
}

/// A request head that is refused, and with what.
fn rude_head(prng: &mut Prng, plan: &Plan) -> (String, u16) {
    let good = wire::head("/ws", "");
    let long = "a".repeat(plan.config.head_bytes_max);
    let table = [
        (good.replace("Version: 13", "Version: 12"), 426),
        (good.replace("Upgrade: websocket\r\n", ""), 426),
        (good.replace("dGhl", "????"), 400),
        (good.replace("Host: a\r\n", ""), 400),
        (good.replace("GET ", "POST "), 405),
        (good.replace("Host: a\r\n", &format!("Host: a\r\nX: {long}\r\n")), 431),
        ("\u{1}\u{2}\r\n\r\n".to_owned(), 400),
        // Never complete: given up in time, or at its end, without an answer.
        ("GET /ws HTTP/1.1\r\nHost:".to_owned(), 101),
    ];
    let (head, status) = table[prng.below(table.len() as u64) as usize].clone();
    if plan.dialect == Dialect::Json && prng.below(8) == 0 {
        return (wire::head("/elsewhere", ""), 404);
    }
    (head, status)
}

/// Octets that no client may send, and the code that they deserve (RFC 6455, section 7.4.1).
fn violation(prng: &mut Prng, plan: &Plan) -> (Vec<u8>, u16) {
    let limits = plan.config.message;
    let frame = |first: u8, payload: &[u8]| {
        let mut out = Vec::new();
        wire::write_frame(&mut out, first, payload);
        out
    };
    let unfinished = [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat();
    let announced = (limits.message_bytes_max as u64 + 1).to_be_bytes();
    let too_large = [&[FIN | BINARY, 0x80 | 127][..], &announced, &[0; 4]].concat();
    let too_large = match limits.message_bytes_max {
        65_535.. => too_large,
        _ => [&[FIN | BINARY, 0x80 | 126][..], &announced[6..], &[0; 4]].concat(),
    };
    let fragments = [frame(BINARY, b""), frame(0, b"").repeat(3)].concat();
    // Where compression may have been agreed on, another bit.
    let reserved = if plan.config.deflate.is_some() { 0x20 } else { wire::RSV1 };
    let table = [
        (frame(FIN | reserved | TEXT, b"x"), 1002),
        (frame(FIN | 0x3, b"x"), 1002),
        (vec![FIN | TEXT, 1, b'x'], 1002),
        (frame(PING, b"x"), 1002),
        (frame(FIN | PING, &[0; 126]), 1002),
        (frame(FIN, b"x"), 1002),
        (vec![FIN | TEXT, 0x80 | 126, 0, 1, 0, 0, 0, 0, b'x'], 1002),
        (frame(FIN | CLOSE, &[3]), 1002),
        (frame(FIN | CLOSE, &1005_u16.to_be_bytes()), 1002),
        (frame(FIN | CLOSE, &[3, 0xe8, 0xce]), 1007),
        (frame(FIN | TEXT, b"\xce\xba\xe1\xbd"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        ([&[FIN | BINARY, 0x80 | 127, 0x80][..], &[0; 11]].concat(), 1002),
        (too_large, 1009),
        (unfinished, 1002),
    ];
    if limits.fragments_max <= 3 && prng.below(8) == 0 {
        return (fragments, 1008);
    }
    table[prng.below(table.len() as u64) as usize].clone()
}

/// The same for who has agreed on compression (RFC 7692, sections 6.1 and 7.2.2).
fn compressed_violation(prng: &mut Prng, plan: &Plan) -> (Vec<u8>, u16) {
    let frame = |first: u8, payload: &[u8]| {
        let mut out = Vec::new();
        wire::write_frame(&mut out, first, payload);
        out
    };
    let message_bytes_max = plan.config.message.message_bytes_max;
    let bomb = compressed(&vec![0; message_bytes_max + 1]);
    let first = frame(wire::RSV1 | TEXT, &compressed(b"abc"));
    let twice = [first, frame(FIN | wire::RSV1, b"")].concat();
    let whole = FIN | wire::RSV1;
    let mut table = vec![
        (frame(whole | PING, b"x"), 1002),
        (twice, 1002),
        (frame(whole | TEXT, b"\xff\xff"), 1007),
        (frame(whole | BINARY, b"\xf2\x48\xcd"), 1007),
        (frame(whole | TEXT, &compressed(&[0xff; 100])), 1007),
        (frame(whole | BINARY, &bomb), 1009),
    ];
    if message_bytes_max > SPARSE_BYTES && plan.config.message.inflate_ratio_max < 1000 {
        table.push((frame(whole | BINARY, &compressed(&[0; SPARSE_BYTES])), 1009));
    }
    table.swap_remove(prng.below(table.len() as u64) as usize)
}
