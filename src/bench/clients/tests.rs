//! The pure machine against a server and a clock that are played here.

use std::time::Duration;

use super::*;
use crate::bench::plan::Work;
use crate::bench::stay::{Handshake, Idle};
use crate::conn::Outbox;
use crate::conn::outbox::EgressLimits;

const MS: u64 = 1_000_000;
const TIMEOUT_MS: u64 = 1_000;

/// One connection.
struct Play {
    clients: Clients,
    key: Option<ConnKey>,
}

impl Play {
    fn new(work: Work) -> Play {
        let plan = Plan {
            work,
            connections: 1,
            rings: 1,
            cpus: Vec::new(),
            targets: vec!["127.0.0.1:1".parse().unwrap()],
            sources: Vec::new(),
            urls: Vec::new(),
            host: "host".into(),
            path: "/".into(),
            dialect: crate::bench::Dialect::Plain,
            deflate: false,
            connect_rate: None,
            hold: Duration::ZERO,
            warmup: Duration::ZERO,
            duration: Duration::from_secs(1),
            timeout: Duration::from_millis(TIMEOUT_MS),
            server_pid: None,
        };
        Play { clients: Clients::new(Io::new(1, &work), Arc::new(plan), 0, 1), key: None }
    }

    fn at(&mut self, ms: u64) -> &mut Play {
        self.clients.begin(ms * MS);
        self.clients.settle();
        self.clients.expire();
        self
    }

    fn connect(&mut self) -> &mut Play {
        self.clients.connect(Slot(0), self.clients.io.now_ns);
        self.key = Some(self.clients.table[0].link.key);
        self
    }

    fn on(&mut self, completion: Completion<'_>, scenario: &mut impl Scenario) {
        let now_ns = self.clients.io.now_ns;
        self.clients.on(completion, now_ns, scenario);
    }

    /// TCP connects and the server answers the upgrade.
    fn upgrade(&mut self, scenario: &mut impl Scenario) {
        let conn = self.key.expect("it was connected");
        self.on(Completion::Connected { conn, result: Ok(()) }, scenario);
        let Stage::Upgrading(opening) = &self.clients.table[0].stage else { panic!("it asks") };
        let accept = String::from_utf8(opening.key.accept().to_vec()).unwrap();
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes();
        self.on(Completion::Received { conn, bytes: &mut answer }, scenario);
    }

    fn faults(&self) -> Vec<(FaultCause, String)> {
        let faults = self.clients.io.tally.faults.faults();
        faults.into_iter().map(|fault| (fault.cause, fault.example.unwrap_or_default())).collect()
    }
}

#[test]
fn a_close_has_a_time_of_its_own() {
    let mut play = Play::new(Work::Handshake { reset: false });
    let mut scenario = Handshake::new(Arc::clone(&play.clients.plan), 0, 1);
    play.at(0).connect();
    play.at(TIMEOUT_MS - 1).upgrade(&mut scenario);
    play.at(2 * TIMEOUT_MS - 2);
    assert_eq!(play.faults(), [], "the time to connect is no time to close");
    play.at(2 * TIMEOUT_MS - 1);
    let what = "a closing handshake was not answered".to_owned();
    assert_eq!(play.faults(), [(FaultCause::TimedOut, what)]);
    assert_eq!(play.clients.io.tally.failed, 0);
}

#[test]
fn what_may_not_wait_ends_its_connection() {
    let mut play = Play::new(Work::Idle { topics: 0 });
    play.at(0).connect().upgrade(&mut Idle);
    let limits = EgressLimits { bytes_max: 1 << 20, total_bytes_max: 1_000 };
    play.clients.io.outbox = Outbox::new(1 << 20, limits);
    play.at(1);
    let (io, link) = play.clients.link(Slot(0));
    for _ in 0..2 {
        assert!(io.send(link, Opcode::Binary, |out| out.resize(200_000, 0)), "nothing waits");
    }
    let conn = play.key.unwrap();
    play.on(Completion::SentShort { conn, sent: 10 }, &mut Idle);
    let [(FaultCause::Overrun, _)] = play.faults()[..] else { panic!("{:?}", play.faults()) };
    let tally = &play.clients.io.tally;
    assert_eq!((tally.established, tally.lost, tally.failed), (0, 1, 0));
    assert!(!play.clients.is_open(Slot(0)), "the second frame is gone, and none can follow");
}
