"""Clients that come at a steady rate, whoever else still waits, and what became of them.

    trickle.py [--at HOST:PORT] RATE STOP      RATE connections a second until the file STOP exists
    trickle.py [--at HOST:PORT] --hold COUNT   COUNT connections that stay until the server closes them

Prints the number of connections so far. Ends with status 1 when one was refused, broken off or answered
with anything but 101, when one waited for a minute, or when one that stays was not closed with 1001.
"""

import os
import selectors
import socket
import struct
import sys
import time

HEAD = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe9"
PATIENCE_S = 60
# A reset instead of a FIN: no port is kept in TIME_WAIT, of which there are too few for minutes of this.
AT_ONCE = struct.pack("ii", 1, 0)


def after_head(answer):
    """What follows the response, which has to be a 101; None while it is not all there."""
    head, end, rest = answer.partition(b"\r\n\r\n")
    if not end:
        return None
    if not head.startswith(b"HTTP/1.1 101 "):
        sys.exit(f"answered {head!r}")
    return rest


class Client:
    """One that is on its way in."""

    def __init__(self, addr):
        self.began = time.monotonic()
        self.answer = b""
        self.stream = socket.socket()
        self.stream.setblocking(False)
        self.stream.connect_ex(addr)

    def asks(self):
        """Sends the request. False when it is not connected yet: the queue is full."""
        error = self.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            sys.exit(f"not connected: {os.strerror(error)}")
        try:
            self.stream.send(HEAD)
        except BlockingIOError:
            return False
        except OSError as error:
            sys.exit(f"not connected: {error}")
        return True

    def is_in(self):
        """Reads on. True when it was upgraded."""
        try:
            octets = self.stream.recv(4096)
        except OSError as error:
            sys.exit(f"broken off after {time.monotonic() - self.began:.1f} s: {error}")
        if not octets:
            sys.exit(f"hung up after {self.answer!r}")
        self.answer += octets
        return after_head(self.answer) is not None

    def leave(self):
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.stream.close()


def trickle(addr, rate, stop):
    selector = selectors.DefaultSelector()
    begun = said = time.monotonic()
    opened = came = most_waiting = 0
    slowest = 0.0
    while True:
        now = time.monotonic()
        is_over = os.path.exists(stop)
        if is_over and opened == came:
            break
        due = 0 if is_over else int((now - begun) * rate) + 1 - opened
        for _ in range(min(due, 100)):
            client = Client(addr)
            # At once: a server that drains does not wait for a slow client's request for long.
            event = selectors.EVENT_READ if client.asks() else selectors.EVENT_WRITE
            selector.register(client.stream, event, client)
            opened += 1
        wait = 0.01 if is_over else begun + opened / rate - now
        for key, events in selector.select(max(0.0, wait)):
            client = key.data
            if events & selectors.EVENT_WRITE:
                if client.asks():
                    selector.modify(client.stream, selectors.EVENT_READ, client)
            elif client.is_in():
                selector.unregister(client.stream)
                client.leave()
                came += 1
                slowest = max(slowest, time.monotonic() - client.began)
        most_waiting = max(most_waiting, opened - came)
        if now - said > 0.1:
            said = now
            print(came, "connected,", opened - came, "wait", flush=True)
            waiting = selector.get_map().values()
            if any(now - key.data.began > PATIENCE_S for key in waiting):
                sys.exit(f"one has waited for {PATIENCE_S} s")
    per_s = came / (time.monotonic() - begun)
    print(
        f"{came} clients came in, {per_s:.0f} a second, none was refused; "
        f"{most_waiting} waited at once, the slowest for {slowest:.1f} s",
        flush=True,
    )


def connect(addr):
    stream = socket.create_connection(addr, PATIENCE_S)
    stream.sendall(HEAD)
    answer = b""
    while (rest := after_head(answer)) is None:
        octets = stream.recv(4096)
        if not octets:
            sys.exit(f"hung up after {answer!r}")
        answer += octets
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


def hold(addr, count):
    streams = []
    for number in range(1, count + 1):
        streams.append(connect(addr))
        print(number, "connected", flush=True)
    start = time.monotonic()
    codes = [closed(*stream) for stream in streams]
    if codes != [1001] * count:
        sys.exit(f"closed with {codes}")
    print(f"{count} closed with 1001 within {time.monotonic() - start:.1f} s", flush=True)


def main(words):
    addr = ("127.0.0.1", 9001)
    if words[0] == "--at":
        host, port = words[1].rsplit(":", 1)
        addr, words = (host, int(port)), words[2:]
    if words[0] == "--hold":
        hold(addr, int(words[1]))
    else:
        trickle(addr, float(words[0]), words[1])


main(sys.argv[1:])
