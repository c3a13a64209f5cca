//! Readers that sleep, and are closed for it or wake in time: what they find is a piece of the
//! topic without a gap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::common::{Feed, Flow, Item, JsonClient, Random, RawClient};
use crate::load::Count;

const READERS: usize = 24;
/// Topics of the load generator's fan-out.
const TOPICS: usize = 10;
/// How long each of them sleeps: some of them for longer than the server has room for.
const SLEEP_MS: std::ops::Range<usize> = 1_000..60_000;
/// Between two looks at who is to wake.
const LOOK: Duration = Duration::from_millis(50);
/// What has not come after this is not there.
const SILENCE: Duration = Duration::from_millis(10);
/// No longer than this is one awake: the topic goes on all the time.
const AWAKE_MAX: Duration = Duration::from_secs(2);
const SLOW_CONSUMER: u16 = 4001;

/// What it finds when it wakes.
enum Found {
    Open,
    /// It was told that it is too slow.
    Closed,
    /// The same, but it was not there when it was told.
    CutOff,
}

struct Sleeper {
    feed: Feed,
    wakes_at: Instant,
    last: u64,
}

/// See the module's header.
pub(crate) fn read_slowly(ws: SocketAddr, stop: Arc<AtomicBool>) -> JoinHandle<Count> {
    thread::spawn(move || {
        let mut random = Random::seeded(77);
        let mut sleepers: Vec<Sleeper> =
            (0..READERS).map(|_| Sleeper::open(ws, &mut random)).collect();
        let (mut times, mut cut_off, begin) = (0, 0, Instant::now());
        while !stop.load(Relaxed) {
            let now = Instant::now();
            for sleeper in &mut sleepers {
                if sleeper.wakes_at > now {
                    continue;
                }
                match sleeper.wake() {
                    Found::Open => {
                        sleeper.wakes_at = now + sleep(&mut random);
                        continue;
                    }
                    Found::Closed => times += 1,
                    Found::CutOff => cut_off += 1,
                }
                *sleeper = Sleeper::open(ws, &mut random);
            }
            thread::sleep(LOOK);
        }
        let is_long = begin.elapsed() > 2 * Duration::from_millis(SLEEP_MS.end as u64);
        assert!(times > 0 || !is_long, "nobody was told that it is too slow");
        let cut = format!("(and {cut_off} that were cut off before they had read that)");
        let what = format!("slow readers closed with 4001 after a piece without a gap {cut}");
        Count { what, times }
    })
}

fn sleep(random: &mut Random) -> Duration {
    let ms = SLEEP_MS.start + random.below(SLEEP_MS.len());
    Duration::from_millis(ms as u64)
}

impl Sleeper {
    fn open(ws: SocketAddr, random: &mut Random) -> Sleeper {
        let mut client = JsonClient::on(RawClient::connect_narrow(ws).upgrade("/ws"));
        let topic = format!("bench:{}", random.below(TOPICS));
        let last = client.subscribe(&topic)["offset"].as_u64().expect("an offset");
        let feed = Feed::new(client);
        feed.stream().set_read_timeout(Some(SILENCE)).expect("a time above zero");
        Sleeper { feed, wakes_at: Instant::now() + sleep(random), last }
    }

    /// Reads all there is.
    fn wake(&mut self) -> Found {
        let (mut code, begin) = (None, Instant::now());
        loop {
            let flow = self.feed.read(|item| match item {
                Item::Message { offset, .. } => {
                    assert_eq!(offset, self.last + 1, "a gap, or something twice");
                    self.last = offset;
                }
                Item::Close(with) => code = Some(with),
            });
            match (flow, code) {
                (_, Some(code)) => {
                    assert_eq!(code, SLOW_CONSUMER, "closed for another reason");
                    return Found::Closed;
                }
                (Flow::Open, None) if begin.elapsed() < AWAKE_MAX => {}
                (Flow::Open | Flow::Silent, None) => return Found::Open,
                // Who is told and does not listen is cut off.
                (Flow::Ended { .. }, None) => return Found::CutOff,
            }
        }
    }
}
