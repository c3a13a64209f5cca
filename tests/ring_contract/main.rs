//! What the ring driver assumes of the kernel, held on the real kernel.
//!
//! Every test drives a [`ringwire::ring::Driver`] on its own thread against std sockets; the oracle
//! is what the socket at the other end says. Nothing sleeps to synchronise.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one fact among others")]

mod accept;
mod harness;
mod recv;
mod send;
mod teardown;
mod wake;

use std::io::{Read, Write};

use harness::{Fact, Rig, config, key};
use ringwire::ring::{Op, RecvEnd, Wait};

#[test]
fn a_connection_is_accepted_echoed_and_closed() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (mut client, file) = rig.connect();
    rig.arm(conn, file);

    client.write_all(b"hello").unwrap();
    rig.until("received", |rig| rig.received(conn) == b"hello");
    rig.send(conn, file, &[b"hello, ", b"too"]);
    rig.turn(Wait::Now);
    let mut answer = [0; 10];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello, too");

    drop(client);
    assert_eq!(rig.recv_end(conn), RecvEnd::Eof);
    rig.close(conn, file);
    assert!(rig.facts.iter().all(|fact| matches!(fact, Fact::Received { .. })), "{:?}", rig.facts);
    rig.ops.push(Op::CloseUnused { file });
    rig.turn(Wait::Now);
    assert_eq!(rig.stats().closes_failed, 1, "the slot was free already");
}
