//! `ringwire doctor` and `ringwire config`, as a command.

mod common;

use std::process::{Command, Output};

use common::{File, command};
use serde_json::Value;

fn run(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).expect("UTF-8")
}

/// The same command in a shell that first lowers the limit of descriptors.
fn with_descriptors(limit: u32, arguments: &str) -> Command {
    let binary = command("doctor").get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -n {limit} && exec \"$0\" {arguments}")).arg(binary);
    shell
}

#[test]
fn a_few_connections_fit_and_the_findings_are_json_too() {
    let output = run(command("doctor").args(["--connections", "8", "--shards", "1", "--json"]));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!((&report["connections"], &report["fits"]), (&8.into(), &true.into()));
    let checks = report["checks"].as_array().expect("a list");
    assert!(checks.len() >= 20, "{report:#}");
    for check in checks {
        assert_ne!(check["verdict"], "short", "{check:#}");
        for field in ["check", "is", "needs", "why"] {
            assert!(check[field].as_str().is_some_and(|text| !text.is_empty()), "{check:#}");
        }
    }
}

#[test]
fn what_is_short_is_told_with_the_line_that_mends_it() {
    let output = run(&mut with_descriptors(256, "doctor --connections 1000 --shards 1"));
    let (told, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{told}{said}");
    let lines = [
        "1,000 connections on 1 shard: 1 short, ",
        "\nSHORT    open files (RLIMIT_NOFILE)\n         is     256\n",
        "\n         do     systemd: LimitNOFILE=1080\n",
        "\n                or --shards ",
    ];
    assert!(lines.iter().all(|line| told.contains(line)), "{told}");
    let wide: Vec<_> = told.lines().filter(|line| line.chars().count() > 100).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    assert_eq!(said, "ringwire: this host is short of what 1,000 connections need\n");
}

#[test]
fn a_configuration_is_checked_shown_and_added_up() {
    let file = File::new("[server]\nshards = 1\nmax_connections = 300\n");
    let config = |what: &str, more: &[&str]| {
        run(command("config").args([what, "--config", file.path()]).args(more))
    };
    let checked = config("check", &[]);
    assert_eq!(
        (checked.status.code(), text(&checked.stdout).as_str()),
        (Some(0), "the configuration is sound\n")
    );
    let shown = text(&config("show", &["--log", "debug"]).stdout);
    let line = |key: &str| {
        let found = shown.lines().find(|line| line.starts_with(key));
        found.unwrap_or_else(|| panic!("no {key} in {shown}")).to_owned()
    };
    let from = |key: &str| line(key).split_once(" # ").expect("a remark").1.to_owned();
    assert_eq!(from("max_connections"), format!("{}:3", file.path()));
    assert_eq!(from("shards"), format!("{}:2; a change needs a restart", file.path()));
    assert_eq!((line("log ").contains("\"debug\""), from("log ")), (true, "--log".to_owned()));
    assert_eq!(from("close_ms"), "default");
    let planned = config("plan", &[]);
    assert_eq!(planned.status.code(), Some(0));
    assert!(text(&planned.stdout).contains("egress queues"), "{}", text(&planned.stdout));

    let planned = config("plan", &["--egress-total-bytes-max", "1000000000000"]);
    let said = text(&planned.stderr);
    assert_eq!(planned.status.code(), Some(1), "{said}");
    assert!(said.contains("the largest parts: egress queues 1.0 TiB"), "{said}");
    let checked = config("check", &["--egress-total-bytes-max", "4096"]);
    let said = text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(2), "{said}");
    let told =
        "ringwire: --egress-total-bytes-max: limits.egress_total_bytes_max is 4096, too small";
    assert!(said.starts_with(told), "{said}");
}
