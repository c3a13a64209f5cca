// usage: echo.mjs URL LARGEST [deflate]   Messages of every interesting size come back as they were
// sent: one at a time, pipelined, and in fragments with pings in between.
import { Buffer } from 'node:buffer';
import { close, connect, limit } from './client.mjs';

const [url, largest] = [process.argv[2], Number(process.argv[3])];
const extension = process.argv[4] === 'deflate' ? 'permessage-deflate' : '';
const sizes = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 16 << 20].filter((n) => n <= largest);
limit(120);

/** Valid UTF-8 of exactly `size` octets, with characters of one to four octets. */
function text(size) {
  const pattern = Buffer.from('a\u00e9\u20ac\u{1f980}'); // 1 + 2 + 3 + 4 octets
  const out = Buffer.alloc(size, 'x');
  for (let at = 0; at + pattern.length <= size; at += pattern.length) pattern.copy(out, at);
  return out;
}

function binary(size) {
  const out = Buffer.alloc(size);
  for (let at = 0; at < size; at += 1) out[at] = (at * 31 + (at >> 8)) & 0xff;
  return out;
}

function check(got, data, isBinary, what) {
  if (got.isBinary !== isBinary || !got.data.equals(data)) throw new Error(`${what}: not intact`);
}

function fragments(ws, data, isBinary, count) {
  const step = Math.max(1, Math.ceil(data.length / count));
  for (let at = 0; at < data.length; at += step) {
    const fin = at + step >= data.length;
    ws.send(data.subarray(at, at + step), { binary: isBinary, fin });
    if (!fin) ws.ping(`${at}`);
  }
}

const { ws, next } = await connect(url);
if (ws.extensions !== extension) throw new Error(`agreed on "${ws.extensions}"`);
const messages = sizes.flatMap((n) => [[text(n), false], [binary(n), true]]);

for (const [data, isBinary] of messages) {
  ws.send(data, { binary: isBinary });
  check(await next(), data, isBinary, `${data.length} octets`);
}

const small = messages.filter(([data]) => data.length <= 65536);
const pipelined = Array.from({ length: 200 }, (_, i) => small[(i * 7) % small.length]);
for (const [data, isBinary] of pipelined) ws.send(data, { binary: isBinary });
for (const [i, [data, isBinary]] of pipelined.entries()) {
  check(await next(), data, isBinary, `pipelined message ${i}`);
}

let pongs = 0;
ws.on('pong', () => { pongs += 1; });
let fragmented = 0;
for (const [data, isBinary] of messages.filter(([message]) => message.length > 1)) {
  fragments(ws, data, isBinary, 7); // 7 splits characters, too
  check(await next(), data, isBinary, `${data.length} octets in fragments`);
  fragmented += 1;
}
if (pongs === 0) throw new Error('no ping between fragments was answered');

await close(ws);
console.log(`ok ${messages.length} single ${pipelined.length} pipelined ${fragmented} fragmented`);
process.exit(0);
