//! What peers do: they reset in the middle of a frame, and they never read.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;

use crate::baseline::Baseline;
use crate::common::{BINARY, CONTINUATION, Frame, RawClient, SOON, Server, poll, upgrade_head};
use crate::witnesses::Witnesses;
use crate::{CLOSED, OPEN, PATIENT, QUEUED, beside_others, sized};

/// What one has said when it breaks its connection, and whether it was open by then.
fn half_said(index: usize) -> (Vec<u8>, bool) {
    let whole = Frame::new(BINARY, vec![7; 3000]).octets();
    match index % 6 {
        // In the header, its length, its key, its payload, between fragments; in the handshake.
        0 => (whole[..1].to_vec(), true),
        1 => (whole[..3].to_vec(), true),
        2 => (whole[..6].to_vec(), true),
        3 => (whole[..whole.len() - 1].to_vec(), true),
        4 => {
            let first = Frame::new(BINARY, vec![7; 3000]).open_ended().octets();
            let second = Frame::new(CONTINUATION, "").open_ended().octets();
            ([first, second].concat(), true)
        }
        _ => (upgrade_head("/").as_bytes()[..40].to_vec(), false),
    }
}

#[test]
fn resets_in_the_middle_of_a_frame_leave_nothing_behind() {
    let _turn = beside_others();
    let rounds = sized(240, 6000);
    let server = Server::echo(&["--shards", "2"]);
    let witnesses = Witnesses::echoing(server.ws);
    let baseline = Baseline::of(&server, witnesses.count());
    let mut opened = 0;
    for index in 0..rounds {
        let (octets, is_open) = half_said(index);
        let mut client =
            if is_open { RawClient::open(server.ws, "/") } else { RawClient::connect(server.ws) };
        client.send(&octets);
        client.reset();
        opened += usize::from(is_open);
    }
    server.await_metric(CLOSED, &[("code", "1006")], opened as f64, SOON);
    baseline.await_return(&server, 0);
    witnesses.finish();
    server.stop();
}

/// A client with a window of next to nothing that asks and asks and never takes an answer.
pub(crate) struct Greedy {
    client: RawClient,
    frame: Vec<u8>,
    /// So much of the frame was sent before nothing fitted any more.
    sent: usize,
}

impl Greedy {
    /// On `ringwire echo`.
    pub(crate) fn open(ws: SocketAddr, message: &[u8]) -> Greedy {
        let client = RawClient::connect_narrow(ws).upgrade("/");
        client.stream().set_nonblocking(true).expect("a TCP socket");
        Greedy { client, frame: Frame::new(BINARY, message).octets(), sent: 0 }
    }

    /// Asks until nothing fits any more.
    pub(crate) fn ask(&mut self) {
        loop {
            match self.client.stream().write(&self.frame[self.sent..]) {
                Ok(count) => self.sent = (self.sent + count) % self.frame.len(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("asking: {error}"),
            }
        }
    }
}

#[test]
fn windows_of_zero_pause_their_owners_and_nobody_else() {
    const EGRESS_BYTES_MAX: usize = 1 << 20;
    let _turn = beside_others();
    let count = sized(60, 300);
    let flags = ["--shards", "2", "--max-connections", "4096"];
    let bytes_max = EGRESS_BYTES_MAX.to_string();
    // What one connection may say in one turn fits what is above the mark at which it pauses.
    let sizes =
        ["--message-bytes-max", "65536", "--egress-bytes-max", &bytes_max, "--recv-buffers", "64"];
    let server = Server::echo(&[&flags[..], &sizes, &PATIENT].concat());
    let witnesses = Witnesses::echoing(server.ws);
    // What the allocator has kept of the first time does for the second one.
    let baseline = Baseline::of(&server, witnesses.count());
    pause_all(&server, count, EGRESS_BYTES_MAX, witnesses.count());
    baseline.await_return(&server, (count * EGRESS_BYTES_MAX) as u64);
    let baseline = Baseline::of(&server, witnesses.count());
    pause_all(&server, count, EGRESS_BYTES_MAX, witnesses.count());
    baseline.await_return(&server, 0);
    witnesses.finish();
    server.stop();
}

/// So many who never read come, are paused for it, and go.
fn pause_all(server: &Server, count: usize, egress_bytes_max: usize, others: usize) {
    const PAUSED: &str = "ringwire_reads_paused_total";
    let before = server.metric(PAUSED, &[]);
    let message = [7; 4000];
    let mut clients: Vec<Greedy> = (0..count).map(|_| Greedy::open(server.ws, &message)).collect();
    let paused = poll(SOON, || {
        // What was in the kernel is read by and by, and makes room for more.
        clients.iter_mut().for_each(Greedy::ask);
        let metrics = server.metrics();
        let queued = metrics.value(QUEUED, &[]);
        assert!(queued <= (count * egress_bytes_max) as f64, "{queued} bytes wait");
        let paused = metrics.value(PAUSED, &[]) - before;
        (paused >= count as f64).then_some(queued)
    });
    let queued = paused.expect("reading pauses for all of them");
    println!("{queued} bytes waited for {count} who never read");
    assert_eq!(server.metric(OPEN, &[]), (count + others) as f64, "nobody was closed");
    drop(clients);
}
