//! A driver that goes away lets go of everything, in time that is linear in what it held.

use std::fs::read_to_string;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::harness::{OPTIONS, PATIENCE, Rig, config, key};
use ringwire::ring::{DriverConfig, FileSlot, ListenAddr, Listener, Op, Wait};

/// What one of so many receives may cost. Told to end all at once, the kernel took 260 us for each
/// of 8000, because it looks at all that it has ended already.
const COST_MAX: Duration = Duration::from_micros(100);

/// The processor's time of this thread.
fn cpu_time() -> Duration {
    let stat = read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// How many descriptors this process may open, or how large a ring's table may be.
fn descriptors_max() -> usize {
    let limits = read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

fn rig_with(clients: usize) -> (Rig, Vec<(UnixStream, FileSlot)>) {
    let name = format!("ringwire-teardown-{}-{clients}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let listener = Listener::bind(&ListenAddr::Unix(path.clone()), OPTIONS).unwrap();
    let files = clients as u32 + 64;
    let config = DriverConfig { files, listeners: vec![listener], ..config() };
    let mut rig = Rig::accepting(config);
    let mut streams = Vec::new();
    for number in 0..clients {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (file, _) = rig.accepted();
        streams.push((stream, file));
        rig.arm(key(number as u32, 1), file);
    }
    std::fs::remove_file(&path).unwrap();
    (rig, streams)
}

#[test]
fn thousands_of_receives_end_in_time_that_is_linear() {
    let clients = 8000.min(descriptors_max() / 2);
    let (rig, mut streams) = rig_with(clients);
    let began = cpu_time();
    drop(rig);
    let took = cpu_time() - began;
    assert!(took < COST_MAX * clients as u32, "{clients} receives took {took:?}");
    for (stream, _) in &mut streams {
        let end = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    }
}

#[test]
fn a_queued_send_that_nobody_reads_ends_too() {
    let (mut rig, mut streams) = rig_with(1);
    let conn = key(0, 1);
    let (mut stream, file) = streams.remove(0);
    stream.write_all(b"x").unwrap();
    rig.until("received", |rig| rig.received(conn) == b"x");
    let frames = vec![bytes::Bytes::from(vec![0; 8 << 20])];
    rig.ops.push(Op::SendQueued { conn, file, frames, skip: 0 });
    rig.turn(Wait::Now);
    drop(rig);
    let mut octets = Vec::new();
    // The stream ends, because nothing of the driver holds it open.
    let ended = stream.read_to_end(&mut octets).map_err(|error| error.kind());
    assert!(matches!(ended, Ok(_) | Err(ErrorKind::ConnectionReset)), "{ended:?}");
    assert!(octets.len() < 8 << 20, "the rest was given up");
}
