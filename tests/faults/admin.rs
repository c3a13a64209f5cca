//! The admin listener under a flood: whoever does that can't touch the clients, and the operator
//! gets through again afterwards.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::baseline::Baseline;
use crate::common::{JsonClient, RawClient, SOON, Server, poll};
use crate::witnesses::Witnesses;
use crate::{beside_others, sized};

/// As `ADMIN_CONNECTIONS_MAX` says.
const PLACES: usize = 64;
const REFUSED: &str = "ringwire_admin_connections_refused_total";
/// Between two octets of who is slow.
const SLOWLY: Duration = Duration::from_millis(20);
/// How long one of the flood waits for the server to take something.
const PATIENCE: Duration = Duration::from_millis(500);

/// What one of the flood does, over and over.
fn molest(admin: SocketAddr, kind: usize, is_over: &AtomicBool) -> Option<()> {
    let mut stream = TcpStream::connect_timeout(&admin, SOON).ok()?;
    // Who is not read gives up and begins anew.
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    match kind % 5 {
        // A head that comes octet by octet.
        0 => {
            for octet in b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: yes\r\n" {
                if is_over.load(Relaxed) {
                    return None;
                }
                stream.write_all(&[*octet]).ok()?;
                thread::sleep(SLOWLY);
            }
        }
        // A head without end.
        1 => {
            stream.write_all(b"GET / HTTP/1.1\r\nX-Long: ").ok()?;
            (0..64).try_for_each(|_| stream.write_all(&[b'x'; 1024]).ok())?;
        }
        // A body that is announced and is too large, and sent all the same.
        2 => {
            stream
                .write_all(
                    b"POST /v1/publish HTTP/1.1\r\nHost: localhost\r\n\
                      Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n",
                )
                .ok()?;
            (0..64).try_for_each(|_| stream.write_all(&[b'x'; 64 * 1024]).ok())?;
        }
        // No HTTP at all.
        3 => stream.write_all(&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3, 0xff]).ok()?,
        // The largest answers, and none of them is read.
        _ => (0..200).try_for_each(|_| {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()
        })?,
    }
    Some(())
}

#[test]
fn a_flood_of_the_admin_listener_leaves_the_clients_alone() {
    let _turn = beside_others();
    let server = Server::serve(&["--shards", "2"]);
    let witnesses = Witnesses::subscribed(server.ws);
    let baseline = Baseline::of(&server, witnesses.count());
    let (is_over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for kind in 0..20 {
            let (is_over, done, admin) = (&is_over, &done, server.admin);
            scope.spawn(move || {
                while !is_over.load(Relaxed) {
                    // However it ends: the server may hang up at any point of it.
                    let _hung_up = molest(admin, kind, is_over);
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        // All places are taken by who says nothing.
        let mut idle = Vec::new();
        let mut refused = 0;
        let full = poll(SOON, || {
            while idle.len() < 2 * PLACES {
                idle.push(RawClient::connect(server.admin));
            }
            // Whoever was refused has been told so and hung up on.
            let before = idle.len();
            idle.retain_mut(|client| !client.has_hung_up(Duration::from_millis(1)));
            refused += before - idle.len();
            (refused > sized(200, 1000)).then_some(())
        });
        // The data plane takes no notice while it lasts.
        for _ in 0..50 {
            drop(JsonClient::open(server.ws));
        }
        is_over.store(true, Relaxed);
        assert!(full.is_some(), "only {refused} were refused");
    });
    println!("{} molestations", done.load(Relaxed));
    let answer = poll(SOON, || (server.try_get("/healthz")?.status == 200).then_some(()));
    assert!(answer.is_some(), "the operator does not get through");
    assert!(server.metric(REFUSED, &[]) > 0.0, "nobody counted the refusals");
    baseline.await_return(&server, 0);
    witnesses.finish();
    server.stop();
}
