//! An echo and fan-out server that does wrong on command and keeps account of it.
//!
//! Threads and blocking sockets, and frames of `common`: nothing here is shared with what is under
//! test. A connection with `?topic=T` is a member of that topic; any other has one of its own, so
//! an echo is a fan-out to oneself. Faults are done to messages on their way to a member.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::common::{BINARY, CLOSE, Frame, TEXT};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How handshakes are answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Upgrade {
    Right,
    Unavailable,
    WrongAccept,
    Never,
    HangUp,
}

/// What is done to messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Every so-manieth is not delivered.
    Drop(u64),
    /// Every so-manieth is delivered twice.
    Twice(u64),
    /// Every so-manieth is delivered after the next one.
    Swap(u64),
    /// Every so-manieth is delivered with one bit changed in its last octet.
    Flip(u64),
    /// Each is delivered so long after it came.
    Delay(Duration),
    /// Each is delivered so long after the one before it.
    Slow(Duration),
    /// From the so-manieth on, once, nothing is delivered for so long.
    Stall(u64, Duration),
    /// Instead of the so-manieth there is a close frame with this code.
    Close(u64, u16),
    /// Instead of the so-manieth there is this text.
    Say(u64, &'static str),
    /// The so-manieth is delivered in a frame with a mask.
    Masked(u64),
}

/// How a closing handshake that the client begins is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Closing {
    Right,
    /// With a close frame, after which it is left to the client to end the stream.
    LeavesOpen,
    Never,
    HangUp,
}

/// What the server does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conduct {
    pub(crate) upgrade: Upgrade,
    pub(crate) fault: Fault,
    pub(crate) closing: Closing,
    /// Faults are done to this member of a topic only, in the order of joining.
    pub(crate) victim: Option<usize>,
}

impl Conduct {
    /// Everything is right.
    pub(crate) const GOOD: Conduct = Conduct {
        upgrade: Upgrade::Right,
        fault: Fault::None,
        closing: Closing::Right,
        victim: None,
    };

    pub(crate) fn with(fault: Fault) -> Conduct {
        Conduct { fault, ..Conduct::GOOD }
    }
}

/// What has happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Where connections came from, and the address that each asked for.
    pub(crate) connections: Vec<(IpAddr, IpAddr)>,
    /// Messages that came.
    pub(crate) messages: u64,
    /// Faults that were done.
    pub(crate) faults: u64,
    /// Codes of close frames that came.
    pub(crate) closes: Vec<u16>,
    /// How long each message was kept, from when it was read to when it was written.
    pub(crate) kept: Vec<Duration>,
}

/// See the module's header.
pub(crate) struct Faulty {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    conduct: Conduct,
    is_over: AtomicBool,
    account: Mutex<Account>,
    topics: Mutex<HashMap<String, Vec<Member>>>,
    streams: Mutex<Vec<TcpStream>>,
}

/// The way to one connection.
struct Member {
    out: Sender<Out>,
    /// Messages on their way to it so far.
    count: u64,
    /// When the last one goes out, of those that go slowly.
    last: Instant,
    /// One that waits for the next.
    held: Option<Vec<u8>>,
    is_victim: bool,
}

struct Out {
    octets: Vec<u8>,
    /// When its message came; none for what answers no message.
    came: Option<Instant>,
    keep: Duration,
    is_last: bool,
}

impl Faulty {
    pub(crate) fn start(conduct: Conduct) -> Faulty {
        Faulty::listen("127.0.0.1:0", conduct)
    }

    pub(crate) fn listen(addr: &str, conduct: Conduct) -> Faulty {
        let listener = TcpListener::bind(addr).expect("a port");
        let addr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            conduct,
            is_over: AtomicBool::new(false),
            account: Mutex::default(),
            topics: Mutex::default(),
            streams: Mutex::default(),
        });
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                if server.is_over.load(SeqCst) {
                    return;
                }
                server.streams.lock().unwrap().push(stream.try_clone().expect("a descriptor"));
                let server = Arc::clone(&server);
                // A connection that breaks is over; what it did is on account.
                thread::spawn(move || server.serve(stream).is_ok());
            }
        });
        Faulty { addr, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/any", self.addr)
    }

    pub(crate) fn account(&self) -> Account {
        self.shared.account().clone()
    }

    /// The median of how long messages were kept, in milliseconds.
    pub(crate) fn kept_p50_ms(&self) -> f64 {
        let mut kept = self.account().kept;
        kept.sort_unstable();
        kept[kept.len() / 2].as_secs_f64() * 1e3
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.shared.is_over.store(true, SeqCst);
        // The listener's thread looks when somebody comes.
        let _ = TcpStream::connect(self.addr);
        for stream in self.shared.streams.lock().unwrap().iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().expect("nobody panics with it")
    }

    fn serve(self: &Arc<Self>, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let number = {
            let mut account = self.account();
            account.connections.push((stream.peer_addr()?.ip(), stream.local_addr()?.ip()));
            account.connections.len()
        };
        let mut input = BufReader::new(stream.try_clone()?);
        let Some((target, key)) = request(&mut input)? else { return Ok(()) };
        match self.conduct.upgrade {
            Upgrade::Right | Upgrade::WrongAccept => {}
            Upgrade::Unavailable => {
                let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
                return stream.write_all(head.as_bytes());
            }
            Upgrade::Never => return input.read_to_end(&mut Vec::new()).map(|_| ()),
            Upgrade::HangUp => return stream.shutdown(Shutdown::Both),
        }
        let salt = if self.conduct.upgrade == Upgrade::Right { GUID } else { "wrong" };
        let accept = STANDARD.encode(Sha1::digest(format!("{key}{salt}")));
        let topic = match target.split_once("topic=") {
            Some((_, topic)) => topic.to_owned(),
            None => format!("connection {number}"),
        };
        // A member before the answer: nobody may publish before all are there.
        let out = self.join(&topic, stream.try_clone()?);
        stream.write_all(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .as_bytes(),
        )?;
        loop {
            let (opcode, payload) = frame(&mut input)?;
            match opcode {
                TEXT | BINARY => self.deliver(&topic, opcode, &payload),
                CLOSE => match self.closed(&payload, &out) {
                    Closing::Right | Closing::LeavesOpen | Closing::Never => {}
                    Closing::HangUp => return stream.shutdown(Shutdown::Both),
                },
                other => panic!("the generator sent opcode {other}"),
            }
        }
    }

    fn closed(&self, payload: &[u8], out: &Sender<Out>) -> Closing {
        let code = payload.first_chunk::<2>().map_or(1005, |code| u16::from_be_bytes(*code));
        self.account().closes.push(code);
        let closing = self.conduct.closing;
        if matches!(closing, Closing::Right | Closing::LeavesOpen) {
            let octets = Frame::close(code).unmasked().octets();
            let is_last = closing == Closing::Right;
            // The other end of the channel may have seen the stream break.
            let _ = out.send(Out { octets, came: None, keep: Duration::ZERO, is_last });
        }
        closing
    }

    /// Makes a stream a member of a topic, written to by a thread of its own.
    fn join(self: &Arc<Self>, topic: &str, mut stream: TcpStream) -> Sender<Out> {
        let (sender, outs) = channel::<Out>();
        let mut topics = self.topics.lock().expect("nobody panics with it");
        let members = topics.entry(topic.to_owned()).or_default();
        let is_victim = self.conduct.victim.is_none_or(|victim| victim == members.len());
        let last = Instant::now();
        members.push(Member { out: sender.clone(), count: 0, last, held: None, is_victim });
        drop(topics);
        let server = Arc::clone(self);
        thread::spawn(move || {
            for out in outs {
                if let Some(came) = out.came {
                    // The delay that the generator has to report.
                    thread::sleep(out.keep.saturating_sub(came.elapsed()));
                }
                if stream.write_all(&out.octets).is_err() {
                    return;
                }
                if let Some(came) = out.came {
                    server.account().kept.push(came.elapsed());
                }
                if out.is_last {
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
            }
        });
        sender
    }

    fn deliver(&self, topic: &str, opcode: u8, payload: &[u8]) {
        let came = Instant::now();
        self.account().messages += 1;
        let mut topics = self.topics.lock().expect("nobody panics with it");
        for member in topics.get_mut(topic).expect("its sender is a member") {
            let faults = member.take(self.conduct.fault, opcode, payload, came);
            self.account().faults += u64::from(faults);
        }
    }
}

impl Member {
    /// Sends a message on its way, or does to it what is to be done. True when that is a fault.
    fn take(&mut self, fault: Fault, opcode: u8, payload: &[u8], came: Instant) -> bool {
        self.count += 1;
        let count = self.count;
        let right = Frame::new(opcode, payload);
        let octets = right.clone().unmasked().octets();
        let send = |octets: Vec<u8>, came, keep, is_last| {
            // The other end of the channel may have seen the stream break.
            let _ = self.out.send(Out { octets, came, keep, is_last });
        };
        let pass = |octets: Vec<u8>| send(octets, Some(came), Duration::ZERO, false);
        let is_due = |every: u64| self.is_victim && count.is_multiple_of(every);
        match fault {
            Fault::Drop(every) if is_due(every) => {}
            Fault::Twice(every) if is_due(every) => {
                pass(octets.clone());
                pass(octets);
            }
            Fault::Swap(every) if is_due(every) => self.held = Some(octets),
            Fault::Swap(_) => {
                pass(octets);
                self.held.take().into_iter().for_each(pass);
                return false;
            }
            Fault::Flip(every) if is_due(every) => {
                let mut changed = octets;
                *changed.last_mut().expect("a payload") ^= 1;
                pass(changed);
            }
            Fault::Slow(gap) => {
                let goes = self.last.max(came) + gap;
                send(octets, Some(came), goes - came, false);
                self.last = goes;
                return false;
            }
            Fault::Delay(keep) => {
                send(octets, Some(came), keep, false);
                return false;
            }
            Fault::Stall(at, keep) if count == at => send(octets, Some(came), keep, false),
            Fault::Close(at, code) if count == at => {
                send(Frame::close(code).unmasked().octets(), None, Duration::ZERO, false);
            }
            Fault::Close(at, _) if count > at => return false,
            Fault::Say(at, text) if count == at => pass(Frame::text(text).unmasked().octets()),
            Fault::Masked(at) if count == at => pass(right.octets()),
            Fault::None
            | Fault::Drop(_)
            | Fault::Twice(_)
            | Fault::Flip(_)
            | Fault::Stall(..)
            | Fault::Close(..)
            | Fault::Say(..)
            | Fault::Masked(_) => {
                pass(octets);
                return false;
            }
        }
        true
    }
}

/// What is asked for and the key, or nothing when the stream ends first.
fn request(input: &mut impl BufRead) -> io::Result<Option<(String, String)>> {
    let (mut target, mut key) = (None, None);
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(target.zip(key));
        }
        if target.is_none() {
            target = line.split(' ').nth(1).map(str::to_owned);
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("sec-websocket-key")
        {
            key = Some(value.trim().to_owned());
        }
    }
}

/// A client's frame: its opcode, and its payload without the mask.
fn frame(input: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    input.read_exact(&mut head)?;
    assert_eq!(head[0] & 0xf0, 0x80, "the generator sends whole messages, without reserved bits");
    assert_eq!(head[1] & 0x80, 0x80, "a client masks");
    let len = match head[1] & 0x7f {
        126 => {
            let mut len = [0; 2];
            input.read_exact(&mut len)?;
            u64::from(u16::from_be_bytes(len))
        }
        127 => {
            let mut len = [0; 8];
            input.read_exact(&mut len)?;
            u64::from_be_bytes(len)
        }
        len => u64::from(len),
    };
    let mut mask = [0; 4];
    input.read_exact(&mut mask)?;
    let mut payload = vec![0; usize::try_from(len).expect("a length")];
    input.read_exact(&mut payload)?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(octet, key)| *octet ^= key);
    Ok((head[0] & 0x0f, payload))
}
