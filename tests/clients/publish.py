"""usage: publish.py URL TOPIC JSON   Publishes one message and prints the answer."""
import json

import client


async def main(url, topic, data):
    async with client.connect(url) as ws:
        await ws.send(f'{{"type":"publish","id":"p","topic":{json.dumps(topic)},"data":{data}}}')
        answer = await client.next_of_type(ws, "ack", "error")
        client.show(answer)
    return 0 if answer["type"] == "ack" else 1


client.run(main, 60)
