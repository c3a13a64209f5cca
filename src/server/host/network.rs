//! Findings about TCP: its memory, its queues, its tables.

use super::facts::{Facts, Tracking};
use super::finding::{Finding, Verdict, grouped, spaced};
use super::findings::Wanted;
use super::sysctls;
use crate::control::listen::AdminAddr;
use crate::ring::ListenAddr;

const PAGE_BYTES: u64 = 4096;
/// From so many connections on buffers are to start small and not to grow large.
const MANY: u64 = 100_000;
const INITIAL_BYTES_MAX: u64 = 16_384;
const LARGEST_BYTES_MAX: u64 = 1 << 20;

/// In the order of the report.
pub(super) const CHECKS: [fn(&Facts, &Wanted) -> Finding; 9] =
    [tcp_mem, tcp_rmem, tcp_wmem, somaxconn, syn_backlog, ports, conntrack, time_wait, established];

/// The line that sets what the table says for so many connections.
fn set(name: &str, wanted: &Wanted) -> String {
    sysctls::command(name, &sysctls::value(name, wanted.connections()))
}

fn tcp_mem(facts: &Facts, wanted: &Wanted) -> Finding {
    let needed = wanted.connections();
    let why = "all buffers of TCP together, in pages; a page for each connection is one small \
               message under way, and above the high mark the kernel drops";
    let is = facts.tcp_mem_pages.map(|pages| spaced(&pages));
    let needs = format!("a high mark of {} pages or more", grouped(needed));
    let high = facts.tcp_mem_pages.map(|[_, _, high]| high);
    let finding = Finding::maybe("net.ipv4.tcp_mem", is, needs, why);
    let memory = facts.memory.map(|memory| memory.total_bytes);
    let is_all = matches!((high, memory), (Some(high), Some(memory)) if high * PAGE_BYTES > memory);
    let is_short = high.is_some_and(|high| high < needed);
    finding
        .unless_wrong(
            is_all,
            Verdict::Advice,
            ["the high mark is more than this host's memory: lower it, or TCP can use it all up"
                .into()],
        )
        .unless_wrong(is_short, Verdict::Short, [set("net.ipv4.tcp_mem", wanted)])
}

fn tcp_rmem(facts: &Facts, wanted: &Wanted) -> Finding {
    let why = "what a peer may send that nobody has read yet is the initial buffer at first";
    buffers("net.ipv4.tcp_rmem", facts.tcp_rmem, why, wanted)
}

fn tcp_wmem(facts: &Facts, wanted: &Wanted) -> Finding {
    let why = "what a slow reader leaves unread fills the send buffer before it counts as egress";
    buffers("net.ipv4.tcp_wmem", facts.tcp_wmem, why, wanted)
}

fn buffers(
    name: &'static str,
    is: Option<[u64; 3]>,
    why: &'static str,
    wanted: &Wanted,
) -> Finding {
    let many = wanted.connections() >= MANY;
    let is_large = matches!(is, Some([_, initial, most])
        if initial > INITIAL_BYTES_MAX || most > LARGEST_BYTES_MAX);
    let needs = if many {
        format!("initial at most {INITIAL_BYTES_MAX}, largest at most {LARGEST_BYTES_MAX}")
    } else {
        format!("anything below {} connections", grouped(MANY))
    };
    Finding::maybe(name, is.map(|is| spaced(&is)), needs, why).unless_wrong(
        many && is_large,
        Verdict::Advice,
        [set(name, wanted)],
    )
}

fn somaxconn(facts: &Facts, wanted: &Wanted) -> Finding {
    let backlog = wanted.config.backlog;
    let why = "it cuts down the backlog of each listener (server.backlog), where connections \
               wait while everybody reconnects";
    let is_little = facts.ring.somaxconn.is_some_and(|most| most < backlog);
    let is = facts.ring.somaxconn;
    Finding::maybe("net.core.somaxconn", is, format!("{backlog} or more"), why).unless_wrong(
        is_little,
        Verdict::Advice,
        [set("net.core.somaxconn", wanted)],
    )
}

fn syn_backlog(facts: &Facts, wanted: &Wanted) -> Finding {
    let backlog = u64::from(wanted.config.backlog);
    let why = "handshakes that are not complete wait there; above it they depend on SYN cookies";
    let is_little = facts.syn_backlog.is_some_and(|most| most < backlog);
    let is = facts.syn_backlog;
    let needs = format!("{backlog} or more");
    Finding::maybe("net.ipv4.tcp_max_syn_backlog", is, needs, why).unless_wrong(
        is_little,
        Verdict::Advice,
        [set("net.ipv4.tcp_max_syn_backlog", wanted)],
    )
}

/// Ports that the server listens on.
fn listening(wanted: &Wanted) -> Vec<u64> {
    let clients = wanted.config.listen.iter().map(|addr| match addr {
        ListenAddr::Tcp(addr) => addr.port(),
        ListenAddr::Unix(_) => 0,
    });
    let admin = wanted.config.admin.iter().map(|addr| match addr {
        AdminAddr::Tcp(addr) => addr.port(),
        AdminAddr::Unix(_) => 0,
    });
    let mut ports: Vec<u64> =
        clients.chain(admin).filter(|port| *port != 0).map(u64::from).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Whether a list such as `80,9001-9010` has this port.
fn reserves(list: &str, port: u64) -> bool {
    list.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bounds = (first.trim().parse(), last.trim().parse());
        matches!(bounds, (Ok(first), Ok(last)) if (first..=last).contains(&port))
    })
}

fn ports(facts: &Facts, wanted: &Wanted) -> Finding {
    let why = "outgoing connections take ports from there, also the server's while it restarts; \
               a proxy on this host needs one for each connection and address of the server";
    let listening = listening(wanted);
    let taken = |port: &&u64| {
        let inside = facts.port_range.is_some_and(|[first, last]| (first..=last).contains(*port));
        inside && !reserves(&facts.reserved_ports, **port)
    };
    let is_taken = listening.iter().any(|port| taken(&port));
    let list = listening.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let needs = format!("{list} outside, or reserved");
    let is = facts.port_range.map(|range| spaced(&range));
    let fix = sysctls::command("net.ipv4.ip_local_reserved_ports", &list);
    Finding::maybe("port range (net.ipv4.ip_local_port_range)", is, needs, why).unless_wrong(
        is_taken,
        Verdict::Advice,
        [fix],
    )
}

fn conntrack(facts: &Facts, wanted: &Wanted) -> Finding {
    let why = "a firewall that tracks connections drops new ones when its table is full";
    let check = "connection tracking (net.netfilter.nf_conntrack_max)";
    let table = match facts.conntrack {
        Tracking::Table(table) => table,
        Tracking::NotLoaded => return Finding::new(check, "not loaded", "nothing", why),
        Tracking::Unknown => return Finding::maybe(check, None::<&str>, "nothing", why),
    };
    let needed = wanted.connections() + wanted.connections() / 4;
    let is = format!("{}, {} in use", grouped(table.max), grouped(table.count));
    let needs = format!("{} or more, or not to track the server's port", grouped(needed));
    // With no rule that asks for it nothing is counted: it may stay so.
    let verdict = if table.count == 0 { Verdict::Advice } else { Verdict::Short };
    let port = listening(wanted).first().copied().unwrap_or(9001);
    let mut fix = vec![set("net.netfilter.nf_conntrack_max", wanted)];
    fix.extend(untracked(port));
    Finding::new(check, is, needs, why).unless_wrong(table.max < needed, verdict, fix)
}

/// Lines that take a port out of connection tracking, both ways.
fn untracked(port: u64) -> [String; 6] {
    [
        "or not to track the server's port at all, which is better:".to_owned(),
        "nft 'add table inet ringwire'".to_owned(),
        "nft 'add chain inet ringwire incoming { type filter hook prerouting priority raw; }'"
            .to_owned(),
        "nft 'add chain inet ringwire outgoing { type filter hook output priority raw; }'"
            .to_owned(),
        format!("nft 'add rule inet ringwire incoming tcp dport {port} notrack'"),
        format!("nft 'add rule inet ringwire outgoing tcp sport {port} notrack'"),
    ]
}

fn time_wait(facts: &Facts, wanted: &Wanted) -> Finding {
    let why = "a server that closes all its connections has one socket in TIME_WAIT for each, \
               for a minute; above the number the kernel forgets them early";
    let needed = wanted.connections();
    let in_use = facts.time_wait.map_or_else(String::new, |n| format!(", {} in use", grouped(n)));
    let is = facts.time_wait_max.map(|most| grouped(most) + &in_use);
    let is_little = facts.time_wait_max.is_some_and(|most| most < needed);
    let check = "TIME_WAIT (net.ipv4.tcp_max_tw_buckets)";
    Finding::maybe(check, is, format!("{} or more", grouped(needed)), why).unless_wrong(
        is_little,
        Verdict::Advice,
        [set("net.ipv4.tcp_max_tw_buckets", wanted)],
    )
}

fn established(facts: &Facts, wanted: &Wanted) -> Finding {
    let why = "the kernel finds the connection of each packet in a table; with more connections \
               than entries it walks a chain, none of it in a cache (15 % of an idle server's \
               time at a chain of eight)";
    let needed = wanted.connections();
    let is = facts.established_entries.map(grouped);
    let is_little = facts.established_entries.is_some_and(|entries| entries < needed);
    let entries = sysctls::established_entries(needed);
    let fix = format!("at the next boot, on the kernel's command line: thash_entries={entries}");
    let check = "table of established connections (thash_entries)";
    Finding::maybe(check, is, format!("{} entries or more", grouped(needed)), why).unless_wrong(
        is_little,
        Verdict::Advice,
        [fix],
    )
}

#[cfg(test)]
mod tests {
    use super::reserves;

    #[test]
    fn lists_of_ports_have_ranges() {
        for (list, port, expected) in [
            ("", 9001, false),
            ("9001", 9001, true),
            ("80,9000-9002", 9001, true),
            ("80,9002-9010", 9001, false),
            ("9000-", 9001, false),
        ] {
            assert_eq!(reserves(list, port), expected, "{list}");
        }
    }
}
