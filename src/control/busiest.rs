//! The busiest topics, for whoever looks at the server.
//!
//! A look asks every shard to walk all of its topics, so looks are rare however many ask.
//! Invariants: T1 looks begin [`BUSIEST_INTERVAL_MS`] apart at least; T2 one is under way at a
//! time; T3 nobody waits for a look longer than [`BUSIEST_WAIT_MS`]: until it has come, what the
//! last one found is what is known.

use super::bridge::{Bridge, Refused};
use crate::limits::{BUSIEST_INTERVAL_MS, BUSIEST_TOPICS_MAX, BUSIEST_WAIT_MS};
use crate::pubsub::envelope::BusyTopic;
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;

/// What the last look has found.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Busiest {
    /// The time that the rates are over; 0 before the first look.
    seconds: f64,
    busiest: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    topic: String,
    subscribers: u64,
    offset: u64,
    messages_per_second: f64,
}

/// See the module's header. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct Looks {
    bridge: Bridge,
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: RefCell<State>,
    has_looked: Notify,
}

#[derive(Debug)]
struct State {
    found: Busiest,
    /// When the last look began that was answered: rates are counted from there.
    counted_from: Instant,
    began: Option<Instant>,
    is_looking: bool,
}

impl Looks {
    pub(super) fn new(bridge: Bridge) -> Looks {
        let counted_from = bridge.state.started;
        let state =
            State { found: Busiest::default(), counted_from, began: None, is_looking: false };
        let shared = Shared { state: RefCell::new(state), has_looked: Notify::new() };
        Looks { bridge, shared: Rc::new(shared) }
    }

    /// What is known, after a look if it is time for one and it does not take long.
    pub(super) async fn known(&self) -> Busiest {
        if self.begins() {
            let looks = self.clone();
            tokio::task::spawn_local(async move { looks.look().await });
        }
        if self.shared.state.borrow().is_looking {
            // Too late is an answer too: the last one.
            let wait = Duration::from_millis(BUSIEST_WAIT_MS);
            timeout(wait, self.shared.has_looked.notified()).await.unwrap_or_default();
        }
        self.shared.state.borrow().found.clone()
    }

    /// T1 and T2.
    fn begins(&self) -> bool {
        let mut state = self.shared.state.borrow_mut();
        let pause = Duration::from_millis(BUSIEST_INTERVAL_MS);
        if state.is_looking || state.began.is_some_and(|began| began.elapsed() < pause) {
            return false;
        }
        (state.began, state.is_looking) = (Some(Instant::now()), true);
        true
    }

    async fn look(&self) {
        let began = Instant::now();
        let found = self.ask().await;
        let mut state = self.shared.state.borrow_mut();
        match found {
            Ok((topics, subscribers)) => {
                let seconds = began.duration_since(state.counted_from).as_secs_f64();
                state.found = shown(topics, subscribers, seconds);
                state.counted_from = began;
            }
            // The next look counts from where the last one did that was answered.
            Err(refused) => tracing::debug!(?refused, "no look at the busiest topics"),
        }
        state.is_looking = false;
        self.shared.has_looked.notify_waiters();
    }

    async fn ask(&self) -> Result<(Vec<BusyTopic>, Vec<u64>), Refused> {
        let topics = self.bridge.busiest(BUSIEST_TOPICS_MAX)?.answer().await??;
        let names: Arc<[Box<str>]> = topics.iter().map(|topic| topic.topic.clone()).collect();
        let subscribers = self.bridge.subscribers(names)?.answer().await??;
        Ok((topics, subscribers))
    }
}

fn shown(topics: Vec<BusyTopic>, subscribers: Vec<u64>, seconds: f64) -> Busiest {
    let row = |(topic, subscribers): (BusyTopic, u64)| Row {
        topic: topic.topic.into(),
        subscribers,
        offset: topic.offset,
        messages_per_second: if seconds > 0.0 { topic.grown as f64 / seconds } else { 0.0 },
    };
    Busiest { seconds, busiest: topics.into_iter().zip(subscribers).map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::bridge::{Ask, ServerState, Stage};
    use super::super::event::Event;
    use super::*;
    use crate::metrics::Board;
    use tokio::sync::mpsc::Receiver;

    fn looks() -> (Looks, Receiver<Ask>) {
        let (bridge, asks) = Bridge::new(Board::new(1), ServerState::new(), Event::new());
        bridge.state.advance(Stage::Ready);
        (Looks::new(bridge), asks)
    }

    fn on_control(test: impl Future<Output = ()>) {
        tokio_uring::start(test);
    }

    /// Answers one look.
    async fn answer(asks: &mut Receiver<Ask>, topics: Vec<BusyTopic>, counts: Vec<u64>) {
        let Some(Ask::Busiest { limit, reply }) = asks.recv().await else { panic!("a search") };
        assert_eq!(limit, BUSIEST_TOPICS_MAX);
        reply.send(Ok(topics)).expect("somebody waits");
        let Some(Ask::Subscribers { topics, reply }) = asks.recv().await else { panic!("a count") };
        assert_eq!(topics.len(), counts.len());
        reply.send(Ok(counts)).expect("somebody waits");
    }

    #[test]
    fn many_who_ask_at_once_are_one_look_and_all_hear_what_it_found() {
        on_control(async {
            let (looks, mut asks) = looks();
            let busy = BusyTopic { topic: "t".into(), offset: 9, grown: 4 };
            let (one, other, ()) =
                tokio::join!(looks.known(), looks.known(), answer(&mut asks, vec![busy], vec![3]));
            assert_eq!(one.busiest, other.busiest);
            let [row] = &one.busiest[..] else { panic!("{one:?}") };
            assert_eq!((row.topic.as_str(), row.subscribers, row.offset), ("t", 3, 9));
            assert_eq!(row.messages_per_second, 4.0 / one.seconds);
            // And no other before its time.
            assert_eq!(looks.known().await.busiest, one.busiest);
            assert!(asks.try_recv().is_err());
        });
    }

    #[test]
    fn silent_shards_keep_nobody_waiting() {
        on_control(async {
            let (looks, asks) = looks();
            assert_eq!(looks.known().await.busiest, []);
            drop(asks);
        });
    }

    #[test]
    fn a_starting_server_has_none() {
        on_control(async {
            let bridge = Bridge::new(Board::new(1), ServerState::new(), Event::new()).0;
            assert_eq!(Looks::new(bridge).known().await.busiest, []);
        });
    }
}
