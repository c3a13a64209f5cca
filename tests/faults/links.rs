//! What networks do to peers: they vanish, forget, lose and reorder.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::baseline::Baseline;
use crate::common::{BINARY, Frame, JsonClient, Random, RawClient, SOON, Server, poll};
use crate::network::{Inside, Namespace, Wire, is_allowed};
use crate::witnesses::Witnesses;
use crate::{CLOSED, HEARTBEATS_LOST, OPEN, QUEUED, beside_others, sized};

const SERVER: &str = "10.77.0.1";
const CLIENT: &str = "10.77.0.2";
const TOPIC: &str = "remote:all";

/// Two hosts and the wire between them. This thread is on the server's.
struct Apart {
    wire: Wire,
    clients: Namespace,
    _inside: Inside,
    server: Namespace,
}

impl Apart {
    fn new() -> Apart {
        let (server, clients) = (Namespace::new(), Namespace::new());
        let wire = Wire::between((&server, SERVER), (&clients, CLIENT));
        let _inside = server.enter();
        Apart { wire, clients, _inside, server }
    }

    /// Does something on the clients' host.
    fn there<T>(&self, work: impl FnOnce(SocketAddr) -> T, server: &Server) -> T {
        let _inside = self.clients.enter();
        let host: Ipv4Addr = SERVER.parse().expect("an address");
        work(SocketAddr::from((host, server.ws.port())))
    }

    /// Subscribers on the clients' host.
    fn subscribers(&self, server: &Server, count: usize) -> Vec<JsonClient> {
        let open = |ws| {
            let mut client = JsonClient::open(ws);
            client.subscribe(TOPIC);
            client
        };
        self.there(|ws| (0..count).map(|_| open(ws)).collect(), server)
    }
}

/// Whoever is subscribed and never heard again: messages to it queue up until its heartbeat is
/// lost.
#[test]
fn peers_that_vanish_are_given_up_and_nothing_of_them_stays() {
    if !is_allowed("a test of peers that vanish") {
        return;
    }
    let (_turn, apart) = (beside_others(), Apart::new());
    let vanishing = sized(60, 2000);
    let server = Server::serve(&[
        "--listen",
        "0.0.0.0:0",
        "--shards",
        "2",
        "--max-connections",
        "4096",
        "--heartbeat-interval-ms",
        "1500",
        "--heartbeat-timeout-ms",
        "1000",
        "--close-timeout-ms",
        "500",
    ]);
    let witnesses = Witnesses::subscribed(server.ws);
    let mut publisher = JsonClient::open(server.ws);
    let baseline = Baseline::of(&server, witnesses.count() + 1);
    let gone = apart.subscribers(&server, vanishing);
    server.await_metric(OPEN, &[], (witnesses.count() + 1 + vanishing) as f64, SOON);
    apart.wire.cut();
    let data = "x".repeat(1000);
    let (mut offset, mut most) = (0, 0.0_f64);
    let ended = poll(SOON, || {
        offset += 1;
        assert_eq!(publisher.publish(TOPIC, json!(data))["offset"], offset);
        most = most.max(server.metric(QUEUED, &[]));
        (server.metric(HEARTBEATS_LOST, &[]) == vanishing as f64).then_some(())
    });
    assert!(ended.is_some(), "{} heartbeats lost", server.metric(HEARTBEATS_LOST, &[]));
    server.await_metric(CLOSED, &[("code", "4002")], vanishing as f64, SOON);
    baseline.await_return(&server, 0);
    println!("{offset} messages to {vanishing} that are gone; at most {most} bytes waited");
    drop(gone);
    witnesses.finish();
    drop(publisher);
    server.stop();
}

/// A host that has crashed and is back: it knows nothing of its connections, and says so when it
/// is spoken to.
#[test]
fn half_open_connections_end_when_their_peer_knows_nothing_of_them() {
    if !is_allowed("a test of half-open connections") {
        return;
    }
    let (_turn, apart) = (beside_others(), Apart::new());
    let forgotten = sized(60, 2000);
    let times = ["--heartbeat-interval-ms", "2000", "--heartbeat-timeout-ms", "600000"];
    let flags = ["--listen", "0.0.0.0:0", "--shards", "2", "--max-connections", "4096"];
    let server = Server::serve(&[&flags[..], &times].concat());
    let witnesses = Witnesses::subscribed(server.ws);
    let baseline = Baseline::of(&server, witnesses.count());
    let clients = apart.subscribers(&server, forgotten);
    server.await_metric(OPEN, &[], (witnesses.count() + forgotten) as f64, SOON);
    apart.wire.cut();
    let (_, lost_before) = apart.wire.account();
    clients.into_iter().for_each(|client| client.into_raw().reset());
    // Each of them has said farewell, and nobody has heard it.
    let unheard =
        poll(SOON, || (apart.wire.account().1 >= lost_before + forgotten as u64).then_some(()));
    assert!(unheard.is_some(), "the farewells are lost");
    apart.wire.mend();
    server.await_metric(CLOSED, &[("code", "1006")], forgotten as f64, SOON);
    baseline.await_return(&server, 0);
    assert_eq!(server.metric(HEARTBEATS_LOST, &[]), 0.0, "they were told, they did not time out");
    witnesses.finish();
    server.stop();
}

#[test]
fn loss_delay_and_reordering_change_nothing_of_what_arrives() {
    const CLIENTS: u64 = 6;
    const PIPELINED: usize = 4;
    if !is_allowed("a test of loss and delay") {
        return;
    }
    let (_turn, apart) = (beside_others(), Apart::new());
    let rounds = sized(5, 50);
    // So that the kernel takes less at a time than the clients ask for.
    apart.server.set("net.ipv4.tcp_wmem", "4096 8192 16384");
    let server = Server::echo(&["--listen", "0.0.0.0:0", "--shards", "2"]);
    let witnesses = Witnesses::echoing(server.ws);
    let baseline = Baseline::of(&server, witnesses.count());
    let mut clients: Vec<RawClient> =
        apart.there(|ws| (0..CLIENTS).map(|_| RawClient::open(ws, "/")).collect(), &server);
    apart.wire.worsen(10, Duration::from_millis(10), Duration::from_millis(5));
    thread::scope(|scope| {
        for (seed, client) in clients.iter_mut().enumerate() {
            let mut random = Random::seeded(seed as u64);
            scope.spawn(move || {
                for _ in 0..rounds {
                    let messages: Vec<Vec<u8>> = (0..PIPELINED)
                        .map(|_| {
                            let len = random.below(16_000);
                            random.octets(len)
                        })
                        .collect();
                    for message in &messages {
                        client.send_frame(&Frame::new(BINARY, message));
                    }
                    for message in &messages {
                        let (opcode, payload) = client.message();
                        assert!(opcode == BINARY && payload == *message, "not what was sent");
                    }
                }
            });
        }
    });
    let (carried, lost) = apart.wire.account();
    println!("{carried} packets came through, {lost} were lost");
    assert!(lost > 0, "nothing was lost of {carried} packets");
    assert!(server.metric("ringwire_short_sends_total", &[]) > 0.0, "the network was no match");
    drop(clients);
    baseline.await_return(&server, 0);
    witnesses.finish();
    server.stop();
}

/// Peers whose packets stop in the middle of everything they do, and go on a little later.
#[test]
fn a_network_that_comes_and_goes_loses_nothing() {
    if !is_allowed("a test of a network that comes and goes") {
        return;
    }
    let (_turn, apart) = (beside_others(), Apart::new());
    let server = Server::echo(&["--listen", "0.0.0.0:0"]);
    let mut client = apart.there(|ws| RawClient::open(ws, "/"), &server);
    let message = Random::seeded(7).octets(20_000);
    for _ in 0..sized(3, 30) {
        let (_, before) = apart.wire.account();
        apart.wire.cut();
        client.send_frame(&Frame::new(BINARY, &message));
        let lost = poll(SOON, || (apart.wire.account().1 > before).then_some(()));
        assert!(lost.is_some(), "nothing was sent");
        apart.wire.mend();
        assert_eq!(client.message(), (BINARY, message.clone()));
    }
    assert_eq!(server.metric(OPEN, &[]), 1.0);
    drop(client);
    server.stop();
}
