//! What is measured: one row for each kind of load, and what the load generator is told for it.

use std::fmt::Write;

use ringwire::bench::report::units::grouped;

/// What a row is about, and which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Messages echoed per second.
    Echoes,
    /// Messages delivered per second.
    Deliveries,
    /// Connections opened per second.
    Handshakes,
    /// How long a message takes there and back.
    Latency,
    /// Memory of the server for each connection.
    Memory,
}

/// What the load generator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Each connection keeps so many messages on their way.
    Echo { connections: u32, bytes: u32, in_flight: u32 },
    /// Messages at a fixed rate: half of what Ringwire reaches in another row.
    Scheduled { connections: u32, bytes: u32, half_of: &'static str },
    /// Subscribers of one topic, the first of which publish, with one message on its way each.
    Fanout { publishers: u32, subscribers: u32, bytes: u32 },
    /// Connections that are being opened at a time.
    Handshake { in_flight: u32 },
    /// Connections that are subscribed and held.
    Idle { connections: u32 },
}

/// See the module's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) load: Load,
    /// Whether `cargo test` tries it.
    pub(crate) is_quick: bool,
}

/// The part of the idle connections that is measured first.
const BASE_PART: u32 = 5;
/// The least that a message of JSON can have: its stamp is written in hexadecimal digits.
const JSON_BYTES_MIN: u32 = 32;

/// The row whose rate the scheduled one halves.
const MAXIMUM: &str = "echo-64";

/// All rows, in the order of the document.
pub(crate) const ROWS: &[Row] = &[
    Row {
        id: MAXIMUM,
        title: "Echo: 64 connections",
        load: Load::Echo { connections: 64, bytes: 64, in_flight: 1 },
        is_quick: true,
    },
    Row {
        id: "echo-1000",
        title: "Echo: 1,000 connections",
        load: Load::Echo { connections: 1000, bytes: 64, in_flight: 1 },
        is_quick: false,
    },
    Row {
        id: "echo-pipelined",
        title: "Echo: 16 messages in flight",
        load: Load::Echo { connections: 64, bytes: 64, in_flight: 16 },
        is_quick: false,
    },
    Row {
        id: "echo-4000",
        title: "Echo: 4,000 bytes",
        load: Load::Echo { connections: 64, bytes: 4000, in_flight: 1 },
        is_quick: false,
    },
    Row {
        id: "fanout-20",
        title: "Fan-out: 20 to 20",
        load: Load::Fanout { publishers: 20, subscribers: 20, bytes: 20 },
        is_quick: true,
    },
    Row {
        id: "fanout-100",
        title: "Fan-out: 100 to 100",
        load: Load::Fanout { publishers: 100, subscribers: 100, bytes: 20 },
        is_quick: false,
    },
    Row {
        id: "fanout-1000",
        title: "Fan-out: 1,000 to 1,000",
        load: Load::Fanout { publishers: 1000, subscribers: 1000, bytes: 20 },
        is_quick: false,
    },
    Row {
        id: "fanout-one",
        title: "Fan-out: one to 10,000",
        load: Load::Fanout { publishers: 1, subscribers: 10_000, bytes: 20 },
        is_quick: false,
    },
    Row {
        id: "handshakes",
        title: "Handshakes",
        load: Load::Handshake { in_flight: 64 },
        is_quick: true,
    },
    Row {
        id: "open-loop",
        title: "Latency at half the maximum rate",
        load: Load::Scheduled { connections: 64, bytes: 64, half_of: MAXIMUM },
        is_quick: true,
    },
    Row {
        id: "idle",
        title: "Memory of an idle connection",
        load: Load::Idle { connections: 10_000 },
        is_quick: true,
    },
];

/// The row of this name.
pub(crate) fn row(id: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.id == id)
}

/// Where a run goes, for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) port: u16,
    /// With the slash that it begins with.
    pub(crate) path: &'a str,
    /// `plain` or `ringwire`.
    pub(crate) protocol: &'a str,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    /// For scheduled loads.
    pub(crate) per_second: Option<f64>,
}

impl Row {
    pub(crate) fn figure(&self) -> Figure {
        match self.load {
            Load::Echo { .. } => Figure::Echoes,
            Load::Scheduled { .. } => Figure::Latency,
            Load::Fanout { .. } => Figure::Deliveries,
            Load::Handshake { .. } => Figure::Handshakes,
            Load::Idle { .. } => Figure::Memory,
        }
    }

    /// The same with so few connections that it takes no time.
    pub(crate) fn tiny(&self) -> Row {
        let load = match self.load {
            Load::Echo { bytes, in_flight, .. } => Load::Echo { connections: 2, bytes, in_flight },
            Load::Scheduled { bytes, half_of, .. } => {
                Load::Scheduled { connections: 2, bytes, half_of }
            }
            Load::Fanout { bytes, .. } => Load::Fanout { publishers: 2, subscribers: 3, bytes },
            Load::Handshake { .. } => Load::Handshake { in_flight: 1 },
            Load::Idle { .. } => Load::Idle { connections: 20 },
        };
        Row { load, ..*self }
    }

    /// What is done, for the reader.
    pub(crate) fn what(&self) -> String {
        let said = |count: u32| grouped(count.into());
        match self.load {
            Load::Echo { connections, bytes, in_flight } => format!(
                "{} connections, each with {} of {} bytes on {} way; every message comes back.",
                said(connections),
                if in_flight == 1 {
                    "one binary message".into()
                } else {
                    format!("{in_flight} binary messages")
                },
                said(bytes),
                if in_flight == 1 { "its" } else { "their" },
            ),
            Load::Scheduled { connections, bytes, half_of } => format!(
                "{} connections, binary messages of {} bytes at half the rate that Ringwire \
                 reaches in `{half_of}`, the same for all servers. A message is sent when its time \
                 has come, whatever has come back, and its latency counts from that time.",
                said(connections),
                said(bytes),
            ),
            Load::Fanout { publishers, subscribers, bytes } => format!(
                "{} subscribers of one topic, {} of which publish{} messages of {bytes} bytes, \
                 each with one on its way; every message goes to every subscriber. Counted are \
                 deliveries.",
                said(subscribers),
                if publishers == 1 { "one".into() } else { said(publishers) },
                if publishers == 1 { "es" } else { "" },
            ),
            Load::Handshake { in_flight } => format!(
                "Connections are opened, {in_flight} at a time, and reset as soon as the handshake \
                 is done."
            ),
            Load::Idle { connections } => format!(
                "{} connections, subscribed to one topic and then left alone. Resident memory of \
                 the server's process for each: user space, without what the kernel holds for the \
                 socket. It is the difference to the same server with {} connections, so what a \
                 server needs only once is not in it, and it is measured without huge pages, which \
                 would be coarser than what is measured.",
                said(connections),
                said(connections / BASE_PART),
            ),
        }
    }

    /// What is measured as well and taken off, so that what a server needs only once is not
    /// counted: the same with a part of the connections.
    pub(crate) fn base(&self) -> Option<Row> {
        match self.load {
            Load::Idle { connections } => {
                let load = Load::Idle { connections: (connections / BASE_PART).max(1) };
                Some(Row { load, ..*self })
            }
            Load::Echo { .. }
            | Load::Scheduled { .. }
            | Load::Fanout { .. }
            | Load::Handshake { .. } => None,
        }
    }

    /// Arguments of `ringwire bench`.
    pub(crate) fn arguments(&self, run: &Run<'_>) -> Vec<String> {
        let mut line = match self.load {
            Load::Echo { connections, bytes, in_flight } => {
                format!("echo --connections {connections} --bytes {bytes} --in-flight {in_flight}")
            }
            Load::Scheduled { connections, bytes, .. } => {
                let rate = run.per_second.unwrap_or(1.0);
                format!("echo --connections {connections} --bytes {bytes} --rate {rate:.0}")
            }
            Load::Fanout { publishers, subscribers, bytes } => {
                let bytes =
                    if run.protocol == "ringwire" { bytes.max(JSON_BYTES_MIN) } else { bytes };
                format!(
                    "fanout --publishers {publishers} --topics 1 --subscribers {subscribers} \
                 --bytes {bytes} --in-flight 1 --protocol {}",
                    run.protocol
                )
            }
            Load::Handshake { in_flight } => {
                format!("handshake --in-flight {in_flight} --close reset")
            }
            Load::Idle { connections } => format!(
                "idle --connections {connections} --topics 1 --protocol {} --hold {:.0}ms",
                run.protocol,
                run.seconds * 1e3
            ),
        };
        if !matches!(self.load, Load::Idle { .. }) {
            let (seconds_ms, warmup_ms) = (run.seconds * 1e3, run.warmup * 1e3);
            write!(line, " --duration {seconds_ms:.0}ms --warmup {warmup_ms:.0}ms")
                .expect("a String takes everything");
        }
        line.push_str(" --rings 1 --quiet");
        // More addresses than one, so that ports don't run out.
        write!(line, " ws://127.0.0.1-127.0.0.20:{}{}", run.port, run.path)
            .expect("a String takes everything");
        line.split_whitespace().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_what_is_halved_is_a_row_before() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(!ROWS[..at].iter().any(|other| other.id == row.id), "{}", row.id);
            assert_eq!(super::row(row.id), Some(row));
            if let Load::Scheduled { half_of, .. } = row.load {
                assert!(ROWS[..at].iter().any(|other| other.id == half_of));
            }
        }
    }

    #[test]
    fn the_generator_is_told_what_the_reader_is_told() {
        let run = Run {
            port: 9001,
            path: "/ws",
            protocol: "plain",
            seconds: 2.5,
            warmup: 0.5,
            per_second: Some(1234.5),
        };
        let line = |id| super::row(id).expect("a row").arguments(&run).join(" ");
        let common = "--duration 2500ms --warmup 500ms --rings 1 --quiet \
                      ws://127.0.0.1-127.0.0.20:9001/ws";
        assert_eq!(
            line("echo-pipelined"),
            format!("echo --connections 64 --bytes 64 --in-flight 16 {common}")
        );
        assert_eq!(
            line("open-loop"),
            format!("echo --connections 64 --bytes 64 --rate 1234 {common}")
        );
        assert_eq!(
            line("fanout-one"),
            format!(
                "fanout --publishers 1 --topics 1 --subscribers 10000 --bytes 20 --in-flight 1 \
                 --protocol plain {common}"
            )
        );
        let json = Run { protocol: "ringwire", ..run };
        let json = super::row("fanout-one").expect("a row").arguments(&json).join(" ");
        assert!(json.contains("--bytes 32 --in-flight 1 --protocol ringwire"), "{json}");
        assert!(line("idle").starts_with("idle --connections 10000 --topics 1"));
        assert!(!line("idle").contains("--duration"), "it has a --hold instead");
        for row in ROWS {
            assert!(row.what().ends_with('.') && !row.what().contains("  "), "{}", row.what());
        }
    }
}
