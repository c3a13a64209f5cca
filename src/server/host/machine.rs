//! Findings about the machine itself: memory, cores, cards, clock.

use super::facts::{Card, Facts};
use super::finding::{Finding, Verdict, grouped};
use super::findings::Wanted;
use crate::server::plan::{Plan, Size};

/// Idle connections with a heartbeat each 25 s that one core serves: measured 0.52 cores for a
/// million (docs/measurements.md).
const IDLE_PER_CORE: u64 = 1_000_000;
/// Clock sources that are read without leaving the process.
const FAST_CLOCKS: [&str; 5] =
    ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "riscv_clocksource"];

/// In the order of the report.
pub(super) const CHECKS: [fn(&Facts, &Wanted) -> Finding; 5] =
    [memory, cores, huge_pages, cards, clock];

fn memory(facts: &Facts, wanted: &Wanted) -> Finding {
    let plan = Plan::of(&wanted.config);
    let why = "all that the limits allow, the kernel's sockets included; `ringwire config plan` \
               has the parts, and a server whose limits allow more does not start";
    let needs = format!("{} by the limits", Size(plan.total_bytes()));
    let Some(memory) = facts.memory else {
        return Finding::maybe("memory", None::<&str>, needs, why);
    };
    let is = format!(
        "{} ({}), {} available now",
        Size(memory.limit_bytes()),
        memory.limited_by(),
        Size(memory.available_bytes)
    );
    let finding = Finding::new("memory", is, needs, why);
    let Err(too_large) = plan.check(&memory) else { return finding };
    let fix = [
        format!("lower what the largest parts follow from: {}", too_large.largest),
        format!("or a host with {} or more", Size(plan.total_bytes())),
        "or start all the same: --allow-overcommit".to_owned(),
    ];
    finding.unless_wrong(true, Verdict::Short, fix)
}

fn cores(facts: &Facts, wanted: &Wanted) -> Finding {
    let needed = wanted.connections().div_ceil(IDLE_PER_CORE);
    let why = "a million idle connections with a heartbeat each 25 s took half a core; messages \
               come on top";
    let shards = wanted.config.shards;
    let plural = if shards == 1 { "shard" } else { "shards" };
    let is = format!("{}, for {shards} {plural}", facts.cores);
    let fix = format!("give the service {needed} cores, or raise heartbeat.interval_ms");
    Finding::new("cores", is, format!("{needed} or more"), why).unless_wrong(
        facts.cores < needed,
        Verdict::Advice,
        [fix],
    )
}

/// Good whatever it says: the process renounces them.
fn huge_pages(facts: &Facts, _: &Wanted) -> Finding {
    let why = "they made an idle connection cost 698 bytes instead of 200; the server renounces \
               them for itself";
    let is = facts.huge_pages.as_ref();
    Finding::maybe("transparent huge pages", is, "no setting", why)
}

fn cards(facts: &Facts, _: &Wanted) -> Finding {
    let why = "a card with fewer receive queues than cores leaves the others waiting for one \
               core's interrupts (RSS); the kernel can spread packets itself (RPS)";
    let is = facts.cards.as_ref().map(|cards| match cards.as_slice() {
        [] => "no card".to_owned(),
        cards => cards.iter().map(describe).collect::<Vec<_>>().join("; "),
    });
    let cards = facts.cards.iter().flatten();
    let narrow = cards.filter(|card| card.rx_queues < facts.cores && !card.has_rps);
    let fix: Vec<String> = narrow.flat_map(|card| spread(card, facts.cores)).collect();
    let needs = format!("a receive queue for each of {} cores, or RPS", facts.cores);
    Finding::maybe("network cards (RSS)", is, needs, why).unless_wrong(
        !fix.is_empty(),
        Verdict::Advice,
        fix,
    )
}

fn describe(card: &Card) -> String {
    let rps = if card.has_rps { " with RPS" } else { "" };
    let queues = if card.rx_queues == 1 { "queue" } else { "queues" };
    format!("{} has {} {queues}{rps}", card.name, grouped(card.rx_queues))
}

fn spread(card: &Card, cores: u64) -> [String; 2] {
    let name = &card.name;
    let digits = "f".repeat((cores / 4) as usize);
    let first = ["", "1", "3", "7"][(cores % 4) as usize];
    let mask = mask_of(&format!("{first}{digits}"));
    [
        format!("ethtool -L {name} combined {cores}"),
        format!(
            "or: for q in /sys/class/net/{name}/queues/rx-*; do echo {mask} > $q/rps_cpus; done"
        ),
    ]
}

/// The kernel wants a comma before each eight hexadecimal digits.
fn mask_of(digits: &str) -> String {
    let groups = digits.as_bytes().rchunks(8).rev();
    groups.map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

fn clock(facts: &Facts, _: &Wanted) -> Finding {
    let why = "each turn of a shard reads the clock, and other sources cost a system call or more";
    let is = facts.clock.as_ref();
    let fast = facts.clocks.iter().find(|clock| FAST_CLOCKS.contains(&clock.as_str()));
    let fix = fast.map_or_else(
        || {
            "none of this host's is fast; a newer kernel or another virtual machine may have one"
                .into()
        },
        |fast| {
            format!(
                "echo {fast} > /sys/devices/system/clocksource/clocksource0/current_clocksource"
            )
        },
    );
    let is_slow = facts.clock.as_deref().is_some_and(|clock| !FAST_CLOCKS.contains(&clock));
    let needs = "one that is read without a system call, such as tsc or kvm-clock";
    Finding::maybe("clock source", is, needs, why).unless_wrong(is_slow, Verdict::Advice, [fix])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_a_bit_for_each_core() {
        let card = Card { name: "eth0".into(), rx_queues: 1, has_rps: false };
        for (cores, mask) in
            [(1, "1"), (2, "3"), (4, "f"), (6, "3f"), (32, "ffffffff"), (36, "f,ffffffff")]
        {
            let [_, line] = spread(&card, cores);
            assert!(line.contains(&format!("echo {mask} >")), "{cores}: {line}");
        }
    }
}
