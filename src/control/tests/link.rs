//! The link over a real mesh whose shards are driven by hand, one step at a time.
//!
//! The shards never say that they sleep, so no doorbell is needed to reach them.

use super::PATIENCE;
use crate::base::ShardId;
use crate::control::link::{Link, LinkEvents, LinkParts};
use crate::control::{
    Bridge, DrainRules, Event, InForce, Refused, Sequenced, ServerState, Stage, TopicInfo,
};
use crate::metrics::Board;
use crate::pubsub::envelope::{
    ControlRequest, Epoch, JobWork, Position, Request, Response, TopicSummary,
};
use crate::pubsub::home::{Home, home_of};
use crate::ring::doorbell::{ControlBell, Doorbell};
use crate::shard::mailbox::{Mailbox, mesh};
use bytes::Bytes;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::timeout;

const PUBLISH_BYTES_MAX: usize = 1000;
const DRAIN: DrainRules =
    DrainRules { rate_per_s: 1000, timeout_ms: 9_000, close_timeout_ms: 1_000, retry_ms_max: 70 };

struct Rig {
    shards: Vec<Mailbox>,
    bell: Arc<ControlBell>,
    bridge: Bridge,
    events: LinkEvents,
    link: JoinHandle<io::Result<usize>>,
}

/// Runs a test on a runtime, with a link to so many shards, and sees the link end well.
fn with_link<F: Future<Output = Rig>>(
    shards: usize,
    capacity: usize,
    test: impl FnOnce(Rig) -> F,
) -> usize {
    tokio_uring::start(async {
        let rig = within(test(Rig::new(shards, capacity))).await;
        rig.events.stop.raise();
        within(rig.link).await.expect("no panic").expect("no failure")
    })
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it happens in time")
}

impl Rig {
    fn new(shards: usize, capacity: usize) -> Rig {
        let state = ServerState::new();
        let (bridge, asks) = Bridge::new(Board::new(1), state.clone(), Event::new());
        state.put_in_force(InForce { drain: DRAIN, ..InForce::default() });
        state.advance(Stage::Ready);
        let mut shards = mesh(shards + 1, capacity);
        let bell = Arc::new(ControlBell::new().expect("an eventfd"));
        let parts = LinkParts {
            mailbox: shards.pop().expect("the last one"),
            doorbell: Doorbell::new(Vec::new()).expect("a ring"),
            bell: Arc::clone(&bell),
            asks,
            publish_bytes_max: PUBLISH_BYTES_MAX,
            board: Arc::clone(&bridge.board),
        };
        let drain = bridge.drain.clone();
        let events = LinkEvents { drain, kill: Event::new(), stop: Event::new() };
        let link = spawn_local(Link::new(parts, state).run(events.clone()));
        Rig { shards, bell, bridge, events, link }
    }

    fn control(&self) -> usize {
        self.shards.len()
    }

    /// The next request of the control plane to a shard.
    async fn asked(&mut self, shard: usize) -> Request {
        let control = self.control();
        let mailbox = &mut self.shards[shard];
        within(async move {
            loop {
                if let Some(request) = mailbox.next_request(control) {
                    return request;
                }
                yield_now().await;
            }
        })
        .await
    }

    /// Waits until something was asked of a shard, which it does not take yet.
    async fn until_asked(&self, shard: usize) {
        let asked = async {
            while self.shards[shard].peek_request(self.control()).is_none() {
                yield_now().await;
            }
        };
        within(asked).await;
    }

    /// A shard says something, and rings if the control plane sleeps.
    fn say(&mut self, shard: usize, response: Response) {
        let control = self.control();
        self.shards[shard].respond(control, response);
        let bell = &self.bell;
        self.shards[shard].signal(|to| {
            assert_eq!(to, control);
            nix::unistd::write(bell, &1u64.to_ne_bytes()).expect("an eventfd takes eight octets");
        });
    }

    /// Answers a publish that was asked of a shard.
    fn sequence(&mut self, shard: usize, request: Request, offset: u64) {
        let Request::Publish { from, token, parcel } = request else { panic!("{request:?}") };
        assert_eq!(from.shard(), ShardId(self.control() as u16));
        assert!(!token.is_none(), "an answer is wanted");
        self.say(shard, Response::Published { to: from, parcel, token, result: Ok(at(offset)) });
    }
}

fn at(offset: u64) -> Position {
    Position { epoch: Epoch(0xfeed), offset }
}

fn sequenced(offset: u64) -> Sequenced {
    Sequenced { epoch: "000000000000feed".into(), offset }
}

#[test]
fn publishes_go_to_the_topics_home_as_they_are_and_come_back() {
    with_link(3, 8, |mut rig| async {
        // So many that the link's own ticking would be too slow: it has to hear the bell.
        for number in 0..100u64 {
            let topic = format!("chat:{number}");
            let data = Bytes::from(format!("{{\"n\": {number}}}"));
            let pending = rig.bridge.publish(&topic, data.clone()).expect("room");
            let home = home_of(&topic, 3).index();
            let request = rig.asked(home).await;
            let Request::Publish { parcel, .. } = &request else { panic!("{request:?}") };
            assert_eq!((parcel.topic(), parcel.from()), (topic.as_str(), ""));
            assert_eq!((parcel.data(), parcel.is_text), (&data[..], true));
            rig.sequence(home, request, number);
            assert_eq!(pending.answer().await, Ok(Ok(sequenced(number))));
        }
        rig
    });
}

#[test]
fn a_full_lane_refuses_at_once_and_a_message_too_large_never_gets_there() {
    with_link(1, 2, |mut rig| async {
        let publish = |rig: &Rig, len: usize| {
            rig.bridge.publish("t", Bytes::from(vec![b'1'; len])).expect("the queue has room")
        };
        let too_large = publish(&rig, PUBLISH_BYTES_MAX + 1);
        assert_eq!(too_large.answer().await, Ok(Err(Refused::TooLarge)));
        let taken = [publish(&rig, PUBLISH_BYTES_MAX), publish(&rig, 1)];
        assert_eq!(publish(&rig, 1).answer().await, Ok(Err(Refused::Overloaded)));
        let listing = rig.bridge.topics(String::new(), 10).expect("the queue has room");
        assert_eq!(listing.answer().await, Ok(Err(Refused::Overloaded)));
        for (pending, offset) in taken.into_iter().zip(1..) {
            let request = rig.asked(0).await;
            rig.sequence(0, request, offset);
            assert_eq!(pending.answer().await, Ok(Ok(sequenced(offset))));
        }
        let after = publish(&rig, 1);
        let request = rig.asked(0).await;
        rig.sequence(0, request, 3);
        assert_eq!(after.answer().await, Ok(Ok(sequenced(3))));
        rig
    });
}

#[test]
fn an_answer_for_an_asker_who_has_left_is_ignored() {
    with_link(1, 8, |mut rig| async {
        let publish = |rig: &Rig| rig.bridge.publish("t", Bytes::from_static(b"1")).expect("room");
        let impatient = publish(&rig);
        let late = rig.asked(0).await;
        drop(impatient);
        let patient = publish(&rig);
        let timely = rig.asked(0).await;
        rig.sequence(0, late, 1);
        rig.sequence(0, timely, 2);
        assert_eq!(patient.answer().await, Ok(Ok(sequenced(2))));
        // One who leaves before the question was sent: it is not sent.
        drop(publish(&rig));
        let next = publish(&rig);
        let request = rig.asked(0).await;
        rig.sequence(0, request, 3);
        assert_eq!(next.answer().await, Ok(Ok(sequenced(3))));
        rig
    });
}

#[test]
fn a_listing_asks_every_shard_and_sums_what_they_say() {
    with_link(3, 8, |mut rig| async {
        let names = ["a:1", "a:2", "a:3", "a:4"];
        let mut homes: Vec<Home> = (0..3).map(|seed| Home::new(10, 1000, seed)).collect();
        for name in names {
            homes[home_of(name, 3).index()].open(name, 0).expect("room");
        }
        let pending = rig.bridge.topics("a:".into(), 3).expect("room");
        for (shard, home) in homes.iter().enumerate() {
            let request = rig.asked(shard).await;
            let Request::Control(ControlRequest::Topics { ticket, prefix, limit }) = request else {
                panic!("{request:?}")
            };
            let homes: Vec<TopicSummary> = home.list(&prefix, limit as usize);
            let count = shard as u32 + 1;
            let subscribers = vec![("a:2".into(), count), ("a:elsewhere".into(), 9)];
            rig.say(shard, Response::Topics { ticket, homes, subscribers });
        }
        let listed: Vec<TopicInfo> = pending.answer().await.expect("answered").expect("taken");
        let seen: Vec<_> = listed.iter().map(|t| (t.topic.as_str(), t.subscribers)).collect();
        assert_eq!(seen, [("a:1", 0), ("a:2", 6), ("a:3", 0)]);
        assert!(listed.iter().all(|t| t.epoch.len() == 16), "{listed:?}");
        rig
    });
}

/// Takes `JobDone`s from a shard's lane until every job has come back once.
async fn results(rig: &mut Rig, shard: usize, jobs: u32) -> Vec<Result<u32, ()>> {
    let mut results = vec![None; jobs as usize];
    for _ in 0..jobs {
        let request = rig.asked(shard).await;
        let Request::Control(ControlRequest::JobDone { job, result }) = request else {
            panic!("{request:?}")
        };
        let value = result.map(|v| *v.downcast::<u32>().expect("its type")).map_err(drop);
        assert!(results[job as usize].replace(value).is_none(), "job {job} came back twice");
    }
    results.into_iter().flatten().collect()
}

#[test]
fn jobs_come_back_to_their_shard_even_over_a_lane_that_was_full() {
    let left = with_link(2, 4, |mut rig| async {
        const JOBS: u32 = 100;
        let blocked: Vec<_> = (0..4)
            .map(|n| {
                let topic = (0..).map(|i| format!("{n}:{i}")).find(|t| home_of(t, 2).index() == 1);
                let topic = topic.expect("one of them");
                rig.bridge.publish(&topic, Bytes::from_static(b"1")).expect("room")
            })
            .collect();
        rig.until_asked(1).await;
        for job in 0..JOBS {
            let work: JobWork = match job % 10 {
                7 => Box::new(move || panic!("job {job}")),
                _ => Box::new(move || Box::new(job * 2)),
            };
            while rig.shards[1].response_room(2) == 0 {
                yield_now().await;
            }
            rig.say(1, Response::Job { from: ShardId(1), job, work });
        }
        for (pending, offset) in blocked.into_iter().zip(1..) {
            let request = rig.asked(1).await;
            while rig.shards[1].response_room(2) == 0 {
                yield_now().await;
            }
            rig.sequence(1, request, offset);
            assert_eq!(pending.answer().await, Ok(Ok(sequenced(offset))));
        }
        let results = results(&mut rig, 1, JOBS).await;
        for (job, result) in (0..JOBS).zip(results) {
            assert_eq!(result, if job % 10 == 7 { Err(()) } else { Ok(job * 2) });
        }
        assert!(rig.shards[0].next_request(2).is_none(), "the other shard had none");
        rig
    });
    assert_eq!(left, 0);
}

#[test]
fn a_drain_reaches_every_shard_once_a_full_lane_included() {
    with_link(3, 1, |mut rig| async {
        let topic = (0..).map(|n| n.to_string()).find(|t| home_of(t, 3).index() == 2);
        let in_the_way = rig.bridge.publish(&topic.expect("one"), Bytes::from_static(b"1"));
        rig.until_asked(2).await;
        rig.bridge.drain.raise();
        for shard in [0, 1] {
            let request = rig.asked(shard).await;
            assert!(matches!(request, Request::Control(ControlRequest::Drain(_))), "{request:?}");
        }
        assert_eq!(rig.bridge.state.stage(), Stage::Draining);
        let request = rig.asked(2).await;
        rig.sequence(2, request, 1);
        assert_eq!(in_the_way.expect("room").answer().await, Ok(Ok(sequenced(1))));
        let request = rig.asked(2).await;
        assert!(matches!(request, Request::Control(ControlRequest::Drain(_))), "{request:?}");
        // A draining server still answers, and each shard was told once.
        let pending = rig.bridge.topics(String::new(), 1).expect("room");
        for shard in 0..3 {
            let request = rig.asked(shard).await;
            let Request::Control(ControlRequest::Topics { ticket, .. }) = request else {
                panic!("{request:?}")
            };
            let (homes, subscribers) = (Vec::new(), Vec::new());
            rig.say(shard, Response::Topics { ticket, homes, subscribers });
        }
        assert_eq!(pending.answer().await, Ok(Ok(Vec::new())));
        rig
    });
}

#[test]
fn who_still_waits_at_the_end_is_told_that_there_is_nobody() {
    let mut pending = None;
    with_link(1, 8, |mut rig| {
        pending = rig.bridge.publish("t", Bytes::from_static(b"1")).ok();
        async {
            rig.asked(0).await;
            rig
        }
    });
    let pending = pending.expect("room");
    let answer = tokio_uring::start(pending.answer());
    assert_eq!(answer, Err(Refused::Unavailable));
}
