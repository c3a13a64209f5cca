//! What is looked at, and what was seen over time.

use std::time::Instant;

use ringwire::bench::report::plot::Unit;

use crate::SETTLING_MAX;
use crate::common::{Metrics, Server, memory_bytes, resident_bytes};

/// Something that could grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    Resident,
    /// Without the pages of the program's file, which the kernel takes and gives back as it likes.
    Anonymous,
    Descriptors,
    Connections,
    Subscriptions,
    Topics,
    Egress,
    Ingress,
    LaneRequests,
    LanesFull,
    Sockets,
    SocketInodes,
    Files,
    RingRequests,
    Segments,
    TimeWait,
    SocketPages,
}

impl Quantity {
    pub(crate) const ALL: &[Quantity] = &[
        Quantity::Resident,
        Quantity::Anonymous,
        Quantity::Descriptors,
        Quantity::Connections,
        Quantity::Subscriptions,
        Quantity::Topics,
        Quantity::Egress,
        Quantity::Ingress,
        Quantity::LaneRequests,
        Quantity::LanesFull,
        Quantity::Sockets,
        Quantity::SocketInodes,
        Quantity::Files,
        Quantity::RingRequests,
        Quantity::Segments,
        Quantity::TimeWait,
        Quantity::SocketPages,
    ];
    /// What has to be as it was when everybody has gone. Topics are kept for five minutes.
    pub(crate) const ACCOUNTS: &[Quantity] = &[
        Quantity::Descriptors,
        Quantity::Connections,
        Quantity::Subscriptions,
        Quantity::Egress,
        Quantity::Ingress,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Quantity::Resident => "resident memory",
            Quantity::Anonymous => "of it anonymous",
            Quantity::Descriptors => "descriptors",
            Quantity::Connections => "connections (slots)",
            Quantity::Subscriptions => "subscriptions",
            Quantity::Topics => "topics",
            Quantity::Egress => "egress queues",
            Quantity::Ingress => "unfinished messages",
            Quantity::LaneRequests => "lane requests so far",
            Quantity::LanesFull => "full lanes so far",
            Quantity::Sockets => "slab TCP",
            Quantity::SocketInodes => "slab sock_inode_cache",
            Quantity::Files => "slab filp",
            Quantity::RingRequests => "slab io_kiocb",
            Quantity::Segments => "slab skbuff_head_cache",
            Quantity::TimeWait => "slab tw_sock_TCP",
            Quantity::SocketPages => "TCP memory",
        }
    }

    pub(crate) fn unit(self) -> Unit {
        match self {
            Quantity::Resident
            | Quantity::Anonymous
            | Quantity::Egress
            | Quantity::Ingress
            | Quantity::SocketPages => Unit::Bytes,
            Quantity::Descriptors
            | Quantity::Connections
            | Quantity::Subscriptions
            | Quantity::Topics
            | Quantity::LaneRequests
            | Quantity::LanesFull
            | Quantity::Sockets
            | Quantity::SocketInodes
            | Quantity::Files
            | Quantity::RingRequests
            | Quantity::Segments
            | Quantity::TimeWait => Unit::Count,
        }
    }

    /// Counters are there to be looked at, and so is what every process of the host leaves behind
    /// for a minute; everything else may not grow.
    pub(crate) fn is_judged(self) -> bool {
        !matches!(self, Quantity::LaneRequests | Quantity::LanesFull | Quantity::TimeWait)
    }

    /// Now, if it can be read here.
    pub(crate) fn read(self, server: &Server) -> Option<f64> {
        self.of(&Source::look(server))
    }

    fn of(self, source: &Source) -> Option<f64> {
        let metric = |family| Some(source.metrics.value(family, &[]));
        match self {
            Quantity::Resident => Some(source.resident_bytes as f64),
            Quantity::Anonymous => Some(source.anonymous_bytes as f64),
            Quantity::Descriptors => Some(source.descriptors as f64),
            Quantity::Connections => metric("ringwire_connections_open"),
            Quantity::Subscriptions => metric("ringwire_subscriptions"),
            Quantity::Topics => metric("ringwire_topics"),
            Quantity::Egress => metric("ringwire_egress_queued_bytes"),
            Quantity::Ingress => metric("ringwire_ingress_partial_bytes"),
            Quantity::LaneRequests => metric("ringwire_lane_requests_total"),
            Quantity::LanesFull => metric("ringwire_lane_full_total"),
            Quantity::Sockets => source.slab("TCP"),
            Quantity::SocketInodes => source.slab("sock_inode_cache"),
            Quantity::Files => source.slab("filp"),
            Quantity::RingRequests => source.slab("io_kiocb"),
            Quantity::Segments => source.slab("skbuff_head_cache"),
            Quantity::TimeWait => source.slab("tw_sock_TCP"),
            Quantity::SocketPages => source.tcp_pages().map(|pages| pages * 4096.0),
        }
    }
}

/// Everything that quantities are read from, at one moment.
struct Source {
    metrics: Metrics,
    resident_bytes: u64,
    anonymous_bytes: u64,
    descriptors: usize,
    slabinfo: String,
    sockstat: String,
}

impl Source {
    fn look(server: &Server) -> Source {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let descriptors = || {
            let path = format!("/proc/{}/fd", server.pid());
            std::fs::read_dir(path).expect("the server is there").count()
        };
        Source {
            descriptors: descriptors(),
            metrics: server.metrics(),
            resident_bytes: resident_bytes(server.pid()),
            anonymous_bytes: memory_bytes(server.pid(), "RssAnon:"),
            slabinfo: text("/proc/slabinfo"),
            sockstat: text("/proc/net/sockstat"),
        }
    }

    /// Objects in use of one of the kernel's slabs.
    fn slab(&self, name: &str) -> Option<f64> {
        let line = self.slabinfo.lines().find(|line| line.split(' ').next() == Some(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    fn tcp_pages(&self) -> Option<f64> {
        let line = self.sockstat.lines().find(|line| line.starts_with("TCP:"))?;
        line.split(' ').next_back()?.parse().ok()
    }
}

/// See the module's header.
pub(crate) struct Sampler {
    start: Instant,
    before: Source,
    /// Seconds since the start, and the values in the order of [`Quantity::ALL`].
    samples: Vec<(f64, Vec<Option<f64>>)>,
}

impl Sampler {
    /// Before the load.
    pub(crate) fn start(server: &Server) -> Sampler {
        // The first scrape may leave a descriptor behind that stays.
        drop(Source::look(server));
        Sampler { start: Instant::now(), before: Source::look(server), samples: Vec::new() }
    }

    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.start.elapsed()
    }

    pub(crate) fn sample(&mut self, server: &Server) {
        let source = Source::look(server);
        let values = Quantity::ALL.iter().map(|quantity| quantity.of(&source)).collect();
        self.samples.push((self.start.elapsed().as_secs_f64(), values));
    }

    pub(crate) fn before(&self, quantity: Quantity) -> Option<f64> {
        quantity.of(&self.before)
    }

    /// Seconds and values, where there are any.
    pub(crate) fn points(&self, quantity: Quantity) -> Vec<(f64, f64)> {
        let at = Quantity::ALL.iter().position(|one| *one == quantity).expect("it is one of all");
        let points = self.samples.iter();
        points.filter_map(|(seconds, values)| Some((*seconds, values[at]?))).collect()
    }

    /// The time in which nothing may grow.
    pub(crate) fn judged(&self) -> (f64, f64) {
        let until = self.samples.last().map_or(0.0, |(seconds, _)| *seconds);
        (SETTLING_MAX.as_secs_f64().min(until / 3.0), until)
    }
}
