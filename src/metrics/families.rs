//! The metric families: name, kind, help and the label that tells a family's series apart.
//!
//! Invariants: names are valid for Prometheus and start with `ringwire_` (or `process_`, where the
//! name is one that dashboards know); a counter ends in `_total`; the unit stands last before it.
//! Which series a family has is written in `catalog`.

/// How a value moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, from zero at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
    /// Counts of times in buckets, with their sum.
    Histogram,
}

/// One family, as Prometheus understands the word.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// The full name.
    pub name: &'static str,
    /// How its values move.
    pub kind: Kind,
    /// One sentence for the operator.
    pub help: &'static str,
    /// Name of the label that tells its series apart.
    pub label: Option<&'static str>,
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help, label: None }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help, label: None }
}

const fn histogram(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Histogram, help, label: None }
}

impl Family {
    const fn by(mut self, label: &'static str) -> Family {
        self.label = Some(label);
        self
    }
}

macro_rules! families {
    ($($constant:ident = $family:expr;)*) => {
        $(
            #[doc = stringify!($family)]
            pub static $constant: Family = $family;
        )*
        /// Every family that shards count, in the order of this file.
        pub static ALL: &[&Family] = &[$(&$constant),*];
    };
}

families! {
    ACCEPTED = counter("ringwire_connections_accepted_total", "TCP connections accepted.");
    OPEN = gauge("ringwire_connections_open", "WebSocket connections that are open.");
    DESCRIPTORS = gauge("ringwire_direct_descriptors_open",
        "Connections in any phase: handshakes, and those that are ending, included.");
    CLOSED = counter("ringwire_connections_closed_total",
        "WebSocket connections ended, by close code (1005: none given, 1006: without a close).")
        .by("code");
    HANDSHAKES = counter("ringwire_handshakes_completed_total", "Upgrades answered with 101.");
    REFUSED = counter("ringwire_handshakes_refused_total", "Upgrades not granted, by cause.")
        .by("cause");
    ACCEPT_FAILURES = counter("ringwire_accept_failures_total",
        "Accepts that the kernel failed for another reason than a full table.");
    ACCEPT_TABLE_FULL = counter("ringwire_accept_table_full_total",
        "Accepts refused because the table of descriptors was full.");
    PEER_FAULTS = counter("ringwire_peer_faults_total",
        "Violations of the protocol by the peer, by fault.")
        .by("fault");

    MESSAGES_RECEIVED = counter("ringwire_messages_received_total", "Messages from peers.");
    MESSAGES_SENT = counter("ringwire_messages_sent_total",
        "Messages queued to peers by handlers; deliveries are counted by themselves.");
    RECEIVED_BYTES = counter("ringwire_received_bytes_total",
        "Octets of the messages that came, without their frames.");
    SENT_BYTES = counter("ringwire_sent_bytes_total",
        "Octets of the messages queued to peers; those of topics with their frames.");
    PINGS_RECEIVED = counter("ringwire_pings_received_total", "Pings from peers.");
    PINGS_SENT = counter("ringwire_pings_sent_total", "Heartbeat pings sent.");
    PINGS_DROPPED = counter("ringwire_pings_dropped_total",
        "Pings left without an answer because the connection's egress was full.");
    PONGS_RECEIVED = counter("ringwire_pongs_received_total", "Pongs from peers.");
    PONGS_SENT = counter("ringwire_pongs_sent_total", "Pongs sent.");
    HEARTBEATS_LOST = counter("ringwire_heartbeats_lost_total",
        "Connections closed because nothing came back before the heartbeat's deadline.");

    PUBLISHES = counter("ringwire_publishes_accepted_total", "Publishes sequenced here.");
    PUBLISHES_REFUSED = counter("ringwire_publishes_refused_total", "Publishes given back.");
    DELIVERIES = counter("ringwire_deliveries_total", "Published messages queued to subscribers.");
    DELIVERIES_DROPPED = counter("ringwire_deliveries_dropped_total",
        "Published messages that a slow subscriber did not get, by policy.")
        .by("policy");
    SLOW_CONSUMERS = counter("ringwire_slow_consumers_closed_total",
        "Connections closed because they read too slowly.");
    DRAINED = counter("ringwire_drained_total",
        "Connections told to go by a drain, at its pace or all at once near its deadline.")
        .by("when");
    TOPICS = gauge("ringwire_topics", "Topics whose home is here.");
    SUBSCRIPTIONS = gauge("ringwire_subscriptions", "Subscriptions held by connections.");
    ERRORS_SENT = counter("ringwire_errors_sent_total", "Errors answered to clients, by code.")
        .by("code");

    EGRESS_QUEUED_BYTES = gauge("ringwire_egress_queued_bytes",
        "Octets that wait to be sent, over all connections.");
    INGRESS_PARTIAL_BYTES = gauge("ringwire_ingress_partial_bytes",
        "Octets held of messages that are not complete, and of clients' earlier messages.");
    COMPRESSION_AGREED = counter("ringwire_compression_agreed_total",
        "Connections that agreed on permessage-deflate.");
    COMPRESSION_DECLINED = counter("ringwire_compression_declined_total",
        "Connections whose offers of permessage-deflate could not be met, and that go without.");
    TAKEOVERS_REFUSED = counter("ringwire_compression_takeovers_refused_total",
        "Connections told not to refer to earlier messages, because as many as may already do.");
    COMPRESSED_MESSAGES = counter("ringwire_compressed_messages_total",
        "Messages compressed; one for many subscribers counts once for each size of window.");
    COMPRESSED_BYTES_IN = counter("ringwire_compressed_bytes_in_total",
        "Octets of those messages before.");
    COMPRESSED_BYTES_OUT = counter("ringwire_compressed_bytes_out_total",
        "Octets of those messages after.");
    COMPRESSION_MICROSECONDS = counter("ringwire_compression_microseconds_total",
        "Time spent on compressing.");
    COMPRESSION_GIVEN_UP = counter("ringwire_compression_given_up_total",
        "Messages sent as they were because compressing did not make them shorter.");
    COMPRESSION_SKIPPED = counter("ringwire_compression_skipped_total",
        "Messages sent as they were because the turn had compressed as much as it may.");
    INFLATED_MESSAGES = counter("ringwire_inflated_messages_total",
        "Compressed messages received.");
    INFLATED_BYTES_IN = counter("ringwire_inflated_bytes_in_total",
        "Octets of those messages as received.");
    INFLATED_BYTES_OUT = counter("ringwire_inflated_bytes_out_total",
        "Octets of those messages when inflated.");
    INFLATE_MICROSECONDS = counter("ringwire_inflate_microseconds_total",
        "Time spent on inflating.");
    INFLATE_STALLS = counter("ringwire_inflate_stalls_total",
        "Times that a message took more inflating than one turn has room for.");
    READS_PAUSED = counter("ringwire_reads_paused_total",
        "Times that reading paused because a connection's egress was above its high mark.");
    FAST_SENDS = counter("ringwire_fast_sends_total",
        "Sends tried at once, without waiting for room; short sends are those not taken whole.");
    SHORT_SENDS = counter("ringwire_short_sends_total",
        "Sends of which the kernel took only a part, or nothing.");
    QUEUED_SENDS = counter("ringwire_queued_sends_total",
        "Sends armed to wait for room in the socket.");

    LAST_WORDS_LOST = counter("ringwire_last_words_lost_total",
        "Close frames that no room was left for.");
    LANE_FULL = counter("ringwire_lane_full_total",
        "Envelopes that found the lane to another shard full.");
    LANE_DEPTH = gauge("ringwire_lane_depth",
        "Envelopes that waited in lanes when shards last looked, which they do once a second.");
    LANE_REQUESTS = counter("ringwire_lane_requests_total", "Requests sent to other shards.");
    LANE_RESPONSES = counter("ringwire_lane_responses_total", "Answers sent to other shards.");
    DOORBELLS = counter("ringwire_doorbells_rung_total", "Sleeping shards woken.");
    SHARDS_RUNNING = gauge("ringwire_shards_running",
        "Shards whose event loop runs: all of them, but while starting and draining.");
    TURNS = counter("ringwire_turns_total", "Turns of the event loop.");
    BUSY = counter("ringwire_loop_busy_microseconds_total",
        "Time of the processor that the event loops had, the kernel's work for them included.");
    RECV_STARVED = counter("ringwire_recv_starved_total",
        "Receives that ended because the pool of buffers was empty.");
    CQ_OVERFLOW = counter("ringwire_cq_overflow_total",
        "Turns that found completions held back by the kernel because the CQ was full.");
    SQ_FULL = counter("ringwire_sq_full_total",
        "Submissions forced in the middle of a turn because the SQ was full.");
    STALE = counter("ringwire_stale_completions_total",
        "Completions for a connection that has ended.");
}

/// Families of times.
pub mod timings {
    use super::{Family, histogram};

    /// See [`crate::metrics::Timing::Handshake`].
    pub static HANDSHAKE: Family = histogram(
        "ringwire_handshake_seconds",
        "Time from an accept to the answer 101, as the event loop sees it (whole milliseconds).",
    );
    /// See [`crate::metrics::Timing::Turn`].
    pub static TURN: Family = histogram(
        "ringwire_turn_seconds",
        "Time of a turn of the event loop, without the wait for the kernel.",
    );

    /// All of them.
    pub static ALL: &[&Family] = &[&HANDSHAKE, &TURN];
}

/// Families of the whole process, which the scrape adds; no shard counts them.
pub mod process {
    use super::{Family, counter, gauge};

    /// Constant 1; the label carries the version.
    pub static BUILD_INFO: Family =
        gauge("ringwire_build_info", "Always 1; the label tells what was built.").by("version");
    /// When the process started.
    pub static START_TIME: Family =
        gauge("process_start_time_seconds", "Start of the process, in seconds of Unix time.");
    /// What the process occupies.
    pub static RESIDENT: Family =
        gauge("process_resident_memory_bytes", "Memory of the process that is resident.");
    /// What the process has mapped.
    pub static VIRTUAL: Family =
        gauge("process_virtual_memory_bytes", "Memory that the process has mapped.");
    /// Descriptors in the process's own table.
    pub static OPEN_FDS: Family = gauge(
        "process_open_fds",
        "Descriptors of the process; connections on direct descriptors are not among them.",
    );
    /// How many descriptors there may be.
    pub static MAX_FDS: Family =
        gauge("process_max_fds", "Descriptors that the process may have (RLIMIT_NOFILE).");
    /// Processor time.
    pub static CPU: Family =
        counter("process_cpu_seconds_total", "User and system time of the process, in seconds.");
    /// The limit of connections.
    pub static CONNECTIONS_MAX: Family = gauge(
        "ringwire_connections_max",
        "Connections that the server may have (server.max_connections).",
    );
    /// The limit of what waits to be sent.
    pub static EGRESS_MAX: Family = gauge(
        "ringwire_egress_max_bytes",
        "Octets that may wait to be sent, over all connections (limits.egress_total_bytes_max).",
    );
    /// How many shards run.
    pub static SHARDS: Family = gauge("ringwire_shards", "Shards that the process runs.");
    /// Whether new connections are taken.
    pub static READY: Family =
        gauge("ringwire_ready", "1 when ready; 0 while starting or draining.");
    /// Whether connections are being told to go.
    pub static DRAINING: Family =
        gauge("ringwire_draining", "1 from the order to drain on, else 0.");
    /// Open connections of each shard.
    pub static SHARD_OPEN: Family =
        gauge("ringwire_shard_connections_open", "WebSocket connections open, by shard.")
            .by("shard");
    /// Time in turns of each shard.
    pub static SHARD_BUSY: Family = counter(
        "ringwire_shard_loop_busy_microseconds_total",
        "Time of the processor that the shard had, the kernel's work for it included.",
    )
    .by("shard");
    /// The same as a part of all time.
    pub static SHARD_BUSY_RATIO: Family = gauge(
        "ringwire_shard_loop_busy_ratio",
        "Part of the last ten seconds that the shard had the processor; 1 is a full core.",
    )
    .by("shard");
    /// What waits to be sent of each shard.
    pub static SHARD_EGRESS: Family =
        gauge("ringwire_shard_egress_queued_bytes", "Octets that wait to be sent, by shard.")
            .by("shard");
    /// Turns of each shard.
    pub static SHARD_TURNS: Family =
        counter("ringwire_shard_turns_total", "Turns of the event loop, by shard.").by("shard");
    /// Configurations read anew.
    pub static RELOADS: Family = counter(
        "ringwire_config_reloads_total",
        "Times that the configuration was read anew, by result: ok, or failed and nothing changed.",
    )
    .by("result");
    /// Log events left out.
    pub static LOG_LEFT_OUT: Family = counter(
        "ringwire_log_events_left_out_total",
        "Log events that were not written because their cause had been told often enough.",
    );
    /// Refusals of the admin listener.
    pub static ADMIN_REFUSED: Family = counter(
        "ringwire_admin_connections_refused_total",
        "Connections to the admin listener refused because it had as many as it may.",
    );
    /// Accepts of the admin listener that failed.
    pub static ADMIN_ACCEPT_FAILURES: Family = counter(
        "ringwire_admin_accept_failures_total",
        "Accepts of the admin listener that the kernel failed: mostly for want of a descriptor.",
    );

    /// All of them.
    pub static ALL: &[&Family] = &[
        &BUILD_INFO,
        &START_TIME,
        &RESIDENT,
        &VIRTUAL,
        &OPEN_FDS,
        &MAX_FDS,
        &CPU,
        &CONNECTIONS_MAX,
        &EGRESS_MAX,
        &SHARDS,
        &READY,
        &DRAINING,
        &SHARD_OPEN,
        &SHARD_TURNS,
        &SHARD_BUSY,
        &SHARD_BUSY_RATIO,
        &SHARD_EGRESS,
        &RELOADS,
        &LOG_LEFT_OUT,
        &ADMIN_REFUSED,
        &ADMIN_ACCEPT_FAILURES,
    ];
}
