//! Every limit of the system as a constant, with the relations between them asserted.
//!
//! What an operator may change has its default here and its bounds in `server::config`.

/// Shards of one process: ten bits of a connection identifier, less one value that stands for the
/// control plane.
pub const SHARDS_MAX: u16 = 1023;
/// Connections of one shard; 2^20 is what one table of direct descriptors holds.
pub const SLOTS_PER_SHARD_MAX: u32 = 1 << 20;
/// Slots beside the configured connections that serve only to refuse politely (HTTP 503).
pub const REFUSAL_SLOTS: u32 = 64;

/// Length of a timer tick.
pub const TICK_MS: u64 = 64;

/// Entries of a shard's submission queue; a turn with more operations submits in between.
pub const SQ_ENTRIES: u32 = 1024;
/// Entries of a shard's completion queue. Multishot operations are not bounded by the SQ.
pub const CQ_ENTRIES: u32 = 4096;
/// Buffers of a shard's receive pool, by default.
pub const RECV_BUFFERS: u16 = 256;
/// Octets of one receive buffer, by default.
pub const RECV_BUFFER_BYTES: u32 = 4096;
/// The kernel's bound on a ring of provided buffers.
pub const RECV_BUFFERS_MAX: u16 = 32768;
/// Octets of a shard's receive pool: the arena that mirrors it twice is addressed by 32 bits.
pub const RECV_POOL_BYTES_MAX: u64 = 1 << 30;
/// Accepts in flight per TCP listener (each owns the address that the kernel fills in): ADR 0002.
pub const ACCEPTS_IN_FLIGHT: u16 = 16;

/// Pieces of one sendmsg(2): the kernel's UIO_MAXIOV. What a chain has beyond it is gathered.
pub const PIECES_PER_SEND_MAX: usize = 1024;
/// Pieces of all fast sends between two submissions.
pub const PIECES_STAGED_MAX: usize = 8 * PIECES_PER_SEND_MAX;
/// Finished records of queued sends that a shard keeps for reuse.
pub const QUEUED_SENDS_SPARE_MAX: usize = 64;
/// Kernel worker threads of a ring, each of the two kinds. Only shutdown(2) runs there.
pub const RING_WORKERS_MAX: u32 = 2;
/// Times that an `io_uring_enter` which the kernel can't serve now is repeated.
pub const ENTER_RETRIES_MAX: u32 = 10_000;
/// How long a driver that goes away waits for the kernel to let go of its memory.
pub const RING_TEARDOWN_MS_MAX: u64 = 2_000;

/// Octets of a request head (RFC 6455, section 4.1), by default.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header fields of a request head.
pub const HEAD_FIELDS_MAX: usize = 64;
/// Octets of a client's message, by default.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Frames of one message.
pub const FRAGMENTS_MAX: u32 = 65_536;

/// Unfinished-message states that a shard keeps for reuse.
pub const PARTIALS_POOLED_MAX: usize = 64;
/// Capacity up to which such a state keeps a buffer (of a message as sent, and as inflated); a
/// bigger one gives its memory back.
pub const PARTIAL_PAYLOAD_KEPT_BYTES: usize = 16 * 1024;
/// What a payload buffer grows to at least, unless the announced size is smaller.
pub const PARTIAL_PAYLOAD_BYTES_MIN: usize = 64;
/// Octets that a shard compresses in one turn, and so also of the largest message that it does.
pub const COMPRESS_BUDGET_BYTES: usize = 1024 * 1024;
/// How hard a server compresses, by default: zlib's own balance is 6, and costs twice as much.
pub const COMPRESSION_LEVEL: u8 = 4;
/// Octets from which a message is compressed, by default.
pub const COMPRESSION_THRESHOLD_BYTES: usize = 512;
/// Octets that a compressed message may become whatever its size.
pub const INFLATE_RATIO_FREE_BYTES: usize = 64 * 1024;
/// Octets that a message may become for each octet of it, by default. Deflate itself ends at 1032.
pub const INFLATE_RATIO_MAX: u32 = 200;
/// Octets that a shard inflates in one turn.
pub const INFLATE_BUDGET_BYTES: usize = 1024 * 1024;
/// And for one connection, each time that it is looked at. Messages under way go on before others
/// begin, so no more than the quotient of the two are under way.
pub const INFLATE_SLICE_BYTES: usize = 256 * 1024;
/// States for inflating that a shard keeps for reuse; more than one is in use only while messages
/// of more than a slice are under way.
pub const INFLATERS_POOLED_MAX: usize = 2;
/// Compressed messages whose inflated form the load generator keeps, because it is sent the same
/// ones on many connections.
pub const RECENT_MESSAGES_MAX: usize = 16;
/// And none of more octets.
pub const RECENT_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Octets of a topic's name.
pub const TOPIC_BYTES_MAX: usize = 200;

const _: () = assert!(CQ_ENTRIES >= 2 * SQ_ENTRIES);
const _: () = assert!(CQ_ENTRIES > RECV_BUFFERS as u32 + ACCEPTS_IN_FLIGHT as u32);
const _: () = assert!(RECV_BUFFERS <= RECV_BUFFERS_MAX && RECV_BUFFERS.is_power_of_two());
const _: () = assert!(INFLATE_SLICE_BYTES <= INFLATE_BUDGET_BYTES);
const _: () = assert!(PARTIAL_PAYLOAD_BYTES_MIN <= PARTIAL_PAYLOAD_KEPT_BYTES);
const _: () = assert!(2 * PARTIALS_POOLED_MAX * PARTIAL_PAYLOAD_KEPT_BYTES <= 2 << 20);

/// Octets that may wait for one connection, by default.
pub const EGRESS_BYTES_MAX: usize = 1 << 20;
/// What a waiting frame is charged beside its own octets: its entry, its allocation, and slack.
pub const EGRESS_FRAME_OVERHEAD_BYTES: usize = 128;
/// Part of the egress limit that only control frames may use, so that a close can be said.
pub const EGRESS_CONTROL_RESERVE_BYTES: usize = 1024;
/// Frames of one queued send.
pub const QUEUED_SEND_FRAMES_MAX: usize = 64;
/// Octets of one queued send, unless its first frame alone is longer. Small, because its end is the
/// only sign that a slow reader takes something, and a heartbeat may wait for that sign.
pub const QUEUED_SEND_BYTES_MAX: usize = 64 * 1024;
/// From this size on a frame is sent from where it is instead of being copied into the arena.
pub const ARENA_FRAME_BYTES_MAX: usize = 64 * 1024;
/// Octets of a control frame: header and payload (RFC 6455, section 5.5).
pub const CONTROL_FRAME_BYTES_MAX: usize = 2 + 125;

const _: () = assert!(EGRESS_CONTROL_RESERVE_BYTES > 4 * CONTROL_FRAME_BYTES_MAX);
const _: () = assert!(EGRESS_BYTES_MAX > MESSAGE_BYTES_MAX + EGRESS_CONTROL_RESERVE_BYTES);
const _: () = assert!(PIECES_STAGED_MAX >= PIECES_PER_SEND_MAX);

/// Connections to the admin listener; the next one is answered 503 and closed.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Octets of an admin request's head.
pub const ADMIN_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Octets of an admin request's body.
pub const ADMIN_BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long an admin request's head may take, and how long a connection may idle.
pub const ADMIN_HEAD_TIMEOUT_MS: u64 = 10_000;
/// How long an admin request's body may take.
pub const ADMIN_BODY_TIMEOUT_MS: u64 = 10_000;
/// Age at which an admin connection is closed after its present request, so that a reader that
/// never reads does not hold its place forever.
pub const ADMIN_CONNECTION_AGE_MS: u64 = 600_000;
/// How long connections may finish after they were told to end.
pub const ADMIN_GRACE_MS: u64 = 2_000;
/// Questions to the shards that may wait to be carried there.
pub const ASKS_WAITING_MAX: usize = 1024;
/// Questions that the shards have been asked and have not answered yet.
pub const ASKS_UNANSWERED_MAX: usize = ADMIN_CONNECTIONS_MAX * BROADCAST_IN_FLIGHT;
/// Interval at which questions are forgotten that nobody waits for any more.
pub const ASKS_SWEEP_MS: u64 = 1000;
/// After which an order that found its lane full is tried again.
pub const LANE_RETRY_MS: u64 = 5;
/// How long the shards may take to answer one.
pub const ASK_TIMEOUT_MS: u64 = 5_000;
/// Topics of one broadcast.
pub const BROADCAST_TOPICS_MAX: usize = 1000;
/// Publishes of one broadcast that are under way at once.
pub const BROADCAST_IN_FLIGHT: usize = 64;
/// Topics in one answer of the listing, at most.
pub const TOPICS_LISTED_MAX: usize = 1000;
/// Topics that a listing has when the request does not say.
pub const TOPICS_LISTED_DEFAULT: usize = 100;
/// Samples that the rates of the status are computed over, one each second.
pub const RATE_SAMPLES: usize = 10;
/// Between two samples of the history that the status page draws.
pub const HISTORY_INTERVAL_MS: u64 = 2_000;
/// Samples of it: five minutes.
pub const HISTORY_SAMPLES: usize = 151;
/// Topics among the busiest that are shown.
pub const BUSIEST_TOPICS_MAX: usize = 10;
/// How long an answer about them is given again: every look walks all topics of all shards.
pub const BUSIEST_INTERVAL_MS: u64 = 5_000;
/// How long an overview waits for a look at them before it goes on without.
pub const BUSIEST_WAIT_MS: u64 = 250;

const _: () = assert!(ADMIN_BODY_BYTES_MAX > MESSAGE_BYTES_MAX);
const _: () = assert!(ASKS_WAITING_MAX >= ADMIN_CONNECTIONS_MAX + BROADCAST_IN_FLIGHT);
const _: () = assert!(ASKS_UNANSWERED_MAX >= ASKS_WAITING_MAX);
const _: () = assert!(ASKS_SWEEP_MS < ASK_TIMEOUT_MS && LANE_RETRY_MS < ASK_TIMEOUT_MS);
const _: () = assert!(TOPICS_LISTED_DEFAULT <= TOPICS_LISTED_MAX);

/// Entries of all lanes towards one shard, roughly.
pub const LANE_ENTRIES_PER_SHARD: usize = 16 * 1024;
/// Entries of one lane, at least and at most.
pub const LANE_ENTRIES_MIN: usize = 64;
/// See [`LANE_ENTRIES_MIN`].
pub const LANE_ENTRIES_MAX: usize = 2048;
/// How long a shard waits before it looks again whether a full lane has room.
pub const STALL_RETRY_MS: u64 = 1;
/// How long a shard waits after a failed accept before it accepts again.
pub const ACCEPT_RETRY_MS: u64 = 100;
/// Requests or responses that a shard takes from one lane in one turn.
pub const LANE_BUDGET: usize = 512;
/// Timers that a shard expires in one turn.
pub const TIMER_BUDGET: usize = 4096;
/// Messages that a shard hands to subscribers in one turn, counted once for each of them.
pub const FANOUT_BUDGET: usize = 64 * 1024;
/// Messages of one topic that are staged as one batch.
pub const BATCH_MESSAGES_MAX: usize = 512;
/// Octets of such a batch, unless its first message alone is longer.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Octets that may wait for their fan-out in one shard. Above it the shard takes no responses, the
/// lanes to it fill, and homes and publishers slow down.
pub const STAGED_BYTES_MAX: usize = 8 << 20;
/// Octets of it that may share memory with what has been fanned out already; the rest is copied.
pub const STAGED_SHARED_BYTES_MAX: usize = 64 * 1024;
/// Octets of a piece of memory that parcels and frames are cut from.
pub const PRESS_PIECE_BYTES: usize = 16 * 1024;
/// Octets of a parcel or frame that is cut from one; what is longer has memory of its own.
pub const PRESS_CUT_BYTES_MAX: usize = 4 * 1024;
/// Such pieces that one shard keeps.
pub const PRESS_PIECES: usize = 16;
const _: () = assert!(PRESS_CUT_BYTES_MAX <= PRESS_PIECE_BYTES);
const _: () = assert!(STAGED_SHARED_BYTES_MAX <= STAGED_BYTES_MAX);
/// Connections that a shard closes in one turn of a drain.
pub const DRAIN_BUDGET: usize = 1024;
/// Descriptors that a shard closes in one turn. Closing a socket costs the kernel several times
/// what anything else does: a crowd that leaves at once is closed by and by, and newcomers, and who
/// talks, are served in between.
pub const CLOSE_BUDGET: usize = 16;
/// Connections that a server tells to go in a second of its drain, by default.
pub const DRAIN_RATE_PER_S: u32 = 5_000;
/// How long a drain waits for the delivery of what came before it.
pub const DRAIN_BACKLOG_MS: u64 = 1_000;
/// How long handshakes that are under way when a drain begins may take, where all others are told
/// to go sooner than that.
pub const DRAIN_HANDSHAKE_MS: u64 = 1_000;
/// Parts of an interval between two of them by which one may be late.
pub const DRAIN_JITTER_PARTS: u64 = 1024;
/// How often the service manager is told how the server is; more often while it drains.
pub const NOTIFY_STATUS_MS: u64 = 10_000;
/// How often it is looked whether all shards have turned; more often for a short watchdog.
pub const NOTIFY_LOOK_MS: u64 = 1_000;
/// The same until the first turn of all.
pub const NOTIFY_START_LOOK_MS: u64 = 10;
/// Causes of log events that are told apart.
pub const LOG_CAUSES_MAX: usize = 256;
/// Events of one cause that are logged in a window of time.
pub const LOG_EVENTS_PER_WINDOW: u32 = 20;
/// Such a window.
pub const LOG_WINDOW_MS: u64 = 10_000;
/// How often it is looked whether the log should tell of what shards have counted.
pub const NOTICE_LOOK_MS: u64 = 1_000;
/// Between two lines of the log about the same.
pub const NOTICE_PAUSE_MS: u64 = 10_000;
/// What a stop may take beyond the drain.
pub const STOP_MARGIN_MS: u64 = 10_000;
/// How often the progress of a drain is logged.
pub const DRAIN_REPORT_MS: u64 = 1_000;
/// A shard that begins a turn so much later than it wanted to gives its peers more time.
pub const STALL_MS_MIN: u64 = 500;
/// Interval of housekeeping: `on_tick`, expiry of idle topics, gauges.
pub const HOUSEKEEPING_MS: u64 = 1000;
/// Topics that one housekeeping forgets.
pub const TOPIC_EXPIRY_BUDGET: usize = 1024;
/// How long a topic that nobody subscribes to keeps its sequence after its last message.
pub const TOPIC_IDLE_MS_MAX: u64 = 5 * 60 * 1000;
/// Topics of one connection, by default.
pub const SUBSCRIPTIONS_MAX: usize = 128;
/// Jobs of one shard that are under way at a time.
pub const JOBS_MAX: usize = 1024;
/// Jobs of all shards that run at the same time; the others wait.
pub const JOBS_RUNNING_MAX: usize = 64;
/// How long jobs may still run when all shards have ended.
pub const JOBS_GRACE_MS: u64 = 2_000;
/// Octets of a token.
pub const TOKEN_BYTES_MAX: usize = 160;
/// Octets of the `id` of a JSON request, as it is written.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// What a subscription's token holds beside the `id`: one octet, and maybe a position.
pub const TOKEN_HEADER_BYTES_MAX: usize = 1 + 8 + 8;
/// Bad requests in a row after which a client is closed: it does not speak the protocol.
pub const BAD_REQUESTS_MAX: u8 = 64;

const _: () = assert!(LANE_ENTRIES_MIN <= LANE_ENTRIES_MAX);
const _: () = assert!(REQUEST_ID_BYTES_MAX + TOKEN_HEADER_BYTES_MAX <= TOKEN_BYTES_MAX);

/// Octets that may wait for all connections together, by default.
pub const EGRESS_TOTAL_BYTES_MAX: usize = 512 << 20;
/// Octets of unfinished messages of all connections together, by default.
pub const INGRESS_TOTAL_BYTES_MAX: usize = 128 << 20;
/// Different topics of the whole server, by default.
pub const TOPICS_MAX: usize = 100_000;
/// What a message may have around its data: topic, sender, names of fields.
pub const ENVELOPE_BYTES_MAX: usize = 4096;

/// Octets of a configuration file.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Octets of an overview that `ringwire top` takes.
pub const OVERVIEW_BYTES_MAX: usize = 8 << 20;
/// How long it waits for one.
pub const TOP_PATIENCE_MS: u64 = 5_000;
/// Octets of a message that the command's own client sends or takes.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Octets that it reads at a time; a response head has to fit.
pub const CLIENT_READ_BYTES: usize = 16 * 1024;
/// How long its connecting and its handshake may take, and a write that the server does not take.
pub const CLIENT_TIMEOUT_MS: u64 = 10_000;
/// How long its closing handshake may take.
pub const CLIENT_CLOSE_TIMEOUT_MS: u64 = 2_000;

const _: () = assert!(CLIENT_READ_BYTES >= HEAD_BYTES_MAX);

/// Entries of a load generator's submission queue.
pub const BENCH_SQ_ENTRIES: u32 = 1024;
/// Entries of its completion queue.
pub const BENCH_CQ_ENTRIES: u32 = 4096;
/// Buffers of its receive pool. The pool is small enough to stay in a core's own cache.
pub const BENCH_RECV_BUFFERS: u16 = 128;
/// Octets of one of them.
pub const BENCH_RECV_BUFFER_BYTES: u32 = 8192;
/// Octets of the arena for what one turn sends.
pub const BENCH_ARENA_BYTES: usize = 4 << 20;
/// Octets that may wait for one connection of it.
pub const BENCH_EGRESS_BYTES_MAX: usize = 16 << 20;
/// Octets of a message that it sends: one has to fit, with what is wrapped around it.
pub const BENCH_MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Octets that may wait for all connections of one ring of it.
pub const BENCH_EGRESS_TOTAL_BYTES_MAX: usize = 1 << 30;
const _: () = assert!(2 * BENCH_MESSAGE_BYTES_MAX <= BENCH_EGRESS_BYTES_MAX);

/// Connections that it opens at a time, all rings together.
pub const BENCH_OPENING_MAX: u32 = 1024;
/// How long a server may take to end the stream after the closing handshake.
pub const BENCH_LINGER_MS: u64 = 1_000;
/// Between the order to send and the first message: all rings have heard of it by then.
pub const BENCH_LEAD_MS: u64 = 100;
/// A run ends early when nobody has come in for so long and as many as may at a time have failed.
pub const BENCH_HOPELESS_MS: u64 = 1_000;
/// How often one of its rings looks how far the run is, at least.
pub const BENCH_LOOK_MS: u64 = 50;
/// How long what was due may be sent when nothing more becomes due, and how long nothing may arrive
/// before what has not is given up, unless the plan has less.
pub const BENCH_DRAIN_TIMEOUT_MS: u64 = 10_000;
/// How long it waits in all for what arrives slowly.
pub const BENCH_SETTLE_MAX_MS: u64 = 60_000;
/// How long a ring may take to say that it sends nothing more: it is in the middle of a turn.
pub const BENCH_SILENT_MAX_MS: u64 = 60_000;
const _: () = assert!(2 * BENCH_LOOK_MS <= BENCH_DRAIN_TIMEOUT_MS);
const _: () = assert!(BENCH_DRAIN_TIMEOUT_MS <= BENCH_SETTLE_MAX_MS);
/// How long opening may go on without any progress, beyond what the plan allows one connection.
pub const BENCH_STALL_TIMEOUT_MS: u64 = 30_000;
/// Numbers that a fan-out checks: subscribers times publishers.
pub const BENCH_STREAMS_MAX: u64 = 1 << 28;
