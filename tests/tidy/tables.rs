//! What is allowed: layers, unsafe files, sizes, words. Changing a table is a design decision; the
//! checks only compare.

/// Columns of a line of Rust.
pub(crate) const COLUMNS_MAX: usize = 100;
/// Lines of a file in `src`.
pub(crate) const FILE_LINES_MAX: usize = 500;
/// Lines of code that may stand between a SAFETY comment and its `unsafe` (a statement's head).
pub(crate) const SAFETY_LINES_ABOVE: usize = 4;
/// Words below which a SAFETY comment can't be a reason.
pub(crate) const SAFETY_WORDS_MIN: usize = 4;

/// Stands in the table of edges for the pure part of `ring`: never the driver.
const VOCABULARY: &str = "the vocabulary of ring";

/// Which module may import what, as prefixes of paths below `crate::`. Its own inside is always
/// allowed.
const EDGES: &[(&str, &[&str])] = &[
    // 0: knows nothing
    ("limits", &[]),
    ("base", &["limits"]),
    // 1: the protocol and the kernel do not know each other
    ("ws", &["limits", "base"]),
    ("ring", &["limits", "base"]),
    // 2: pure
    ("conn", &["limits", "base", "ws", VOCABULARY, "pubsub"]),
    ("pubsub", &["limits", "base"]),
    ("metrics", &["limits", "base", "ws"]),
    // 3: the event loop, and what runs on it
    ("handler", &["limits", "base", "ws", VOCABULARY, "conn", "pubsub", "metrics", "shard::api"]),
    // `sim` is there for tests only
    ("shard", &["limits", "base", "ws", VOCABULARY, "conn", "pubsub", "metrics", "handler", "sim"]),
    // `sim` is there for tests only
    ("session", &["limits", "base", "ws::close", "pubsub", "metrics", "handler", "sim"]),
    // 4: reaches shards only by envelopes and their doorbell
    (
        "control",
        &[
            "limits",
            "base",
            "ws::close",
            VOCABULARY,
            "ring::doorbell",
            "pubsub",
            "metrics",
            "handler",
            "shard",
            "session",
        ],
    ),
    // 5: puts it all together
    (
        "server",
        &[
            "limits", "base", "ws", "ring", "conn", "pubsub", "metrics", "handler", "shard",
            "session", "control",
        ],
    ),
    ("bench", &["limits", "base", "ws", "ring", "conn"]),
    (
        "cli",
        &[
            "limits",
            "base",
            "ws",
            "ring::probe",
            "ring::ListenAddr",
            "ring::Listener",
            "ring::take_inherited",
            "pubsub",
            "metrics",
            "handler",
            "session",
            "control",
            "server",
            "bench",
        ],
    ),
    (
        "sim",
        &[
            "limits", "base", "ws", VOCABULARY, "conn", "pubsub", "metrics", "handler", "shard",
            "session",
        ],
    ),
    ("main", &["cli"]),
];

/// What the pure layers see of `ring`: its enums and codecs, no syscall.
const RING_VOCABULARY: &[&str] = &[
    "ring::completion",
    "ring::op",
    "ring::staging",
    "ring::user_data",
    "ring::AcceptFault",
    "ring::Completion",
    "ring::FileSlot",
    "ring::KernelFault",
    "ring::ListenerId",
    "ring::Op",
    "ring::OpQueue",
    "ring::PeerAddr",
    "ring::Piece",
    "ring::RecvEnd",
    "ring::SegmentId",
    "ring::ShutdownHow",
    "ring::Staging",
];

/// True when `name` is a module of the table.
pub(crate) fn is_module(name: &str) -> bool {
    EDGES.iter().any(|(module, _)| *module == name)
}

/// What `module` may import, as path prefixes; `None` when the table does not know it.
pub(crate) fn edges_of(module: &str) -> Option<Vec<&'static str>> {
    let (_, edges) = EDGES.iter().find(|(name, _)| *name == module)?;
    let spelled_out = |edge: &&'static str| match *edge {
        VOCABULARY => RING_VOCABULARY.to_vec(),
        prefix => vec![prefix],
    };
    Some(edges.iter().flat_map(spelled_out).collect())
}

/// Files of `src` that may hold `unsafe`: those that talk to the kernel.
pub(crate) const UNSAFE_SRC_FILES: &[&str] = &[
    "src/ring/accept.rs",
    "src/ring/buf_ring.rs",
    "src/ring/doorbell.rs",
    "src/ring/driver.rs",
    "src/ring/fast_send.rs",
    "src/ring/in_flight.rs",
    "src/ring/inherited.rs",
    "src/ring/probe/gather.rs",
    "src/ring/queues.rs",
    "src/ring/syscall.rs",
];

/// Files outside of `src` that may hold `unsafe` (a counting allocator is an `unsafe impl`).
pub(crate) const UNSAFE_OTHER_FILES: &[&str] = &[
    "benches/peer_address.rs",
    "benches/peers/src/bin/floor-uring/ring.rs",
    "tests/allocations/counting.rs",
    "tests/faults/tun.rs",
    "tests/probe.rs",
];

/// Files of `src` that may be long, each with its reason.
pub(crate) const LONG_FILES: &[(&str, &str)] = &[];

/// Marks of unfinished work. Written in two halves so that this file has none.
pub(crate) const LEFTOVERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!"),
    concat!("unimplemented", "!"),
    concat!("dbg", "!"),
];

/// Where somebody's checkout, home or build happened to be.
pub(crate) const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/tmp/", "wt"),
    concat!("/tmp/", "target"),
];

/// Hosts of registries: clients of registries find them by their own configuration.
pub(crate) const REGISTRY_HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("npm", "js."),
    concat!("deb.debian", ".org"),
];

/// How Cargo itself names the origin of every package in its lock file.
pub(crate) const LOCKFILE_SOURCE: &str =
    concat!("registry+https://github.com/rust-lang/crates", ".io-index");
