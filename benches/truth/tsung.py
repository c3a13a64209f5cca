"""Runs Debian's tsung against a server, and reads what it has counted."""

import os
import pathlib
import shutil
import socket
import subprocess

HERE = pathlib.Path(__file__).parent
LIMIT_SECONDS = 90


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(port, work, users, messages, think):
    """Users that each send messages and wait between them. Gives connections, messages, rate."""
    folder = work / "tsung"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config = (HERE / "tsung.xml").read_text()
    settings = {"port": port, "users": users, "messages": messages, "think": think}
    for name, value in {**settings, "payload": "0123456789abcdef" * 4}.items():
        config = config.replace("{" + name + "}", str(value))
    (folder / "tsung.xml").write_text(config)
    # A port mapper of our own, in the foreground: the one that Erlang would start stays for ever.
    mapper_port = str(free_port())
    environment = {**os.environ, "HOME": str(folder), "ERL_EPMD_PORT": mapper_port,
                   "ERL_EPMD_ADDRESS": "127.0.0.1"}
    mapper = subprocess.Popen(["epmd", "-port", mapper_port, "-address", "127.0.0.1"],
                              env=environment)
    try:
        subprocess.run(
            ["tsung", "-n", "-F", "-I", "127.0.0.1", "-w", "0", "-f", folder / "tsung.xml",
             "-l", folder / "log", "start"],
            env=environment, check=True, timeout=LIMIT_SECONDS, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
    finally:
        mapper.terminate()
        mapper.wait()
    return figures(next(folder.glob("log/*/tsung.log")).read_text(), users, messages)


def figures(log, users, messages):
    """Each block of the log has counts since the block before; sessions have a mean duration."""
    counts, session_seconds, requests, finished = {}, 0.0, 0, 0
    for line in log.splitlines():
        words = line.split()
        if words[:2] == ["stats:", "session"]:
            count, mean_ms = int(words[2]), float(words[3])
            session_seconds += count * mean_ms / 1e3
            finished += count
        elif words[:2] == ["stats:", "request"]:
            requests += int(words[2])
        elif len(words) == 4 and words[0] == "stats:":
            counts[words[1]] = int(words[3])
    # A session's first and last requests are its connect and its close.
    return {"connections": counts["websocket_succ"], "messages": requests - 2 * finished,
            "per_second": users * messages * finished / session_seconds}
