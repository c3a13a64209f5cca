//! The end of the process under load, asked for or not: every client learns of it, and the next
//! process serves on the same addresses at once.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use nix::sys::signal::Signal;

use crate::common::{Feed, Flow, Item, JsonClient, SOON, Server, poll};
use crate::run::start;
use crate::witnesses::Witnesses;
use crate::{OPEN, beside_others, sized};

/// Below those that the system gives to clients, one of which could sit on a port that is to be
/// listened on again.
const PORTS: std::ops::Range<u16> = 21_000..31_000;
const TOPIC: &str = "bench:0";

/// How a client has learned of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Learned {
    Told(u16),
    Cut,
}

/// An address that nobody listens on.
fn free_addr() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    for _ in PORTS {
        let offset = u32::from(NEXT.fetch_add(1, Relaxed)) + std::process::id();
        let addr = (Ipv4Addr::LOCALHOST, PORTS.start + (offset % count) as u16);
        if TcpListener::bind(addr).is_ok() {
            return SocketAddr::from(addr).to_string();
        }
    }
    panic!("no port is free");
}

/// A server on addresses that the next one will have as well.
fn serve(ws: &str, admin: &str) -> Server {
    let addresses = ["--listen", ws, "--admin", admin];
    let size = ["--shards", "2", "--max-connections", "4096", "--drain-timeout-ms", "15000"];
    Server::serve(&[&addresses[..], &size].concat())
}

fn subscriber(server: &Server) -> Feed {
    let mut client = JsonClient::open(server.ws);
    client.subscribe(TOPIC);
    let feed = Feed::new(client);
    feed.stream().set_read_timeout(Some(SOON)).expect("a time above zero");
    feed
}

/// Reads up to the end; messages have to come without a gap until then.
fn learn(mut feed: Feed) -> (Learned, u64) {
    let (mut learned, mut last, mut count) = (Learned::Cut, None, 0);
    loop {
        let flow = feed.read(|item| match item {
            Item::Message { offset, .. } => {
                assert!(learned == Learned::Cut, "a message after the close");
                assert!(last.is_none_or(|last| offset == last + 1), "{offset} after {last:?}");
                last = Some(offset);
                count += 1;
            }
            Item::Close(code) => learned = Learned::Told(code),
        });
        match flow {
            _ if learned != Learned::Cut => return (learned, count),
            Flow::Open => {}
            Flow::Ended { .. } => return (learned, count),
            Flow::Silent => panic!("it never learned of the end, {count} messages after"),
        }
    }
}

/// Ends a server in the middle of a load and starts the next one; gives what the clients learned.
fn end_under_load(signal: Signal) -> Vec<Learned> {
    let (ws, admin) = (free_addr(), free_addr());
    let mut server = serve(&ws, &admin);
    let count = sized(100, 1500);
    let subscribers: Vec<Feed> = (0..count).map(|_| subscriber(&server)).collect();
    let shape = ["--publishers", "8", "--topics", "2", "--subscribers", "20", "--rate", "400"];
    let load = ["--warmup", "0s", "--duration", "60s"];
    let run = start(&[&["fanout", &server.url()][..], &shape, &load].concat());
    server.await_metric(OPEN, &[], (count + 40) as f64, SOON);
    let deliveries = (count * 20) as f64;
    let flows =
        poll(SOON, || (server.metric("ringwire_deliveries_total", &[]) > deliveries).then_some(()));
    assert!(flows.is_some(), "no load");

    server.signal(signal);
    let learned: Vec<_> = subscribers.into_iter().map(learn).collect();
    let status = server.exit(SOON);
    let code = if signal == Signal::SIGTERM { Some(0) } else { None };
    assert_eq!(status.code(), code, "{status}");
    // At once, and on the same addresses.
    let next = serve(&ws, &admin);
    let witnesses = Witnesses::subscribed(next.ws);
    drop(run);
    witnesses.finish();
    drop(server);
    next.stop();
    let messages: u64 = learned.iter().map(|(_, count)| count).sum();
    println!("{signal}: {count} clients had {messages} messages and learned of it");
    learned.into_iter().map(|(learned, _)| learned).collect()
}

#[test]
fn sigterm_under_load_tells_every_client() {
    let _turn = beside_others();
    let learned = end_under_load(Signal::SIGTERM);
    assert!(learned.iter().all(|one| *one == Learned::Told(1001)), "{learned:?}");
}

#[test]
fn sigkill_under_load_cuts_every_client_off_at_once() {
    let _turn = beside_others();
    let learned = end_under_load(Signal::SIGKILL);
    assert!(learned.iter().all(|one| *one == Learned::Cut), "{learned:?}");
}
