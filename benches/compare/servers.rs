//! Who is compared: Ringwire in its forms, the floors, the peers, and whatever else is named.

use super::args::Plan;
use super::rows::Load;

/// The server that all others are held against.
pub(crate) const OURS: &str = "ringwire";
/// Ringwire's own protocol, where it applies.
pub(crate) const OURS_JSON: &str = "ringwire-serve";
/// How the floors' names begin.
const FLOOR: &str = "floor-";
/// Connections that Ringwire is told to expect: more than any row opens.
const CONNECTIONS_MAX: u32 = 12_000;

/// How a server is started for some load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// Words, in which `{port}` is replaced.
    pub(crate) words: Vec<String>,
    /// Where clients connect.
    pub(crate) path: &'static str,
    /// What the load generator speaks above WebSocket.
    pub(crate) protocol: &'static str,
}

/// One that is compared.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    /// What it is, for the reader.
    pub(crate) label: String,
    /// For echoes and handshakes.
    echo: Option<Launch>,
    /// For everything with topics.
    relay: Option<Launch>,
}

impl Server {
    /// A server that does both on plain WebSockets, as all peers do.
    pub(crate) fn plain(name: &str, words: Vec<String>) -> Server {
        let launch = Launch { words, path: "/", protocol: "plain" };
        let (echo, relay) = (Some(launch.clone()), Some(launch));
        Server { name: name.to_owned(), label: name.to_owned(), echo, relay }
    }

    /// How to start it for this load; `None` when it does nothing of the kind.
    pub(crate) fn launch(&self, load: &Load) -> Option<&Launch> {
        match load {
            Load::Echo { .. } | Load::Scheduled { .. } | Load::Handshake { .. } => {
                self.echo.as_ref()
            }
            Load::Fanout { .. } | Load::Idle { .. } => self.relay.as_ref(),
        }
    }
}

/// Whether a server of this name is a floor.
pub(crate) fn is_floor(name: &str) -> bool {
    name.starts_with(FLOOR)
}

/// Whether a server of this name is a form of Ringwire.
pub(crate) fn is_ours(name: &str) -> bool {
    name == OURS || name == OURS_JSON
}

/// Ringwire: the command for echoes, the example for the plain relay, and `serve` for its own
/// protocol.
pub(crate) fn ours(ringwire: &str, relay: &str, plan: &Plan) -> Vec<Server> {
    let engine = |command: &str| {
        let flags = format!(
            "{command} --listen 0.0.0.0:{{port}} --admin 127.0.0.1:0 --shards 1 \
             --max-connections {CONNECTIONS_MAX}"
        );
        let words = std::iter::once(ringwire).chain(flags.split_whitespace()).map(str::to_owned);
        words.collect::<Vec<_>>()
    };
    let plain = |words| Launch { words, path: "/", protocol: "plain" };
    let relay = vec![relay.to_owned(), "--port".into(), "{port}".into()];
    let json = Launch { words: engine("serve"), path: "/ws", protocol: "ringwire" };
    let mut servers = vec![
        Server {
            name: OURS.into(),
            label: "Ringwire".into(),
            echo: Some(plain(engine("echo"))),
            relay: Some(plain(relay)),
        },
        Server {
            name: OURS_JSON.into(),
            label: "ringwire serve (JSON envelopes)".into(),
            echo: None,
            relay: Some(json),
        },
    ];
    servers.retain(|server| plan.wants(&server.name));
    servers
}

/// What `benches/peers/setup.sh` has printed, and what was named on the command line.
pub(crate) fn others(setup: &str, plan: &Plan) -> Vec<Server> {
    let found = setup.lines().filter_map(|line| line.split_once('='));
    let wanted = found.filter(|(name, _)| plan.wants(name));
    let named = plan.custom.iter().map(|(name, command)| (name.as_str(), command.as_str()));
    let words = |command: &str| command.split_whitespace().map(str::to_owned).collect();
    wanted.chain(named).map(|(name, command)| Server::plain(name, words(command))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::args::{Action, action};

    fn plan(words: &[&str]) -> Plan {
        let words: Vec<String> =
            ["compare", "--bench"].iter().chain(words).map(|word| word.to_string()).collect();
        match action(&words).expect("a plan") {
            Action::Measure(plan) => plan,
            other @ (Action::List | Action::Render) => panic!("{other:?}"),
        }
    }

    #[test]
    fn servers_are_those_that_are_wanted_and_those_that_are_named() {
        let setup = "floor-uring=/x/floor-uring --port {port}\nbun=/y/bun z.js --port {port}\n";
        let names = |servers: Vec<Server>| -> Vec<String> {
            servers.into_iter().map(|server| server.name).collect()
        };
        let all = plan(&["--server", "uws=/opt/uws {port}"]);
        assert_eq!(names(others(setup, &all)), ["floor-uring", "bun", "uws"]);
        assert_eq!(names(ours("r", "e", &all)), [OURS, OURS_JSON]);
        let some = plan(&["--servers", "ringwire,floor"]);
        assert_eq!(names(others(setup, &some)), ["floor-uring"]);
        assert_eq!(names(ours("r", "e", &some)), [OURS]);
    }

    #[test]
    fn each_load_has_its_way_to_start() {
        let servers = ours("bin/ringwire", "bin/relay", &plan(&[]));
        let echo = Load::Echo { connections: 1, bytes: 64, in_flight: 1 };
        let fanout = Load::Fanout { publishers: 1, subscribers: 1, bytes: 64 };
        let words =
            |server: &Server, load| server.launch(load).map(|launch| launch.words.join(" "));
        assert!(words(&servers[0], &echo).expect("echoes").starts_with("bin/ringwire echo "));
        assert_eq!(words(&servers[0], &fanout).expect("relays"), "bin/relay --port {port}");
        assert_eq!(words(&servers[1], &echo), None);
        assert_eq!(servers[1].launch(&fanout).expect("relays").protocol, "ringwire");
    }
}
