//! What the decision relies on besides cost: behaviours of the kernel, asserted before measuring.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fixed};
use io_uring::{IoUring, opcode};

use super::clients::reset_on_close;
use super::{
    ACCEPT, CANCEL, INSTALL, Room, accept_single, close_fd, is_loopback, new_ring, peer_of, push,
    rooms,
};

/// Runs all checks, and says what was seen.
pub(super) fn run() {
    one_connection_ends_one_accept();
    full_table_costs_connections();
    accept_names_a_peer_that_has_gone();
}

/// A ring with `accepts` single-shot accepts in flight.
struct Bed {
    ring: IoUring,
    listener: TcpListener,
    rooms: Box<[Room]>,
    accepts_out: usize,
}

impl Bed {
    fn new(table: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        Bed { ring: new_ring(table).expect("a ring"), listener, rooms: rooms(64), accepts_out: 0 }
    }

    fn arm(&mut self, accepts: u32) {
        for index in 0..accepts {
            let room = &raw mut self.rooms[index as usize];
            push(&mut self.ring, accept_single(&self.listener, room, index));
        }
        self.accepts_out += accepts as usize;
        self.ring.submit().expect("submit");
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener.local_addr().expect("an address")).expect("a connection")
    }

    /// Waits for `want` completions and gives (room, result) of the accepts that have ended.
    fn reap(&mut self, want: usize) -> Vec<(usize, i32)> {
        self.ring.submit_and_wait(want).expect("submit");
        let ended: Vec<_> = self
            .ring
            .completion()
            .filter(|cqe| cqe.user_data() >> 32 == ACCEPT)
            .map(|cqe| (cqe.user_data() as u32 as usize, cqe.result()))
            .collect();
        self.accepts_out -= ended.len();
        ended
    }

    /// Ends what is in flight, because the kernel may write to `rooms` until then.
    fn finish(mut self) -> Vec<i32> {
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
        push(&mut self.ring, cancel.user_data(CANCEL << 32));
        let mut results = Vec::new();
        while self.accepts_out > 0 {
            results.extend(self.reap(1).into_iter().map(|(_, result)| result));
        }
        results
    }
}

fn one_connection_ends_one_accept() {
    let mut bed = Bed::new(64);
    bed.arm(64);
    let _stream = bed.connect();
    let ended = bed.reap(1);
    assert!(matches!(ended[..], [(_, slot)] if slot >= 0), "{ended:?}");
    let rest = bed.finish();
    assert!(rest.len() == 63 && rest.iter().all(|&result| result == -libc::ECANCELED), "{rest:?}");
    println!("check: 64 accepts in flight, 1 connection: 1 completes, 63 stay pending");
}

fn full_table_costs_connections() {
    let mut bed = Bed::new(2);
    bed.arm(4);
    let mut streams: Vec<_> = (0..5).map(|_| bed.connect()).collect();
    let mut ended = Vec::new();
    while ended.len() < 4 {
        ended.extend(bed.reap(1));
    }
    let full = ended.iter().filter(|(_, result)| *result == -libc::ENFILE).count();
    assert_eq!((full, ended.iter().filter(|(_, slot)| *slot >= 0).count()), (2, 2), "{ended:?}");
    // A closed connection reads as its end or as a reset, one in the table or in the backlog waits.
    let lost = streams.iter_mut().filter(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let mut stream: &TcpStream = stream;
        match stream.read(&mut [0]) {
            Ok(octets) => octets == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    });
    assert_eq!(lost.count(), 2);
    bed.finish();
    println!("check: table full: each accept ends with -ENFILE and its connection is closed;");
    println!("       connections beyond the accepts in flight stay in the backlog");
}

fn accept_names_a_peer_that_has_gone() {
    let mut bed = Bed::new(2);
    let stream = bed.connect();
    reset_on_close(&stream).expect("linger");
    drop(stream);
    bed.arm(1);
    let (room, slot) = bed.reap(1)[0];
    assert!(slot >= 0 && is_loopback(&bed.rooms[room].address), "{slot}");
    let install = opcode::FixedFdInstall::new(Fixed(slot as u32), 0).build();
    push(&mut bed.ring, install.user_data(INSTALL << 32));
    bed.ring.submit_and_wait(1).expect("submit");
    let fd = { bed.ring.completion().next() }.expect("a completion").result();
    bed.finish();
    if fd < 0 {
        return; // Before Linux 6.8 there is no way from a direct descriptor to getpeername.
    }
    let asked = peer_of(fd).map_err(|error| error.raw_os_error());
    close_fd(fd);
    assert!(matches!(asked, Err(Some(libc::ENOTCONN))));
    println!("check: peer reset before the accept: accept gives its address, getpeername ENOTCONN");
}
