"""What the scripts share: a time limit, and the JSON protocol. No subprotocol is offered: a client
that offers none gets the same."""
import asyncio, json, sys

from websockets.asyncio.client import connect as _connect

SIZE_MAX = 32 << 20


def connect(url):
    return _connect(url, max_size=SIZE_MAX, open_timeout=10, close_timeout=10)


async def next_of_type(ws, *types):
    """The next message of a wanted type; others (welcome, join, ...) are passed over."""
    while True:
        data = await ws.recv()
        if not isinstance(data, str):
            raise SystemExit("a binary message in the JSON protocol")
        message = json.loads(data)
        if message["type"] in types:
            return message


def show(message):
    print(json.dumps(message), flush=True)


def run(main, seconds):
    """Runs `main(*arguments)` and ends with its result; nothing here waits for ever."""
    sys.exit(asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), seconds)))
