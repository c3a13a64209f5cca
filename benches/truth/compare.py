"""Holds `ringwire bench` against tsung, an independent receiver, and a server with known faults.

compare.py BINARY WORK: prints a table and exits 1 if anything disagrees by more than it allows.
Everything that is compared is measured in this run, on this machine, in turn.
"""

import json
import pathlib
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

import tsung

HERE = pathlib.Path(__file__).parent
SECONDS_MAX = 60

# tsung: each user sends, waits for the echo, thinks, and so on.
USERS, MESSAGES, THINK_SECONDS = 20, 150, 0.04
# Latency: so few messages that nobody waits for anything but the server. Both measure at the same
# time, so that whatever else the machine does happens to both, and of the rounds the median counts.
RATE, SECONDS, ROUNDS = 100, 3, 3
DELAYS_MS = (0, 5, 20, 100)
DROP_EVERY = 40

# What is allowed. Rates of one run are of the same messages, seen at both ends, sampled by time.
RATE_PART = 0.03
# Two runs at the same rate: tsung's own pauses vary with the machine.
RUNS_PART = 0.05
# The way through a Python program, and what the third longest of 300 round trips may be off.
P50_MS, P99_MS = 1.0, 5.0


class Table:
    """Rows of what was compared, and whether all agree."""

    def __init__(self):
        self.rows, self.good = [("what", "one", "other", "may differ by", "")], True

    def add(self, what, one, other, allowed):
        agrees = abs(one[1] - other[1]) <= allowed
        self.good &= agrees
        self.rows.append((what, shown(one), shown(other), f"{allowed:.4g}",
                          "agrees" if agrees else "DISAGREES"))

    def at_least(self, what, one, least):
        self.good &= one[1] >= least
        self.rows.append((what, shown(one), f"at least {least}", "0",
                          "agrees" if one[1] >= least else "DISAGREES"))

    def __str__(self):
        rows = [self.rows[0], ("---",) * len(self.rows[0]), *self.rows[1:]]
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def shown(source):
    name, value = source
    return f"{name} {value}" if isinstance(value, int) else f"{name} {value:.2f}"


class Ringwire:
    """`ringwire echo`, its counters, and a record of how they grew."""

    def __init__(self, binary):
        flags = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--shards", "1"]
        self.process = subprocess.Popen([binary, "echo", *flags], stderr=subprocess.PIPE, text=True)
        said = ""
        while "ringwire: ready" not in said:
            line = self.process.stderr.readline()
            if not line:
                raise SystemExit(f"the server did not start: {said}")
            said += line
        self.port = int(re.search(r"listening on ws://[^:]+:(\d+)", said)[1])
        self.admin = re.search(r"admin on (http://\S+)", said)[1]
        self.url = f"ws://127.0.0.1:{self.port}/"

    def counters(self):
        with urllib.request.urlopen(self.admin + "/metrics", timeout=10) as response:
            text = response.read().decode()
        def value(name):
            return int(float(re.search(rf"^{name} (\S+)$", text, re.M)[1]))
        return {"connections": value("ringwire_handshakes_completed_total"),
                "received": value("ringwire_messages_received_total"),
                "sent": value("ringwire_messages_sent_total")}

    def watch(self, work):
        """Does something; gives its result, how far the counters went, and how fast in between."""
        before, samples, is_over = self.counters(), [], threading.Event()

        def look():
            while not is_over.wait(0.1):
                samples.append((time.perf_counter(), self.counters()["received"]))

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            result = work()
        finally:
            is_over.set()
            watcher.join()
        time.sleep(0.2)  # shards show their counters a few times a second
        after = self.counters()
        grown = {name: after[name] - before[name] for name in after}
        return result, grown, steady_rate(samples, before["received"], grown["received"])

    def stop(self):
        self.process.terminate()
        self.process.wait(SECONDS_MAX)


def steady_rate(samples, start, count):
    """Messages per second between the first and the last fifth of them."""
    middle = [(at, number) for at, number in samples
              if start + count / 5 <= number <= start + count * 4 / 5]
    (began, first), (ended, last) = middle[0], middle[-1]
    return (last - first) / (ended - began)


def bench(binary, work, url, *arguments):
    """One run of the generator's echo: its exit code and its report."""
    report = work / "report.json"
    report.unlink(missing_ok=True)
    command = [binary, "bench", "echo", url, "--quiet", "--json", report, "--warmup", "0s"]
    done = subprocess.run([*command, *map(str, arguments)], timeout=SECONDS_MAX,
                          stdout=subprocess.DEVNULL)
    return done.returncode, json.loads(report.read_text())


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


def compare_with_tsung(table, binary, work):
    server = Ringwire(binary)
    try:
        seen, grown, rate = server.watch(
            lambda: tsung.run(server.port, work, USERS, MESSAGES, THINK_SECONDS))
        table.add("connections", ("tsung", seen["connections"]),
                  ("server", grown["connections"]), 0)
        table.add("messages", ("tsung", seen["messages"]), ("server", grown["received"]), 0)
        table.add("messages/s", ("tsung", seen["per_second"]), ("server", rate), rate * RUNS_PART)

        (code, report), grown, bench_rate = server.watch(
            lambda: bench(binary, work, server.url, "--connections", USERS, "--rate", rate,
                          "--duration", f"{USERS * MESSAGES / rate:.3f}s"))
    finally:
        server.stop()
    messages = report["messages"]
    table.add("exit code", ("bench", code), ("expected", 0), 0)
    table.add("connections", ("bench", report["connections"]["established"]),
              ("server", grown["connections"]), 0)
    table.add("messages there", ("bench", messages["sent_total"]), ("server", grown["received"]), 0)
    table.add("messages back", ("bench", messages["received_total"]), ("server", grown["sent"]), 0)
    table.add("messages/s", ("bench", messages["received_per_second"]), ("server", bench_rate),
              bench_rate * RATE_PART)
    table.add("messages", ("bench", messages["sent_total"]), ("tsung", seen["messages"]), 1)
    table.add("messages/s", ("bench", messages["received_per_second"]),
              ("tsung", seen["per_second"]), seen["per_second"] * RUNS_PART)


class DelayServer:
    """delay_server.py as a process."""

    def __init__(self, delay_ms, drop_every=0):
        command = [sys.executable, HERE / "delay_server.py", str(delay_ms), str(drop_every)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.url = f"ws://127.0.0.1:{int(self.process.stdout.readline())}/"

    def stop(self):
        """Ends it; gives its account."""
        out, _ = self.process.communicate(timeout=SECONDS_MAX)
        return json.loads(out)


def measured_by_both(binary, work, url):
    """Round trips of the receiver, and the code and report of a run at the same time."""
    command = [sys.executable, HERE / "receiver.py", url, str(RATE), str(SECONDS)]
    receiver = subprocess.Popen(command, stdout=subprocess.PIPE)
    code, report = bench(binary, work, url, "--connections", 1, "--rate", RATE,
                         "--duration", f"{SECONDS}s")
    out, _ = receiver.communicate(timeout=SECONDS_MAX)
    return json.loads(out), code, report


def compare_latency(table, binary, work, delay_ms):
    """The same rate against the same server: what a receiver of its own measures, and bench."""
    rounds = []
    server = DelayServer(delay_ms) if delay_ms else Ringwire(binary)
    try:
        for _ in range(ROUNDS):
            rounds.append(measured_by_both(binary, work, server.url))
    finally:
        account = server.stop()
    name = f"{delay_ms} ms injected" if delay_ms else "nothing injected"
    median = lambda figure: statistics.median(figure(*each) for each in rounds)
    table.add(f"{name}: exit codes", ("bench", sum(code for _, code, _ in rounds)),
              ("expected", 0), 0)
    table.add(f"{name}: round trips",
              ("bench", sum(report["latency_us"]["count"] for *_, report in rounds)),
              ("receiver", sum(len(trips) for trips, *_ in rounds)), 0)
    for percent, key, allowed in ((50, "p50", P50_MS), (99, "p99", P99_MS)):
        table.add(f"{name}: {key} in ms",
                  ("bench", median(lambda _, __, report: report["latency_us"][key] / 1e3)),
                  ("receiver", median(lambda trips, *_: percentile(trips, percent))), allowed)
    if account:
        table.at_least(f"{name}: least in ms",
                       ("bench", min(report["latency_us"]["min"] / 1e3 for *_, report in rounds)),
                       delay_ms)
        table.add(f"{name}: p50 in ms",
                  ("bench", median(lambda _, __, report: report["latency_us"]["p50"] / 1e3)),
                  ("server kept for", percentile(account["kept_ms"], 50)), P50_MS)


def compare_loss(table, binary, work):
    server = DelayServer(5, DROP_EVERY)
    try:
        code, report = bench(binary, work, server.url, "--connections", 4, "--rate", 4 * RATE,
                             "--duration", "3s", "--timeout", "2s")
    finally:
        account = server.stop()
    faults = {fault["cause"]: fault["count"] for fault in report["faults"]}
    table.add("messages lost", ("bench", faults.get("lost", 0)),
              ("server dropped", account["dropped"]), 0)
    table.add("other faults", ("bench", sum(faults.values()) - faults.get("lost", 0)),
              ("expected", 0), 0)
    table.add("exit code", ("bench", code), ("expected", 1), 0)


def main(binary, work):
    work, table, began = pathlib.Path(work), Table(), time.perf_counter()
    compare_with_tsung(table, binary, work)
    for delay_ms in DELAYS_MS:
        compare_latency(table, binary, work, delay_ms)
    compare_loss(table, binary, work)
    print(table)
    verdict = "all agree" if table.good else "NOT all agree"
    print(f"{verdict}; {time.perf_counter() - began:.0f} s")
    return 0 if table.good else 1


sys.exit(main(*sys.argv[1:]))
