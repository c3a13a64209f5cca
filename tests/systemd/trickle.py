"""Clients that come one after the other, and what became of them.

    trickle.py RATE STOP            about RATE connections a second until the file STOP exists
    trickle.py --hold COUNT STOP    COUNT connections that stay until the server closes them

Prints the number of connections so far after each of them. Ends with status 1 when one was refused, broken
off or answered with anything but 101, or when one that stays was not closed with 1001.
"""

import os
import socket
import sys
import time

ADDR = ("127.0.0.1", 9001)
HEAD = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe9"
PATIENCE_S = 60


def connect():
    stream = socket.create_connection(ADDR, PATIENCE_S)
    stream.sendall(HEAD)
    answer = b""
    while b"\r\n\r\n" not in answer:
        octets = stream.recv(4096)
        if not octets:
            sys.exit(f"hung up after {answer!r}")
        answer += octets
    head, rest = answer.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 101 "):
        sys.exit(f"answered {head!r}")
    return stream, rest


def closed(stream, buffer):
    """The code that the server closes with."""
    while True:
        while len(buffer) >= 2:
            size, start = buffer[1], 2
            if size == 126:
                size, start = int.from_bytes(buffer[2:4], "big"), 4
            if len(buffer) < start + size:
                break
            if buffer[0] & 15 == 8:
                stream.sendall(CLOSE)
                return int.from_bytes(buffer[start : start + 2], "big")
            buffer = buffer[start + size :]
        octets = stream.recv(4096)
        if not octets:
            return None
        buffer += octets


def hold(count):
    streams = []
    for number in range(1, count + 1):
        streams.append(connect())
        print(number, "connected", flush=True)
    start = time.monotonic()
    codes = [closed(*stream) for stream in streams]
    if codes != [1001] * count:
        sys.exit(f"closed with {codes}")
    print(f"{count} closed with 1001 within {time.monotonic() - start:.1f} s", flush=True)


def trickle(rate, stop):
    number, slowest = 0, 0.0
    while not os.path.exists(stop):
        start = time.monotonic()
        stream, _ = connect()
        stream.close()
        took = time.monotonic() - start
        number, slowest = number + 1, max(slowest, took)
        print(number, "connected", flush=True)
        time.sleep(max(0.0, 1 / rate - took))
    print(f"{number} clients came in, none was refused, the slowest took {slowest:.1f} s", flush=True)


if sys.argv[1] == "--hold":
    hold(int(sys.argv[2]))
else:
    trickle(float(sys.argv[1]), sys.argv[2])
