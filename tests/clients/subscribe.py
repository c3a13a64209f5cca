"""usage: subscribe.py URL TOPIC COUNT   Prints the acknowledgement, then COUNT messages, as JSON."""
import json

import client


async def main(url, topic, count):
    async with client.connect(url) as ws:
        assert ws.subprotocol is None, ws.subprotocol
        await ws.send(json.dumps({"type": "subscribe", "id": 1, "topic": topic}))
        client.show(await client.next_of_type(ws, "subscribed", "error"))
        for _ in range(int(count)):
            client.show(await client.next_of_type(ws, "message"))
    assert ws.close_code == 1000, ws.close_code


client.run(main, 60)
