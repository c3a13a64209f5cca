// What the scripts share: the installed `ws`, a time limit, and messages as something to await.
import { createRequire } from 'node:module';

export const WebSocket = createRequire(new URL('.work/node/', import.meta.url))('ws');

/** Ends the script with an error when it takes longer: nothing here waits for ever. */
export function limit(seconds) {
  const late = () => { console.error(`not done in ${seconds} s`); process.exit(3); };
  setTimeout(late, seconds * 1000).unref();
}

/** An open connection; `next()` gives its messages in order and throws when it has ended. */
export async function connect(url, protocols = [], options = {}, onUpgrade = () => {}) {
  const ws = new WebSocket(url, protocols, options);
  ws.on('upgrade', onUpgrade);
  const arrived = [];
  let wake = () => {};
  let ended = null;
  const end = (why) => { ended ??= why; wake(); };
  ws.on('message', (data, isBinary) => { arrived.push({ data, isBinary }); wake(); });
  ws.on('close', (code, reason) => end(new Error(`closed: ${code} ${reason}`)));
  ws.on('error', end);
  const next = async () => {
    while (arrived.length === 0) {
      if (ended) throw ended;
      await new Promise((resolve) => { wake = resolve; });
    }
    return arrived.shift();
  };
  await new Promise((resolve, reject) => { ws.on('open', resolve); ws.on('error', reject); });
  return { ws, next };
}

/** The next message as JSON whose `type` is wanted; others (welcome, join, ...) are passed over. */
export async function nextOfType(next, ...types) {
  for (;;) {
    const { data, isBinary } = await next();
    if (isBinary) throw new Error('a binary message in the JSON protocol');
    const message = JSON.parse(data.toString());
    if (types.includes(message.type)) return message;
  }
}

/** Closes and waits until the other end has agreed. */
export async function close(ws) {
  if (ws.readyState === WebSocket.CLOSED) return;
  const closed = new Promise((resolve) => ws.once('close', resolve));
  ws.close(1000);
  const code = await closed;
  if (code !== 1000) throw new Error(`closed with ${code}, not 1000`);
}
