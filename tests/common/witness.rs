//! A well-behaved connection that talks all along, to show that hostile neighbours do not disturb.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;

use super::frame::{Frame, TEXT};
use super::json::JsonClient;
use super::raw::RawClient;
use super::{Random, SOON};

/// Between two exchanges: enough to leave the machine to the hostile.
const PACE: Duration = Duration::from_millis(2);
const MESSAGE_BYTES_MAX: usize = 900;

/// See the module's header.
pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Witness {
    /// On `ringwire echo`: every message comes back as it was.
    pub(crate) fn echoing(addr: SocketAddr) -> Witness {
        let mut client = RawClient::open(addr, "/witness");
        let mut random = Random::seeded(1);
        Witness::repeat(move || {
            let len = random.below(MESSAGE_BYTES_MAX);
            let text: String = (0..len).map(|_| (b'a' + random.below(26) as u8) as char).collect();
            client.send_frame(&Frame::text(&text));
            let (opcode, payload) = client.message();
            assert!(opcode == TEXT && payload == text.as_bytes(), "the echo is not intact");
        })
    }

    /// On `ringwire serve`: every ping of the protocol is answered, by its id.
    pub(crate) fn pinging(addr: SocketAddr) -> Witness {
        let mut client = JsonClient::open(addr);
        Witness::repeat(move || {
            client.request(json!({"type": "ping"}), "pong");
        })
    }

    fn repeat(mut exchange: impl FnMut() + Send + 'static) -> Witness {
        exchange();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut exchanges = 0;
            loop {
                // The last exchange begins after the stop: it shows that nothing has broken.
                let last = stopped.load(Relaxed);
                exchange();
                exchanges += 1;
                if last {
                    return exchanges;
                }
                thread::sleep(PACE);
            }
        });
        Witness { stop, thread }
    }

    /// Ends the talk; fails when any exchange went wrong or took longer than `SOON`.
    pub(crate) fn finish(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap_or_else(|_| panic!("the witness was disturbed (limit {SOON:?})"))
    }
}
