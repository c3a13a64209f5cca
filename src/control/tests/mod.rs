//! The admin interface over real sockets, with a fake in the place of the shards.

mod bounds;
mod link;
mod routes;

use super::{AdminAddr, AdminLimits, AdminListener, Ask, Bridge, Event, Refused, Sequenced};
use super::{ServerState, Stage, TopicInfo, serve};
use crate::metrics::Board;
use crate::pubsub::envelope::BusyTopic;
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// Long enough for a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

type Published = Arc<Mutex<Vec<(String, Bytes)>>>;

/// A served admin interface. Dropping it ends the server and checks that it ended well.
struct Fixture {
    addr: AdminAddr,
    bridge: Bridge,
    published: Published,
    shutdown: Event,
    thread: Option<JoinHandle<()>>,
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Fixture {
    fn start() -> Fixture {
        let fixture = Self::start_with(AdminLimits::default(), "127.0.0.1:0");
        fixture.bridge.state.advance(Stage::Ready);
        fixture
    }

    fn start_with(bounds: AdminLimits, addr: &str) -> Fixture {
        let listener = AdminListener::bind(&addr.parse().expect("an address")).expect("bound");
        let addr = listener.local_addr().expect("it has one");
        let (bridge, asks) = Bridge::new(Board::new(2), ServerState::new(), Event::new());
        let (published, shutdown) = (Published::default(), Event::new());
        let (seen, until, with) = (published.clone(), shutdown.clone(), bridge.clone());
        let thread = std::thread::spawn(move || {
            tokio_uring::start(async move {
                let shards = tokio::task::spawn_local(answer(asks, seen));
                serve(listener, with, bounds, until).await.expect("served");
                shards.abort();
            });
        });
        Fixture { addr, bridge, published, shutdown, thread: Some(thread) }
    }

    fn tcp(&self) -> SocketAddr {
        let AdminAddr::Tcp(addr) = &self.addr else { panic!("a TCP fixture") };
        *addr
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.tcp()).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream
    }

    /// Sends these octets and reads until the server closes.
    fn raw(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        read_all(&mut stream)
    }

    fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let text = self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        Reply::parse(&text)
    }

    fn get(&self, path: &str) -> Reply {
        self.request("GET", path, "", "")
    }

    fn post(&self, path: &str, body: &str) -> Reply {
        self.request("POST", path, "Content-Type: application/json\r\n", body)
    }

    fn published(&self) -> Vec<(String, String)> {
        let seen = self.published.lock().expect("not poisoned");
        let text = |data: &Bytes| String::from_utf8(data.to_vec()).expect("text");
        seen.iter().map(|(topic, data)| (topic.clone(), text(data))).collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.shutdown.raise();
        let ended = self.thread.take().expect("joined once").join();
        if !std::thread::panicking() {
            ended.expect("the server ends without a panic");
        }
    }
}

impl Reply {
    fn parse(text: &str) -> Reply {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("reply {text:?}"));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    /// Asserts that this is an error in the one form.
    fn assert_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{}", self.body);
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{}", self.body);
    }
}

/// Reads to the end; a reset after the answer is an end too.
fn read_all(stream: &mut impl Read) -> String {
    let (mut all, mut some) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut some) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&some[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(e) => panic!("{e} after {:?}", String::from_utf8_lossy(&all)),
        }
    }
    String::from_utf8(all).expect("text")
}

/// Stands for the shards. Topics of some namespaces fail in their own way.
async fn answer(mut asks: mpsc::Receiver<Ask>, published: Published) {
    let mut offsets: BTreeMap<String, u64> = BTreeMap::new();
    while let Some(ask) = asks.recv().await {
        match ask {
            Ask::Publish { topic, reply, .. } if topic.starts_with("silent:") => drop(reply),
            Ask::Publish { topic, reply, .. } if topic.starts_with("full:") => {
                reply.send(Err(Refused::Overloaded)).expect("somebody waits");
            }
            Ask::Publish { topic, data, reply } => {
                let offset = offsets.entry(topic.clone()).or_default();
                *offset += 1;
                let sequenced = Sequenced { epoch: "e1".into(), offset: *offset };
                published.lock().expect("not poisoned").push((topic, data));
                reply.send(Ok(sequenced)).expect("somebody waits");
            }
            Ask::Retune { reply, .. } => reply.send(Ok(())).expect("somebody waits"),
            Ask::Topics { prefix, limit, reply } => {
                let found = offsets.iter().filter(|(topic, _)| topic.starts_with(&prefix));
                let info = |(topic, offset): (&String, &u64)| TopicInfo {
                    topic: topic.clone(),
                    epoch: "e1".into(),
                    offset: *offset,
                    subscribers: 0,
                };
                let listed = found.take(limit).map(info).collect();
                reply.send(Ok(listed)).expect("somebody waits");
            }
            Ask::Busiest { limit, reply } => {
                let busy = |(topic, offset): (&String, &u64)| BusyTopic {
                    topic: topic.as_str().into(),
                    offset: *offset,
                    grown: *offset,
                };
                let found = offsets.iter().take(limit).map(busy).collect();
                reply.send(Ok(found)).expect("somebody waits");
            }
            Ask::Subscribers { topics, reply } => {
                reply.send(Ok(vec![5; topics.len()])).expect("somebody waits");
            }
        }
    }
}
