//! What an idle connection costs the server: open, subscribed to one topic, heartbeats on.
//!
//! Starts `ringwire serve`, opens connections from child processes (each holds at most
//! `PER_HOLDER`, with a destination address of its own in 127.0.0.0/8, so that neither descriptors
//! nor ports run out), and prints the server's memory before and after. User space only: what the
//! kernel holds for sockets is not in it.
//!
//! ```text
//! cargo bench --bench idle_memory                                           15,000 on one shard
//! cargo bench --bench idle_memory -- --connections 100000 --shards 8
//! cargo bench --bench idle_memory -- --deflate      without and with compression agreed on
//! ```
//!
//! `--hold-seconds` says how long all are held before the second look (30: heartbeats have come by
//! then); `RINGWIRE_BIN` names another server binary. Run any other way (`cargo test`) it does a
//! tiny round, so that it can't rot. It gives up after `LIMIT` and ends what it has started.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "idle_memory/holder.rs"]
mod holder;
#[path = "idle_memory/memory.rs"]
mod memory;

use common::{Deadline, Process, Server};
use memory::Memory;

/// Connections of one child: below a usual RLIMIT_NOFILE of 20,000.
const PER_HOLDER: u32 = 15_000;
/// For everything together.
const LIMIT: Duration = Duration::from_secs(120);

struct Plan {
    connections: u32,
    shards: u32,
    hold: Duration,
    /// All agree on compression, and send a compressed message before they idle.
    deflates: bool,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(rest) = args.strip_prefix(&[holder::ARGUMENT.to_owned()]) {
        return holder::hold(rest);
    }
    let number = |name: &str, usual: u32| {
        let at = args.iter().position(|arg| arg == name);
        let given = at.map(|at| args.get(at + 1).and_then(|text| text.parse().ok()));
        given.map_or(usual, |number| number.unwrap_or_else(|| panic!("{name} NUMBER")))
    };
    let is_bench = args.iter().any(|arg| arg == "--bench");
    let (connections, seconds) = if is_bench { (15_000, 30) } else { (50, 0) };
    let plan = |deflates| Plan {
        connections: number("--connections", connections),
        shards: number("--shards", 1),
        hold: Duration::from_secs(number("--hold-seconds", seconds).into()),
        deflates,
    };
    if is_bench && !args.iter().any(|arg| arg == "--deflate") {
        measure(&plan(false));
        return;
    }
    let [plain, compressing] = [false, true].map(|deflates| measure(&plan(deflates)).resident());
    println!(
        "with compression agreed on {compressing} bytes each, without {plain}: {:+}",
        compressing as i64 - plain as i64
    );
}

fn measure(plan: &Plan) -> Memory {
    let deadline = Deadline::after(LIMIT);
    let server = start(plan);
    let before = Memory::at_rest(server.pid(), deadline);
    let start = Instant::now();
    let holders: Vec<Process> = sizes(plan.connections)
        .enumerate()
        .map(|(index, size)| start_holder(index, size, server.ws.port(), plan.deflates))
        .collect();
    let (mut established, mut failed) = (0, 0);
    for holder in &holders {
        let line = holder.line(deadline.left().unwrap_or_default());
        let (held, lost) = line.split_once(' ').unwrap_or_else(|| panic!("not a count: {line}"));
        established += held.parse::<u32>().expect("how many are held");
        failed += lost.parse::<u32>().expect("how many have failed");
    }
    let took = start.elapsed();
    println!("{established} established, {failed} failed, in {:.1} s", took.as_secs_f64());
    // Not to wait for something: time is what is measured.
    thread::sleep(plan.hold.min(deadline.left().unwrap_or_default()));
    let after = Memory::at_rest(server.pid(), deadline);
    let open = server.metric("ringwire_connections_open", &[]);
    println!("held for {} s, then {open} are open", plan.hold.as_secs());
    let each = after.since(before, established);
    println!("before  {before}\nafter   {after}\neach    {each}");
    assert_eq!((established, failed), (plan.connections, 0), "not all could be opened");
    assert_eq!(open, f64::from(established), "not all could be held");
    let agreed = server.metric("ringwire_compression_agreed_total", &[]);
    assert_eq!(agreed, if plan.deflates { open } else { 0.0 }, "not all have agreed");
    assert!(deadline.left().is_some(), "took longer than {LIMIT:?}");
    each
}

fn start(plan: &Plan) -> Server {
    // Room beyond what is opened: the kernel spreads connections over shards by hash.
    let connections_max = (plan.connections + plan.connections / 15 + 64).to_string();
    let shards = plan.shards.to_string();
    Server::serve(&[
        "--listen",
        "0.0.0.0:0",
        "--shards",
        &shards,
        "--max-connections",
        &connections_max,
        if plan.deflates { "--compression=true" } else { "--compression=false" },
    ])
}

/// How many each child holds.
fn sizes(connections: u32) -> impl Iterator<Item = u32> {
    let children = connections.div_ceil(PER_HOLDER);
    (0..children).map(move |index| PER_HOLDER.min(connections - index * PER_HOLDER))
}

fn start_holder(index: usize, size: u32, port: u16, deflates: bool) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    let octet = u8::try_from(index + 1).expect("few children");
    let target = format!("127.0.0.{octet}:{port}");
    let seconds = LIMIT.as_secs().to_string();
    let deflates = deflates.to_string();
    command.args([holder::ARGUMENT, &target, &size.to_string(), &seconds, &deflates]);
    Process::spawn(&format!("holder {index}"), &mut command)
}
