//! The kernel's settings for a number of connections, each with its reason and where that is from.
//! `sysctl/60-ringwire.conf` is this table for a million; a test keeps the two equal, and another
//! one that `ringwire doctor` names no other values.

/// A setting that `sysctl` takes.
#[derive(Debug)]
pub struct Sysctl {
    /// Its name.
    pub name: &'static str,
    /// What it should be for so many connections.
    pub value: fn(u64) -> String,
    /// Why.
    pub why: &'static str,
    /// Where to read about it.
    pub source: &'static str,
}

/// In the order of the file.
pub static SYSCTLS: &[Sysctl] = &[
    Sysctl {
        name: "kernel.io_uring_disabled",
        value: |_| "0".to_owned(),
        why: "io_uring for everybody; 1 restricts it to kernel.io_uring_group, 2 forbids it.",
        source: "Documentation/admin-guide/sysctl/kernel.rst",
    },
    Sysctl {
        name: "fs.file-max",
        value: |_| i64::MAX.to_string(),
        why: "Open files of the host. Each connection is one, also as a direct descriptor, which \
              takes none of the process's own. Their memory is the true bound; systemd sets the \
              same.",
        source: "Documentation/admin-guide/sysctl/fs.rst",
    },
    Sysctl {
        name: "fs.nr_open",
        value: |_| "1048576".to_owned(),
        why: "The most that RLIMIT_NOFILE can be, which bounds each shard's table of \
              descriptors. A ring takes no larger table.",
        source: "Documentation/admin-guide/sysctl/fs.rst; io_uring/rsrc.c",
    },
    Sysctl {
        name: "net.core.somaxconn",
        value: |_| "65535".to_owned(),
        why: "Caps the backlog of a listener (server.backlog): connections that wait to be \
              accepted while everybody reconnects.",
        source: "Documentation/networking/ip-sysctl.rst",
    },
    Sysctl {
        name: "net.ipv4.tcp_max_syn_backlog",
        value: |_| "65535".to_owned(),
        why: "The same for handshakes that are not complete.",
        source: "Documentation/networking/ip-sysctl.rst",
    },
    Sysctl {
        name: "net.ipv4.tcp_mem",
        value: tcp_mem,
        why: "Memory of all TCP buffers, in pages: low, pressure, high. A page for each \
              connection is one small message under way; above the high mark the kernel drops \
              (\"TCP: out of memory\"). On a host where that is more than half of the memory, \
              lower it.",
        source: "Documentation/networking/ip-sysctl.rst",
    },
    Sysctl {
        name: "net.ipv4.tcp_rmem",
        value: |_| "4096 16384 1048576".to_owned(),
        why: "Receive buffer of a connection: least, initial, most. The usual initial 131072 \
              lets each peer send 64 KiB at once that nobody has read yet.",
        source: "Documentation/networking/ip-sysctl.rst",
    },
    Sysctl {
        name: "net.ipv4.tcp_wmem",
        value: |_| "4096 16384 1048576".to_owned(),
        why: "Send buffer of a connection. What a slow reader leaves there is the kernel's \
              memory and not limits.egress_bytes_max; the usual 4194304 is too much for very \
              many.",
        source: "Documentation/networking/ip-sysctl.rst",
    },
    Sysctl {
        name: "net.ipv4.tcp_max_tw_buckets",
        value: |connections| connections.max(262_144).to_string(),
        why: "Sockets in TIME_WAIT. A server that closes all its connections has one for each, \
              for a minute; above the number the kernel forgets them early and says so in its \
              log.",
        source: "Documentation/networking/ip-sysctl.rst",
    },
    Sysctl {
        name: "net.ipv4.ip_local_port_range",
        value: |_| "10000 65535".to_owned(),
        why: "Ports of outgoing connections. A proxy on this host needs one for each connection \
              and address of the server.",
        source: "Documentation/networking/ip-sysctl.rst",
    },
    Sysctl {
        name: "net.ipv4.ip_local_reserved_ports",
        value: |_| "9001,9002".to_owned(),
        why: "The ports of server.listen and server.admin, so that no outgoing connection takes \
              one while the server restarts.",
        source: "Documentation/networking/ip-sysctl.rst",
    },
    Sysctl {
        name: "net.netfilter.nf_conntrack_max",
        value: |connections| (2 * connections).to_string(),
        why: "Tracked connections, where a firewall tracks them. Full, it drops whoever is new. \
              Not to track the server's port is better (docs/doctor.md).",
        source: "Documentation/networking/nf_conntrack-sysctl.rst",
    },
];

/// The value of a setting for so many connections.
pub fn value(name: &str, connections: u64) -> String {
    let known = SYSCTLS.iter().find(|sysctl| sysctl.name == name);
    (known.unwrap_or_else(|| panic!("{name} is in the table")).value)(connections)
}

/// The line that sets it until the next boot.
pub fn command(name: &str, value: &str) -> String {
    format!(
        "sysctl -w {name}={}",
        if value.contains(' ') { format!("\"{value}\"") } else { value.into() }
    )
}

/// Entries that the kernel's table of established connections should have.
pub fn established_entries(connections: u64) -> u64 {
    (2 * connections).next_power_of_two()
}

fn tcp_mem(connections: u64) -> String {
    // What a host of 1 GiB has anyway.
    let low = connections.max(20_000);
    format!("{low} {} {}", 2 * low, 3 * low)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTIONS: u64 = 1_000_000;
    const COLUMNS: usize = 100;

    /// A comment of lines that fit.
    fn comment(text: &str) -> String {
        let mut lines = vec![String::from("#")];
        for word in text.split_whitespace() {
            let last = lines.last_mut().expect("there is one");
            if last.len() + 1 + word.len() > COLUMNS {
                lines.push(format!("# {word}"));
            } else {
                last.push(' ');
                last.push_str(word);
            }
        }
        lines.join("\n") + "\n"
    }

    fn page() -> String {
        let mut page = String::from(
            "# Kernel settings for a host that serves a million connections with Ringwire.\n\
             # Install as /etc/sysctl.d/60-ringwire.conf and run `sysctl --system`.\n\
             # `ringwire doctor --connections N` says what another number needs.\n\
             # Generated from src/server/host/sysctls.rs by `RINGWIRE_BLESS=1 cargo test --lib`.\n",
        );
        for sysctl in SYSCTLS {
            // A leading `-` forgives what is not there: the module is not loaded, or the kernel is
            // older than the setting (6.6).
            let may_lack = ["net.netfilter.nf_conntrack_max", "kernel.io_uring_disabled"];
            let dash = if may_lack.contains(&sysctl.name) { "-" } else { "" };
            page.push_str(&format!(
                "\n{}# Source: {}\n{dash}{} = {}\n",
                comment(sysctl.why),
                sysctl.source,
                sysctl.name,
                (sysctl.value)(CONNECTIONS)
            ));
        }
        let entries = established_entries(CONNECTIONS);
        page.push('\n');
        page.push_str(&comment(&format!(
            "Not a setting that can be changed here: the kernel finds the connection of each \
             packet in a table whose size is decided at boot (`sysctl net.ipv4.tcp_ehash_entries` \
             shows it; 262144 is usual). With many more connections than entries every packet \
             walks a chain of them. For a million connections add thash_entries={entries} to the \
             kernel's command line."
        )));
        page.push_str(
            "# Source: Documentation/admin-guide/kernel-parameters.txt; docs/measurements.md\n",
        );
        page
    }

    #[test]
    fn the_file_is_the_table_for_a_million() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/sysctl/60-ringwire.conf");
        let page = page();
        if std::env::var_os("RINGWIRE_BLESS").is_some() {
            std::fs::write(path, &page).expect("the file is writable");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == page,
            "stale sysctl/60-ringwire.conf: RINGWIRE_BLESS=1 cargo test --lib"
        );
    }

    #[test]
    fn commands_quote_what_has_several_numbers() {
        assert_eq!(command("a.b", "1"), "sysctl -w a.b=1");
        assert_eq!(
            command("a.b", &tcp_mem(1_000_000)),
            "sysctl -w a.b=\"1000000 2000000 3000000\""
        );
        assert_eq!(established_entries(1_000_000), 2_097_152);
    }
}
