"""A client that measures round trips by itself: receiver.py URL RATE SECONDS.

Sends so many messages a second on one connection, each with the moment of its sending, and prints
the round trips in milliseconds as JSON. On the `picows` package, whose receive path is compiled.
"""

import asyncio
import json
import struct
import sys
import time

from picows import WSListener, WSMsgType, ws_connect

PADDING = bytes(56)


class Receiver(WSListener):
    def __init__(self):
        self.trips_ms = []

    def on_ws_frame(self, transport, frame):
        came = time.perf_counter_ns()
        if frame.msg_type == WSMsgType.BINARY:
            (sent,) = struct.unpack_from("<Q", frame.get_payload_as_bytes())
            self.trips_ms.append((came - sent) / 1e6)


async def main(url, rate, seconds):
    transport, receiver = await ws_connect(Receiver, url)
    began = time.perf_counter()
    count = round(rate * seconds)
    for number in range(count):
        await asyncio.sleep(max(0, began + number / rate - time.perf_counter()))
        transport.send(WSMsgType.BINARY, struct.pack("<Q", time.perf_counter_ns()) + PADDING)
    deadline = time.perf_counter() + 10
    while len(receiver.trips_ms) < count and time.perf_counter() < deadline:
        await asyncio.sleep(0.01)
    transport.send_close()
    transport.disconnect()
    print(json.dumps(receiver.trips_ms))


asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
