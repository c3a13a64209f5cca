"""usage: check.py [NAME...] < lines of NAME=COMMAND   Each peer (or those named) echoes and relays as it
should: every size, both opcodes, pipelined, and to three subscribers in one order."""
import asyncio
import random
import shlex
import signal
import socket
import sys

import websockets
from websockets.asyncio.client import connect

SIZES = (0, 125, 126, 4000, 70_000)
PIPELINED = 16
SUBSCRIBERS = 3
ROUNDS = 20
SECONDS_MAX = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def text(size):
    pattern = "aé€🦀"
    whole, rest = divmod(size, len(pattern.encode()))
    return pattern * whole + "x" * rest


def opened(port, path, host="127.0.0.1"):
    return connect(f"ws://{host}:{port}{path}", compression=None, max_size=None)


async def echoes(port):
    octets = random.Random(6455).randbytes(max(SIZES))
    async with opened(port, "/anything", "127.0.0.7") as ws:
        for size in SIZES:
            for message in (text(size), octets[:size]):
                await ws.send(message)
                assert await ws.recv() == message, f"{size}: not intact"
        for size in SIZES:
            messages = [octets[at:at + size] if at % 2 else f"{at}:{text(size)}" for at in range(PIPELINED)]
            sending = asyncio.gather(*(ws.send(message) for message in messages))
            for message in messages:
                assert await ws.recv() == message, f"{size}, pipelined: not intact"
            await sending
        await (await ws.ping(b"still there"))
    assert ws.close_code == 1000, f"closed with {ws.close_code}"


async def relays(port):
    subscribers = [await opened(port, "/?topic=one") for _ in range(SUBSCRIBERS)]
    stranger = await opened(port, "/?topic=other")
    # A server may need a moment between its answer and the subscription.
    for subscriber in subscribers:
        await (await subscriber.ping())
    sent = [[] for _ in subscribers]

    async def publish(index):
        for turn in range(ROUNDS):
            message = f"{index} {turn} {text(SIZES[turn % len(SIZES)])}"
            message = message.encode() if turn % 2 else message
            sent[index].append(message)
            await subscribers[index].send(message)

    async def receive(subscriber):
        return [await subscriber.recv() for _ in range(SUBSCRIBERS * ROUNDS)]

    receiving = [asyncio.create_task(receive(subscriber)) for subscriber in subscribers]
    await asyncio.gather(*(publish(index) for index in range(SUBSCRIBERS)))
    got = await asyncio.gather(*receiving)
    kind = {str: lambda message: message, bytes: bytes.decode}
    for messages in got:
        assert messages == got[0], "subscribers saw different orders"
        for index, mine in enumerate(sent):
            prefix = f"{index} "
            theirs = [m for m in messages if kind[type(m)](m).startswith(prefix)]
            assert theirs == mine, f"publisher {index}: not what was sent, or not in its order"
    await stranger.send("only here")
    assert await stranger.recv() == "only here", "topics are mixed up"
    for ws in (*subscribers, stranger):
        await ws.close()


async def check(name, command):
    port = free_port()
    words = shlex.split(command.replace("{port}", str(port)))
    server = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            line = await server.stdout.readline()
            assert line == b"ready\n", f"said {line!r}, not ready"
            await echoes(port)
            await relays(port)
            await echoes(port)
            server.send_signal(signal.SIGTERM)
            await server.wait()
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def main(names):
    peers = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    failed = sorted(set(names) - set(peers))
    for name in failed:
        print(f"{name}: not among the peers")
    for name, command in peers.items():
        if names and name not in names:
            continue
        try:
            await check(name, command)
            print(f"{name}: ok")
        except (AssertionError, TimeoutError, OSError, websockets.WebSocketException) as error:
            failed.append(name)
            print(f"{name}: {type(error).__name__} {error}")
    return 1 if failed else 0


sys.exit(asyncio.run(main(sys.argv[1:])))
