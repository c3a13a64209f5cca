//! Subscribers that never read, until they are woken and tell what they find.

use std::net::SocketAddr;

use crate::common::{Feed, Flow, Item, JsonClient, RawClient, SOON};

/// See the module's header.
pub(crate) struct Sleeper {
    feed: Feed,
    joined_at: u64,
}

/// How a sleeper's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With the message that was the newest.
    Newest,
    /// With a close frame.
    Closed(u16),
    /// Without one.
    Cut,
}

/// What a sleeper found.
#[derive(Debug)]
pub(crate) struct Slept {
    pub(crate) messages: u64,
    /// How often messages were missing between two that came.
    pub(crate) gaps: u64,
    /// How many came since the last gap.
    pub(crate) run: u64,
    pub(crate) last: u64,
    pub(crate) end: End,
}

impl Sleeper {
    /// Subscribes and falls asleep. Its window is small, so that what it is sent waits in the
    /// server and not in the kernel.
    pub(crate) fn open(ws: SocketAddr, topic: &str) -> Sleeper {
        let mut client = JsonClient::on(RawClient::connect_narrow(ws).upgrade("/ws"));
        let joined_at = client.subscribe(topic)["offset"].as_u64().expect("an offset");
        let feed = Feed::new(client);
        feed.stream().set_read_timeout(Some(SOON)).expect("a time above zero");
        Sleeper { feed, joined_at }
    }

    /// Reads everything up to a close frame, the end, or the message that is the newest. Offsets
    /// that do not increase, and half a frame before more octets, fail the test.
    pub(crate) fn wake(mut self, newest: Option<u64>) -> Slept {
        let mut slept = Slept { messages: 0, gaps: 0, run: 0, last: self.joined_at, end: End::Cut };
        let mut has_ended = false;
        loop {
            let flow = self.feed.read(|item| match item {
                Item::Message { offset, .. } => {
                    assert!(!has_ended, "message {offset} after the end: {slept:?}");
                    assert!(offset > slept.last, "message {offset} after {slept:?}");
                    let is_next = offset == slept.last + 1;
                    slept.gaps += u64::from(!is_next);
                    slept.run = if is_next { slept.run + 1 } else { 1 };
                    slept.messages += 1;
                    slept.last = offset;
                }
                Item::Close(code) => {
                    slept.end = End::Closed(code);
                    has_ended = true;
                }
            });
            if !has_ended && newest == Some(slept.last) {
                slept.end = End::Newest;
                has_ended = true;
            }
            match flow {
                _ if has_ended => return slept,
                Flow::Open => {}
                Flow::Silent => panic!("nothing more comes: {slept:?}, newest {newest:?}"),
                Flow::Ended { .. } => return slept,
            }
        }
    }
}
