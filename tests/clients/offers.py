"""usage: offers.py URL...   Offers compression with every combination of parameters to each server and echoes
messages. One JSON line for each: the server's number, the offer, the answer."""
import itertools, random

import client
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

# zlib has no compressor with a window of 2**8, and Python does not hide it: it is offered by nobody.
CLIENT_BITS = (None, True, 9, 15)
SERVER_BITS = (None, 8, 9, 15)


def messages():
    """Text and binary. The last ones are alike, for who may refer to earlier messages."""
    noise = lambda size: random.Random(size).randbytes(size)
    quotes = "".join(f'{{"symbol":"ABC{at % 7}","bid":1.23{at},"ask":1.24{at}}},' for at in range(60))
    return ["", "x", b"", "a\u00e9\u20ac\U0001f980" * 2000, bytes(60000), noise(5000), noise(700) * 60, noise(9000) * 6,
            noise(20000) * 3, quotes, quotes[1:], quotes[7:] + "\U0001f980", noise(700) * 60]


async def echo(url, offer):
    factory = ClientPerMessageDeflateFactory(
        server_no_context_takeover=offer["serverNo"], client_no_context_takeover=offer["clientNo"],
        server_max_window_bits=offer["serverBits"], client_max_window_bits=offer["clientBits"])
    async with connect(url, compression=None, extensions=[factory], open_timeout=20) as ws:
        for message in messages():
            await ws.send(message)
            assert await ws.recv() == message, f"{offer}: not intact"
        for message in messages():
            await ws.send(message)
        for message in messages():
            assert await ws.recv() == message, f"{offer}: not intact when pipelined"
        answer = ws.response.headers.get("Sec-WebSocket-Extensions", "")
    assert ws.close_code == 1000, ws.close_code
    return answer


async def main(*urls):
    for server, url in enumerate(urls):
        for server_no, client_no, server_bits, client_bits in itertools.product(
                (False, True), (False, True), SERVER_BITS, CLIENT_BITS):
            offer = dict(serverNo=server_no, clientNo=client_no, serverBits=server_bits, clientBits=client_bits)
            answer = await echo(url, offer)
            if client_bits is True:
                offer["clientBits"] = "any"
            client.show({"server": server, "offer": offer, "answer": answer})


client.run(main, 280)
