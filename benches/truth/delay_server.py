"""An echo server that keeps every message for a known time, drops some, and keeps account of it.

delay_server.py DELAY_MS DROP_EVERY: prints its port; when its input ends it prints what it has done
as JSON. On the `websockets` package: nothing here is shared with Ringwire.
"""

import asyncio
import json
import sys
import time

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

account = {"messages": 0, "dropped": 0, "kept_ms": []}


async def send_when_due(ws, queue, delay):
    """Sends in order what has been kept for long enough."""
    while True:
        came, message = await queue.get()
        # The loop's timers may come a little early: never send before time.
        while (left := came + delay - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        await ws.send(message)
        account["kept_ms"].append((time.perf_counter() - came) * 1e3)


async def connection(ws, delay, drop_every):
    queue = asyncio.Queue()
    sender = asyncio.create_task(send_when_due(ws, queue, delay))
    try:
        async for message in ws:
            account["messages"] += 1
            if drop_every and account["messages"] % drop_every == 0:
                account["dropped"] += 1
            else:
                queue.put_nowait((time.perf_counter(), message))
    except ConnectionClosed:
        pass  # the generator ends with its run and says no farewell
    finally:
        sender.cancel()


async def main(delay_ms, drop_every):
    async def handler(ws):
        await connection(ws, delay_ms / 1e3, drop_every)

    async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps(account), flush=True)


asyncio.run(main(float(sys.argv[1]), int(sys.argv[2])))
