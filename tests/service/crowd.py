"""A crowd of idle WebSocket clients that waits to be told to go.

    crowd.py HOST PORT CONNECTIONS [SOURCE]

Prints `open` when all are upgraded, and at the end one line of JSON: how many were closed with which
code, how many were advised when to come back, and the moments (CLOCK_MONOTONIC) of the first and the
last close. Ends when every connection has ended. SOURCE is the address that it connects from, for crowds
that would use up the ports of one.
"""

import collections
import json
import re
import selectors
import socket
import sys
import time

HEAD = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# A masked close frame with the code 1001; the mask is zero.
CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe9"
PATIENCE_S = 60


def connect(host, port, source):
    stream = socket.create_connection((host, port), PATIENCE_S, source and (source, 0))
    stream.sendall(HEAD)
    answer = b""
    while b"\r\n\r\n" not in answer:
        octets = stream.recv(4096)
        assert octets, f"hung up after {answer!r}"
        answer += octets
    head, rest = answer.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    stream.setblocking(False)
    return stream, bytearray(rest)


def frame(buffer):
    """The first frame of a server, as opcode and payload, or nothing yet. Short ones only."""
    if len(buffer) < 2 or len(buffer) < 2 + buffer[1]:
        return None
    size = buffer[1]
    assert size < 126, "control frames are short"
    opcode, payload = buffer[0] & 15, bytes(buffer[2 : 2 + size])
    del buffer[: 2 + size]
    return opcode, payload


def main():
    host, port, connections = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    source = sys.argv[4] if len(sys.argv) > 4 else None
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        stream, buffer = connect(host, port, source)
        selector.register(stream, selectors.EVENT_READ, buffer)
    print("open", flush=True)

    codes, advised, moments = collections.Counter(), 0, []
    while selector.get_map():
        for key, _ in selector.select():
            stream, buffer = key.fileobj, key.data
            try:
                octets = stream.recv(4096)
            except ConnectionResetError:
                octets = b""
            if not octets:
                selector.unregister(stream)
                stream.close()
                continue
            buffer += octets
            while (got := frame(buffer)) is not None:
                opcode, payload = got
                if opcode == 9:
                    stream.send(b"\x8a\x80\x00\x00\x00\x00")
                elif opcode == 8:
                    moments.append(time.monotonic())
                    codes[int.from_bytes(payload[:2], "big")] += 1
                    advised += bool(re.search(rb"retry_after_ms=\d+$", payload))
                    stream.send(CLOSE)
    print(
        json.dumps(
            {"codes": codes, "advised": advised, "first": min(moments), "last": max(moments)}
        ),
        flush=True,
    )


main()
