//! From the arguments of `ringwire bench` to a plan: addresses resolved, numbers held against each
//! other and against what this host allows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::CliError;
use super::bench::{Close, CommonArgs, Protocol, ScenarioArgs, WindowArgs};
use super::url::{Place, Url};
use crate::bench::stamp::Form;
use crate::bench::{Dialect, Fanout, Plan, Work};
use crate::limits::{BENCH_MESSAGE_BYTES_MAX, BENCH_STREAMS_MAX};

/// Addresses that a range may have.
const ADDRESSES_MAX: u32 = 65_536;

/// The plan of a scenario, and what all scenarios share.
pub(super) fn of(scenario: &ScenarioArgs) -> Result<(&CommonArgs, Plan), CliError> {
    let (common, plan) = match scenario {
        ScenarioArgs::Idle(args) => {
            let window = WindowArgs { warmup: Duration::ZERO, duration: args.hold };
            let work = Work::Idle { topics: args.topics };
            let mut plan = base(&args.common, window, args.connections, work)?;
            plan.dialect = args.protocol.into();
            (&args.common, plan)
        }
        ScenarioArgs::Handshake(args) => {
            let work = Work::Handshake { reset: args.close == Close::Reset };
            (&args.common, base(&args.common, args.window, args.in_flight, work)?)
        }
        ScenarioArgs::Echo(args) => {
            let form = if args.text { Form::Text } else { Form::Binary };
            check_bytes(args.bytes, form)?;
            let pace = args.pace.pace()?;
            let work = Work::Echo { form, bytes: args.bytes, pace };
            (&args.common, base(&args.common, args.window, args.connections, work)?)
        }
        ScenarioArgs::Fanout(args) => {
            let dialect = Dialect::from(args.protocol);
            check_bytes(args.bytes, dialect.form())?;
            let shape = Fanout {
                publishers: args.publishers,
                topics: args.topics,
                subscribers: args.subscribers,
                bytes: args.bytes,
                pace: args.pace.pace()?,
            };
            let connections = check_shape(&shape)?;
            let mut plan = base(&args.common, args.window, connections, Work::Fanout(shape))?;
            plan.dialect = dialect;
            plan.hold = args.hold;
            (&args.common, plan)
        }
    };
    Ok((common, plan))
}

impl From<Protocol> for Dialect {
    fn from(protocol: Protocol) -> Dialect {
        match protocol {
            Protocol::Ringwire => Dialect::Ringwire,
            Protocol::Plain => Dialect::Plain,
        }
    }
}

fn base(
    common: &CommonArgs,
    window: WindowArgs,
    connections: u32,
    work: Work,
) -> Result<Plan, CliError> {
    let mut targets = Vec::new();
    let mut first: Option<Url> = None;
    for text in &common.urls {
        let (url, found) = addresses(text)?;
        targets.extend(found);
        if targets.len() > ADDRESSES_MAX as usize {
            return Err(CliError::usage(format!("more than {ADDRESSES_MAX} addresses")));
        }
        if let Some(first) = &first
            && first.target != url.target
        {
            return Err(CliError::usage(format!(
                "{} and {} differ: all URLs of a run have the same path",
                first.target, url.target
            )));
        }
        first.get_or_insert(url);
    }
    let url = first.ok_or_else(|| CliError::usage("a URL is missing"))?;
    let rings = u32::from(common.rings);
    if rings > connections {
        return Err(CliError::usage(format!(
            "{rings} rings are more than {connections} connections; take --rings {connections}"
        )));
    }
    check_table(connections.div_ceil(rings), connections)?;
    let sources = common.source.as_deref().map_or(Ok(Vec::new()), range)?;
    check_families(&sources, &targets)?;
    Ok(Plan {
        work,
        connections,
        rings: common.rings,
        cpus: common.pin.clone(),
        targets,
        sources,
        urls: common.urls.clone(),
        host: url.host,
        path: url.target,
        dialect: Dialect::Plain,
        deflate: common.deflate,
        connect_rate: common.connect_rate,
        hold: Duration::ZERO,
        warmup: window.warmup,
        duration: window.duration,
        timeout: common.timeout,
        server_pid: common.server_pid,
    })
}

/// A table of direct descriptors may not be larger than RLIMIT_NOFILE.
fn check_table(per_ring: u32, connections: u32) -> Result<(), CliError> {
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .map_err(CliError::runtime)?;
    // Sockets are ordinary descriptors while they are being connected, a few at a time.
    if u64::from(per_ring) <= soft {
        return Ok(());
    }
    let rings = u64::from(connections).div_ceil(soft.max(1));
    Err(CliError::usage(format!(
        "{per_ring} connections per ring are more than the {soft} descriptors that a process may \
         have (ulimit -n); take --rings {rings} or more"
    )))
}

/// A socket of one family can't connect to an address of the other.
fn check_families(sources: &[IpAddr], targets: &[SocketAddr]) -> Result<(), CliError> {
    // All addresses of a range are IPv4.
    let Some(source) = sources.first() else { return Ok(()) };
    let Some(target) = targets.iter().find(|target| target.is_ipv4() != source.is_ipv4()) else {
        return Ok(());
    };
    let (mine, example, its, url) = if source.is_ipv4() {
        ("IPv4", "::1", "IPv6", "ws://127.0.0.1:")
    } else {
        ("IPv6", "127.0.0.1", "IPv4", "ws://[::1]:")
    };
    let port = target.port();
    Err(CliError::usage(format!(
        "--source {source} is {mine} and the server's {target} is {its}: take an {its} source, as \
         in --source {example}, or an {mine} address of the server, as in {url}{port}/"
    )))
}

fn check_bytes(bytes: usize, form: Form) -> Result<(), CliError> {
    let (min, max) = (form.bytes_min(), BENCH_MESSAGE_BYTES_MAX);
    if (min..=max).contains(&bytes) {
        return Ok(());
    }
    let why = "a message carries its number, its time and a check";
    Err(CliError::usage(format!("--bytes {bytes} is not between {min} and {max}: {why}")))
}

fn check_shape(shape: &Fanout) -> Result<u32, CliError> {
    let most = shape.publishers_per_topic_max();
    if most > shape.subscribers {
        return Err(CliError::usage(format!(
            "{most} publishers of a topic are more than its {} subscribers, who they are among",
            shape.subscribers
        )));
    }
    let connections = u64::from(shape.topics) * u64::from(shape.subscribers);
    let streams = connections * u64::from(most);
    if streams > BENCH_STREAMS_MAX {
        return Err(CliError::usage(format!(
            "{streams} streams (subscribers times publishers of their topic) are more than \
             {BENCH_STREAMS_MAX}, which can be checked"
        )));
    }
    u32::try_from(connections).map_err(|_| CliError::usage("too many subscribers"))
}

/// A URL and the addresses that it stands for.
fn addresses(text: &str) -> Result<(Url, Vec<SocketAddr>), CliError> {
    if let Some((scheme, rest)) = text.split_once("://")
        && let Some((hosts, after)) = rest.split_once(':')
        && scheme.eq_ignore_ascii_case("ws")
        && hosts.contains('-')
        && let Ok(ips) = range(hosts)
    {
        let url: Url = format!("{scheme}://{}:{after}", ips[0]).parse().map_err(CliError::usage)?;
        let port = match &url.place {
            Place::Tcp(_, port) => *port,
            Place::Unix(_) => unreachable!("it has an address"),
        };
        return Ok((url, ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()));
    }
    let url: Url = text.parse().map_err(CliError::usage)?;
    let addr = match &url.place {
        Place::Tcp(host, port) => (host.as_str(), *port).to_socket_addrs(),
        Place::Unix(_) => {
            return Err(CliError::usage(
                "the load generator connects by TCP: write ws://host:port",
            ));
        }
    };
    let unknown = |error| CliError::usage(format!("{text}: {error}"));
    let addr = addr.map_err(unknown)?.next();
    let addr = addr.ok_or_else(|| CliError::usage(format!("{text}: it has no address")))?;
    Ok((url, vec![addr]))
}

/// `IP` or `IP-IP`, both ends included.
fn range(text: &str) -> Result<Vec<IpAddr>, CliError> {
    let wrong = || CliError::usage(format!("{text:?} is no address and no range of IPv4 ones"));
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(vec![ip]);
    }
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let first = u32::from(first.parse::<Ipv4Addr>().map_err(|_| wrong())?);
    let last = u32::from(last.parse::<Ipv4Addr>().map_err(|_| wrong())?);
    if last < first || last - first >= ADDRESSES_MAX {
        return Err(CliError::usage(format!(
            "{text:?} is no range of up to {ADDRESSES_MAX} addresses from low to high"
        )));
    }
    Ok((first..=last).map(|ip| IpAddr::V4(Ipv4Addr::from(ip))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Pace;

    #[test]
    fn a_range_has_both_its_ends() {
        let ips = range("127.0.0.254-127.0.1.1").unwrap();
        let expected = ["127.0.0.254", "127.0.0.255", "127.0.1.0", "127.0.1.1"];
        assert_eq!(ips, expected.map(|ip| ip.parse::<IpAddr>().unwrap()));
        assert_eq!(range("::1").unwrap().len(), 1);
        for wrong in ["127.0.0.2-127.0.0.1", "1.2.3.4-", "10.0.0.0-10.255.0.0", "a-b", ""] {
            assert!(range(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_url_with_a_range_stands_for_all_of_it() {
        let (url, addrs) = addresses("ws://127.0.0.1-127.0.0.3:9001/ws?a=b").unwrap();
        assert_eq!(url.target, "/ws?a=b");
        let expected = ["127.0.0.1:9001", "127.0.0.2:9001", "127.0.0.3:9001"];
        assert_eq!(addrs, expected.map(|addr| addr.parse().unwrap()));
        let (_, addrs) = addresses("ws://[::1]:80/").unwrap();
        assert_eq!(addrs, ["[::1]:80".parse().unwrap()]);
        assert!(addresses("unix://127.0.0.1-127.0.0.2:1/").is_err());
        assert!(addresses("unix:/run/x").is_err() && addresses("wss://127.0.0.1/").is_err());
    }

    #[test]
    fn a_source_of_another_family_is_refused_with_what_to_type() {
        let ips = |text: &str| range(text).unwrap();
        let addrs = |text: &[&str]| -> Vec<SocketAddr> {
            text.iter().map(|addr| addr.parse().unwrap()).collect()
        };
        let (four, six) = (addrs(&["127.0.0.1:80"]), addrs(&["[::1]:80"]));
        assert!(check_families(&ips("127.0.0.2-127.0.0.3"), &four).is_ok());
        assert!(check_families(&ips("::2"), &six).is_ok());
        assert!(check_families(&[], &addrs(&["127.0.0.1:80", "[::1]:80"])).is_ok());
        let said = |sources: &str, targets: &[SocketAddr]| {
            check_families(&ips(sources), targets).unwrap_err().to_string()
        };
        let refused = said("127.0.0.2-127.0.0.3", &[four[0], six[0]]);
        assert!(refused.contains("--source ::1") && refused.contains("ws://127.0.0.1:80/"));
        let refused = said("::1", &four);
        assert!(refused.contains("--source 127.0.0.1") && refused.contains("ws://[::1]:80/"));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_a_reason() {
        assert!(check_bytes(15, Form::Binary).is_err() && check_bytes(16, Form::Binary).is_ok());
        assert!(check_bytes(31, Form::Text).is_err() && check_bytes(32, Form::Text).is_ok());
        let pace = Pace::Closed { in_flight: 1 };
        let shape = |publishers, topics, subscribers| Fanout {
            publishers,
            topics,
            subscribers,
            bytes: 64,
            pace,
        };
        assert_eq!(check_shape(&shape(100, 1, 100)).unwrap(), 100);
        assert_eq!(check_shape(&shape(10_000, 10_000, 100)).unwrap(), 1_000_000);
        assert!(check_shape(&shape(101, 1, 100)).is_err());
        assert!(check_shape(&shape(100_000, 1, 100_000)).is_err());
    }
}
