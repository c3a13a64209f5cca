//! Something runs out: places for connections, descriptors, memory for sockets, receive buffers.

use std::process::Command;
use std::thread;

use crate::baseline::Baseline;
use crate::common::{BINARY, Frame, Random, RawClient, SOON, Server, poll, upgrade_head};
use crate::memory::Scarcity;
use crate::peers::Greedy;
use crate::witnesses::{Newcomers, Witnesses};
use crate::{OPEN, PATIENT, REFUSED, alone, beside_others, shout, sized};

/// Connections that take places and say nothing, more than there are: those who have one keep it.
#[test]
fn a_full_table_turns_newcomers_away_and_is_free_again_afterwards() {
    const PLACES: usize = 48;
    let _turn = beside_others();
    let silent = sized(400, 4000);
    let places = PLACES.to_string();
    let flags = ["--shards", "2", "--max-connections", &places, "--handshake-timeout-ms", "1500"];
    let server = Server::echo(&flags);
    let witnesses = Witnesses::echoing(server.ws);
    let baseline = Baseline::of(&server, witnesses.count());
    let mut crowd: Vec<RawClient> = (0..silent).map(|_| RawClient::connect(server.ws)).collect();
    // Each of them is either told so, or hung up on; none of them gets in any more.
    for client in &mut crowd {
        client.try_send(upgrade_head("/").as_bytes());
    }
    let (mut opened, mut refused, mut cut) = (0, 0, 0);
    for client in &mut crowd {
        match client.head(SOON).map(|head| head.status) {
            Some(101) => opened += 1,
            Some(503) => refused += 1,
            None => cut += 1,
            Some(status) => panic!("status {status}"),
        }
    }
    println!("{silent} came: {opened} found a place, {refused} were told 503, {cut} were cut off");
    assert!(opened + witnesses.count() <= PLACES, "{opened} more than there are places");
    assert!(opened > 0 && refused + cut > 0, "{opened} {refused} {cut}");
    // Each of them is counted: refused for want of a place, or late for one; or taken from the
    // kernel when even the places for refusals were taken.
    let metrics = server.metrics();
    let refusals = |cause| metrics.value(REFUSED, &[("cause", cause)]);
    let unheard = metrics.value("ringwire_accept_table_full_total", &[]);
    let counted = [refusals("unavailable"), refusals("timeout"), unheard];
    println!("unavailable, timeout, table full: {counted:?}");
    assert!(counted[0] > 0.0);
    let all: f64 = counted.iter().sum();
    assert!(all >= f64::from(refused + cut), "{counted:?} of {refused} and {cut} are counted");
    drop(crowd);
    baseline.await_return(&server, 0);
    drop(RawClient::open(server.ws, "/"));
    witnesses.finish();
    server.stop();
}

/// The process may open no descriptor more: connections need none of its own.
#[test]
fn a_process_without_descriptors_serves_its_clients_and_new_ones() {
    let _turn = beside_others();
    let server = Server::echo(&["--shards", "2"]);
    let witnesses = Witnesses::echoing(server.ws);
    let baseline = Baseline::of(&server, witnesses.count());
    let before = limit_of(server.pid());
    // The admin listener's connections are of the usual kind. Below three all are taken.
    if !set_limit(server.pid(), "3") {
        return shout("NOT RUN: a test without descriptors needs prlimit(1), and root or a limit");
    }
    let mut waiting = RawClient::connect(server.admin);
    waiting.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let arrived = {
        let newcomers = Newcomers::start(server.ws);
        let clients: Vec<RawClient> = (0..50).map(|_| RawClient::open(server.ws, "/")).collect();
        drop(clients);
        newcomers.finish()
    };
    println!("without a descriptor left: {arrived:?}");
    assert!(set_limit(server.pid(), &before), "the limit goes back to {before}");
    // The operator has only waited.
    assert_eq!(waiting.head(SOON).expect("an answer").status, 200);
    drop(waiting);
    let failures = server.metric("ringwire_admin_accept_failures_total", &[]);
    assert!(failures > 0.0, "nobody counted it");
    baseline.await_return(&server, 0);
    witnesses.finish();
    server.stop();
}

/// The soft limit of descriptors.
fn limit_of(pid: u32) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("the process");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    line.split_whitespace().nth(3).expect("the soft one").to_owned()
}

fn set_limit(pid: u32, limit: &str) -> bool {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &pid.to_string(), &format!("--nofile={limit}:")]);
    command.status().is_ok_and(|status| status.success())
}

/// Clients that never read take all the memory that the kernel has for the server's sockets.
#[test]
fn scarce_memory_for_sockets_slows_down_and_loses_nothing() {
    const BYTES: u64 = 2 << 20;
    let _turn = if Scarcity::is_private() { beside_others() } else { alone() };
    let server = Server::echo(&[&["--shards", "2"][..], &PATIENT].concat());
    let Some(scarcity) = Scarcity::of(server.pid(), BYTES) else {
        return shout("NOT RUN: a test of scarce memory for sockets needs root");
    };
    let witnesses = Witnesses::echoing(server.ws);
    let baseline = Baseline::of(&server, witnesses.count());
    let mut greedy: Vec<Greedy> = (0..24).map(|_| Greedy::open(server.ws, &[7; 30_000])).collect();
    let felt = poll(SOON, || {
        greedy.iter_mut().for_each(Greedy::ask);
        scarcity.is_felt().then_some(())
    });
    assert!(felt.is_some(), "the kernel never ran out of {BYTES} bytes");
    // While it lasts: who is there is served, and so is who comes.
    for round in 0..sized(20, 500) {
        let mut client = RawClient::open(server.ws, "/");
        let message = Random::seeded(round).octets(5000);
        client.send_frame(&Frame::new(BINARY, &message));
        assert_eq!(client.message(), (BINARY, message));
    }
    assert!(server.metric("ringwire_short_sends_total", &[]) > 0.0, "no send was cut short");
    // Those who came have gone again; nobody else has.
    server.await_metric(OPEN, &[], (witnesses.count() + greedy.len()) as f64, SOON);
    drop(greedy);
    baseline.await_return(&server, 64 << 20);
    witnesses.finish();
    drop(scarcity);
    server.stop();
}

/// More arrives at once than there are buffers to receive it in.
#[test]
fn starved_receives_wait_for_a_buffer_and_lose_nothing() {
    const CLIENTS: u64 = 48;
    let _turn = beside_others();
    let flags = ["--shards", "1", "--recv-buffers", "8", "--recv-buffer-bytes", "256"];
    let server = Server::echo(&flags);
    let witnesses = Witnesses::echoing(server.ws);
    let baseline = Baseline::of(&server, witnesses.count());
    thread::scope(|scope| {
        for seed in 0..CLIENTS {
            let ws = server.ws;
            scope.spawn(move || {
                let mut random = Random::seeded(seed);
                let mut client = RawClient::open(ws, "/");
                for _ in 0..sized(4, 100) {
                    let messages: Vec<Vec<u8>> = (0..16).map(|_| random.octets(1500)).collect();
                    let frames = messages.iter().flat_map(|one| Frame::new(BINARY, one).octets());
                    client.send(&frames.collect::<Vec<u8>>());
                    for message in messages {
                        assert_eq!(client.message(), (BINARY, message));
                    }
                }
            });
        }
    });
    let starved = server.metric("ringwire_recv_starved_total", &[]);
    println!("{starved} receives found no buffer");
    assert!(starved > 0.0, "there were buffers enough");
    baseline.await_return(&server, 0);
    witnesses.finish();
    server.stop();
}
