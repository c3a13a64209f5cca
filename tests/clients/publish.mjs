// usage: publish.mjs URL TOPIC JSON   Publishes one message and prints the answer.
import { close, connect, limit, nextOfType } from './client.mjs';

const [url, topic, json] = process.argv.slice(2);
limit(60);
const { ws, next } = await connect(url, ['ringwire.v1.json']);
ws.send(`{"type":"publish","id":"p","topic":${JSON.stringify(topic)},"data":${json}}`);
const answer = await nextOfType(next, 'ack', 'error');
console.log(JSON.stringify(answer));
await close(ws);
process.exit(answer.type === 'ack' ? 0 : 1);
