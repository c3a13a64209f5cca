//! Everything that happens to the server at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;

use crate::common::{Frame, JsonClient, Random, Server};
use crate::run::{Started, start};
use crate::slow;
use crate::witnesses::Witnesses;

/// Topics that the churn uses.
const TOPICS: usize = 500;
const CHURNERS: u64 = 2;
/// Between two connections of a churner.
const PACE: Duration = Duration::from_millis(20);

/// See the module's header.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    generators: Vec<(&'static str, Started)>,
    threads: Vec<JoinHandle<Count>>,
    witnesses: Witnesses,
}

/// What a thread has done.
pub(crate) struct Count {
    pub(crate) what: String,
    pub(crate) times: u64,
}

impl Load {
    pub(crate) fn start(server: &Server, duration: Duration) -> Load {
        let url = server.url();
        let seconds = format!("{}ms", duration.as_millis());
        let times = ["--warmup", "0s", "--duration", &seconds];
        let generator = |arguments: &[&str]| start(&[arguments, &[&url], &times].concat());
        let shape = ["--publishers", "20", "--topics", "10", "--subscribers", "20"];
        let size = ["--bytes", "4000", "--rate", "600"];
        let resets = ["handshake", "--connect-rate", "100", "--in-flight", "32"];
        let farewells = ["handshake", "--connect-rate", "20", "--in-flight", "32"];
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = vec![slow::read_slowly(server.ws, Arc::clone(&stop))];
        threads.extend((0..CHURNERS).map(|seed| churn(server.ws, seed, Arc::clone(&stop))));
        Load {
            generators: vec![
                ("fan-out", generator(&[&["fanout"][..], &shape, &size].concat())),
                ("resets", generator(&[&resets[..], &["--close", "reset"]].concat())),
                ("farewells", generator(&[&farewells[..], &["--close", "frame"]].concat())),
            ],
            threads,
            witnesses: Witnesses::subscribed(server.ws),
            stop,
        }
    }

    /// Fails early when a thread has.
    pub(crate) fn assert_alive(&self) {
        assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a thread has failed");
    }

    /// Ends everything; fails when a message was lost, or anything else went wrong.
    pub(crate) fn finish(self, server: &Server) {
        for (name, generator) in self.generators {
            let run = generator.finish();
            run.expect_clean();
            let timed = run.count("/latency_us/count");
            println!("{name}: no faults, {timed} times measured");
        }
        self.stop.store(true, Relaxed);
        for thread in self.threads {
            let count = thread.join().expect("no thread fails");
            println!("{}: {}", count.what, count.times);
        }
        self.witnesses.finish();
        let closed = server.metric("ringwire_slow_consumers_closed_total", &[]);
        println!("slow consumers closed: {closed}");
    }
}

/// Connections that come, subscribe, publish, and leave in every way there is.
fn churn(ws: SocketAddr, seed: u64, stop: Arc<AtomicBool>) -> JoinHandle<Count> {
    thread::spawn(move || {
        let (mut random, mut times) = (Random::seeded(seed + 1), 0);
        while !stop.load(Relaxed) {
            let mut client = JsonClient::open(ws);
            let topic = format!("churn:{}", random.below(TOPICS));
            client.subscribe(&topic);
            client.subscribe(&format!("churn:{}", random.below(TOPICS)));
            client.request(json!({"type": "publish", "topic": topic, "data": times}), "ack");
            if random.below(2) == 0 {
                client.request(json!({"type": "unsubscribe", "topic": topic}), "ack");
            }
            leave(client, random.below(4));
            times += 1;
            thread::sleep(PACE);
        }
        Count { what: "connections of the churn".into(), times }
    })
}

fn leave(mut client: JsonClient, way: usize) {
    match way {
        0 => drop(client),
        1 => client.into_raw().reset(),
        2 => {
            // In the middle of a frame.
            client.raw().send(&Frame::text("x".repeat(3000)).octets()[..1000]);
            client.into_raw().reset();
        }
        _ => {
            client.raw().send_frame(&Frame::close(1000));
            client.raw().close_code(crate::SOON);
        }
    }
}
