//! What is counted. Each case is warm before the count begins, and checks what it does.

use std::hint::black_box;

use ringwire::handler::Handler;
use ringwire::limits::TICK_MS;
use ringwire::ws::mask;
use ringwire::ws::utf8::Utf8;

use crate::callgrind::counted_by_callgrind;
use crate::rig::scenes::{self, Scene};
use crate::rig::{Echo, Machine, wire};

/// One thing that is counted.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What the count is divided by.
    pub(crate) unit: &'static str,
    /// How often it is played for a count.
    pub(crate) rounds: usize,
    /// Plays so many rounds and gives the units that were counted.
    pub(crate) play: fn(usize) -> u64,
}

impl Case {
    /// As in the table and in the baseline.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.name, self.unit)
    }
}

const CONNECTIONS: usize = 64;
const SUBSCRIBERS: usize = 100;
const FEW: usize = 20;
const CROWD: usize = 10_000;
/// Rounds before the count begins: vectors have grown, memory was touched.
const WARM_UP: usize = 3;

/// All cases, in the order in which they are printed.
pub(crate) const CASES: &[Case] = &[
    // 64 connections have sent a message each: a turn under load.
    Case { name: "echo", unit: "message", rounds: 50, play: |rounds| echo(CONNECTIONS, 1, rounds) },
    // One message in a turn of its own: what a turn costs.
    Case { name: "echo_alone", unit: "message", rounds: 500, play: |rounds| echo(1, 1, rounds) },
    Case {
        name: "echo_pipelined",
        unit: "message",
        rounds: 10,
        play: |rounds| echo(CONNECTIONS, 16, rounds),
    },
    // Each of 100 subscribers publishes: batches of 100 messages.
    Case {
        name: "fan_out_100x100",
        unit: "delivery",
        rounds: 10,
        play: |rounds| fan_out(SUBSCRIBERS, SUBSCRIBERS, rounds),
    },
    // The same with so few that publishing counts for as much as delivering.
    Case {
        name: "fan_out_20x20",
        unit: "delivery",
        rounds: 50,
        play: |rounds| fan_out(FEW, FEW, rounds),
    },
    // The same without JSON.
    Case { name: "relay_20x20", unit: "delivery", rounds: 50, play: relay },
    // Batches of one message: a send for every delivery.
    Case {
        name: "fan_out_1x10000",
        unit: "delivery",
        rounds: 2,
        play: |rounds| fan_out(1, CROWD, rounds),
    },
    Case { name: "handshake", unit: "connection", rounds: 10, play: handshake },
    Case { name: "hang_up", unit: "connection", rounds: 10, play: hang_up },
    Case { name: "heartbeat", unit: "ping", rounds: 1, play: heartbeat },
    Case { name: "unmask_4096", unit: "call", rounds: 100, play: unmask },
    Case { name: "utf8_4096", unit: "call", rounds: 100, play: utf8 },
];

/// Messages of 64 octets, echoed.
fn echo(connections: usize, pipelined: usize, rounds: usize) -> u64 {
    count_rounds(scenes::echo(connections, 64, pipelined), rounds);
    (connections * pipelined * rounds) as u64
}

/// Messages with 20 octets of data, published.
fn fan_out(publishers: usize, subscribers: usize, rounds: usize) -> u64 {
    count_rounds(scenes::fan_out(publishers, subscribers, 20), rounds);
    (publishers * subscribers * rounds) as u64
}

/// Messages of 20 octets, relayed as they are.
fn relay(rounds: usize) -> u64 {
    count_rounds(scenes::relay(FEW, 20), rounds);
    (FEW * FEW * rounds) as u64
}

/// The octets of all rounds are there before the count begins: the copy into the receive buffer is
/// the kernel's.
fn count_rounds<H: Handler>(mut scene: Scene<H>, rounds: usize) {
    let mut warm_up = scene.input.repeat(WARM_UP);
    let mut measured = scene.input.repeat(rounds);
    let len = scene.input.len();
    warm_up.chunks_exact_mut(len).for_each(|input| scene.round(input));
    counted_by_callgrind(&mut || {
        measured.chunks_exact_mut(len).for_each(|input| scene.round(input))
    });
}

/// From the accepted connection to the answer that upgrades it.
fn handshake(rounds: usize) -> u64 {
    come_and_go(rounds, |machine, input| counted_by_callgrind(&mut || come(machine, input)), go)
}

/// From the end of the peer's stream to the closed descriptor.
fn hang_up(rounds: usize) -> u64 {
    come_and_go(rounds, come, |machine| counted_by_callgrind(&mut || go(machine)))
}

fn come_and_go(
    rounds: usize,
    come_in: impl Fn(&mut Machine<Echo>, &mut [u8]),
    go_away: impl Fn(&mut Machine<Echo>),
) -> u64 {
    let mut machine = Machine::new(CONNECTIONS as u32, Echo);
    let mut input = wire::HEAD.as_bytes().repeat(CONNECTIONS);
    for _ in 0..WARM_UP {
        come(&mut machine, &mut input);
        go(&mut machine);
    }
    for _ in 0..rounds {
        come_in(&mut machine, &mut input);
        go_away(&mut machine);
    }
    (CONNECTIONS * rounds) as u64
}

fn come(machine: &mut Machine<Echo>, input: &mut [u8]) {
    machine.accept(CONNECTIONS);
    machine.rest();
    for (file, head) in input.chunks_exact_mut(wire::HEAD.len()).enumerate() {
        machine.receive(file, head);
    }
    assert_eq!(machine.rest(), CONNECTIONS, "all handshakes go well");
}

fn go(machine: &mut Machine<Echo>) {
    (0..CONNECTIONS).for_each(|file| machine.hang_up(file));
    machine.settle();
}

/// A crowd that is silent but for its pongs, through intervals of 25 s, tick by tick.
fn heartbeat(rounds: usize) -> u64 {
    const PEERS: usize = 2_000;
    const TICKS: u64 = 25_000 / TICK_MS + 1;
    let mut machine = Machine::new(PEERS as u32, Echo);
    machine.open(PEERS);
    let mut pinged = Vec::with_capacity(PEERS);
    let mut interval = |machine: &mut Machine<Echo>| {
        let mut pings = 0;
        for _ in 0..TICKS {
            let turn = machine.turn_naming(TICK_MS, &mut pinged);
            assert_eq!(turn.sends, pinged.len(), "nothing but pings");
            pings += turn.sends as u64;
            for file in pinged.drain(..) {
                machine.receive(file, &mut wire::PONG.clone());
            }
        }
        pings
    };
    interval(&mut machine);
    let mut pings = 0;
    counted_by_callgrind(&mut || (0..rounds).for_each(|_| pings += interval(&mut machine)));
    assert!(pings >= (PEERS * rounds) as u64 * 9 / 10, "nearly everyone is asked: {pings}");
    pings
}

fn unmask(rounds: usize) -> u64 {
    let mut payload = wire::octets(4096);
    counted_by_callgrind(&mut || {
        (0..rounds).for_each(|_| mask::apply(wire::KEY, 0, black_box(&mut payload)));
    });
    rounds as u64
}

fn utf8(rounds: usize) -> u64 {
    let text = wire::text(4096, false);
    let is_valid = |text: &[u8]| Utf8::new().push(text).is_ok();
    assert!(is_valid(text.as_bytes()), "it is what it is called");
    counted_by_callgrind(&mut || {
        (0..rounds).for_each(|_| assert!(is_valid(black_box(text.as_bytes()))));
    });
    rounds as u64
}
