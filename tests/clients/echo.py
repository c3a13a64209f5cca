"""usage: echo.py URL LARGEST [deflate]   Messages of every interesting size come back as they were sent: one at
a time, pipelined, and in fragments."""
import asyncio, random

import client

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 16 << 20)


def text(size):
    """Valid UTF-8 of exactly `size` octets, with characters of one to four octets."""
    pattern = "a\u00e9\u20ac\U0001f980"
    whole, rest = divmod(size, len(pattern.encode()))
    return pattern * whole + "x" * rest


def fragments(data, count):
    step = max(1, -(-len(data) // count))
    return [data[at:at + step] for at in range(0, len(data), step)]


async def main(url, largest, extension=""):
    sizes = [n for n in SIZES if n <= int(largest)]
    octets = random.Random(6455).randbytes(max(sizes))
    messages = [make(n) for n in sizes for make in (text, lambda n: octets[:n])]
    async with client.connect(url) as ws:
        agreed = [type(extension).__name__ for extension in ws.protocol.extensions]
        assert agreed == (["PerMessageDeflate"] if extension else []), agreed
        for message in messages:
            await ws.send(message)
            assert await ws.recv() == message, f"{len(message)}: not intact"

        small = [message for message in messages if len(message) <= 65536]
        pipelined = [small[i * 7 % len(small)] for i in range(200)]

        async def send_all():
            for message in pipelined:
                await ws.send(message)

        sending = asyncio.create_task(send_all())
        for index, message in enumerate(pipelined):
            assert await ws.recv() == message, f"pipelined message {index}: not intact"
        await sending

        split = [message for message in messages if len(message) > 1]
        for message in split:
            await ws.send(fragments(message, 7))
            assert await ws.recv() == message, f"{len(message)} in fragments: not intact"
        pong = await ws.ping(b"still there")
        await pong
    assert ws.close_code == 1000, ws.close_code
    print(f"ok {len(messages)} single {len(pipelined)} pipelined {len(split)} fragmented")


client.run(main, 120)
