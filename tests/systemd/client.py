"""A stock client (Debian's python3-websockets): subscribes to a topic and prints what is published to it.

    client.py TOPIC
"""

import asyncio
import json
import sys

import websockets

URL = "ws://127.0.0.1:9001/ws"


async def main(topic):
    async with websockets.connect(URL, subprotocols=["ringwire.v1.json"]) as client:
        assert client.subprotocol == "ringwire.v1.json", client.subprotocol
        await client.send(json.dumps({"type": "subscribe", "id": 1, "topic": topic}))
        async for text in client:
            message = json.loads(text)
            if message["type"] == "message":
                print(message["offset"], json.dumps(message["data"]), flush=True)


asyncio.run(main(sys.argv[1]))
