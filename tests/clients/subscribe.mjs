// usage: subscribe.mjs URL TOPIC COUNT   Prints the acknowledgement, then COUNT messages, as JSON.
import { close, connect, limit, nextOfType } from './client.mjs';

const [url, topic, count] = process.argv.slice(2);
limit(60);
const { ws, next } = await connect(url, ['ringwire.v1.json']);
if (ws.protocol !== 'ringwire.v1.json') throw new Error(`subprotocol: "${ws.protocol}"`);
ws.send(JSON.stringify({ type: 'subscribe', id: 1, topic }));
console.log(JSON.stringify(await nextOfType(next, 'subscribed', 'error')));
for (let i = 0; i < Number(count); i += 1) {
  console.log(JSON.stringify(await nextOfType(next, 'message')));
}
await close(ws);
process.exit(0);
