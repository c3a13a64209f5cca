//! Wake-ups: between rings, from a plain thread, and of the control plane.

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, mpsc};

use ringwire::base::ShardId;
use ringwire::ring::{ControlBell, Doorbell, DriverConfig, Op, Wait};

use crate::harness::{Fact, Rig, config, key, pattern};

/// A driver in a thread of its own that sleeps until it is woken, `times` times.
fn sleeper(times: usize) -> (RawFd, std::thread::JoinHandle<()>) {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut rig = Rig::new(config());
        tell.send(rig.driver.ring_fd()).unwrap();
        for _ in 0..times {
            while rig.facts.is_empty() {
                rig.turn(Wait::Forever);
            }
            assert_eq!(rig.facts, [Fact::Woken]);
            rig.facts.clear();
        }
    });
    (told.recv().unwrap(), thread)
}

#[test]
fn a_shard_wakes_another_that_sleeps() {
    let (ring, thread) = sleeper(1);
    let mut rig = Rig::new(config());
    rig.driver.set_peers(vec![rig.driver.ring_fd(), ring]);
    rig.ops.push(Op::Wake { shard: ShardId(1) });
    rig.turn(Wait::Now);
    thread.join().unwrap();
    assert!(rig.facts.is_empty(), "success is silent: {:?}", rig.facts);
}

#[test]
fn a_plain_thread_wakes_a_shard_that_sleeps() {
    let (ring, thread) = sleeper(1);
    Doorbell::new(vec![ring]).unwrap().ring(ShardId(0)).unwrap();
    thread.join().unwrap();
}

#[test]
fn wake_ups_of_a_full_completion_queue_are_not_lost() {
    let small = DriverConfig { sq_entries: 4, cq_entries: 4, ..config() };
    let mut rig = Rig::accepting(small);
    let conns: Vec<_> = (0..10).map(|slot| (key(slot, 1), rig.connect())).collect();
    for (conn, (client, file)) in &conns {
        rig.arm(*conn, *file);
        (&mut &*client).write_all(&pattern(0, 100)).unwrap();
    }
    let ring = rig.driver.ring_fd();
    let ringer = std::thread::spawn(move || {
        let mut bell = Doorbell::new(vec![ring]).unwrap();
        (0..50).for_each(|_| bell.ring(ShardId(0)).unwrap());
    });
    ringer.join().unwrap();
    rig.expect_fact(&Fact::Woken);
    rig.until("all data", |rig| conns.iter().all(|(conn, _)| rig.received(*conn).len() == 100));
}

#[test]
fn a_wake_up_that_can_not_be_delivered_is_reported() {
    let no_ring = ControlBell::new().unwrap();
    let mut rig = Rig::new(config());
    rig.driver.set_peers(vec![no_ring.as_raw_fd()]);
    rig.ops.push(Op::Wake { shard: ShardId(0) });
    rig.expect_fact(&Fact::WakeFailed { shard: ShardId(0) });
    Doorbell::new(vec![no_ring.as_raw_fd()]).unwrap().ring(ShardId(0)).unwrap_err();
}

#[test]
fn the_control_plane_hears_its_bell() {
    let bell = Arc::new(ControlBell::new().unwrap());
    let mut rig = Rig::new(DriverConfig { control: Some(bell.clone()), ..config() });
    assert!(!bell.answer().unwrap());
    rig.ops.push(Op::WakeControl);
    rig.ops.push(Op::WakeControl);
    rig.turn(Wait::Now);
    assert!(bell.answer().unwrap());
    assert!(!bell.answer().unwrap());
    assert!(rig.facts.is_empty() && rig.stats().control_wakes_failed == 0);
}
