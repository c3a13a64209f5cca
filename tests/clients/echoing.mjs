// Messages that show what compression did to them, and their echo by the WebSocket of browsers. Imports
// nothing: a browser is given this file as it is.

/** Octets that do not compress, the same for the same seed. */
function noise(size, seed) {
  const out = new Uint8Array(size);
  let state = seed;
  for (let at = 0; at < size; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[at] = state >>> 24;
  }
  return out;
}

/** `block` again and again: it compresses only for who can refer as far back as it is long. */
function repeated(block, times) {
  const out = new Uint8Array(block.length * times);
  for (let time = 0; time < times; time += 1) out.set(block, time * block.length);
  return out;
}

/** Text and binary. The last ones are alike, for who may refer to earlier messages. */
export function messages() {
  const quote = (at) => `{"symbol":"ABC${at % 7}","bid":1.23${at},"ask":1.24${at}},`;
  const quotes = Array.from({ length: 60 }, (_, at) => quote(at)).join('');
  return [
    '',
    'x',
    new Uint8Array(0),
    'a\u00e9\u20ac\u{1f980}'.repeat(2000),
    new Uint8Array(60000),
    noise(5000, 1),
    repeated(noise(700, 2), 60),
    repeated(noise(9000, 3), 6),
    repeated(noise(20000, 4), 3),
    quotes,
    quotes.slice(1),
    `${quotes.slice(7)}\u{1f980}`,
    repeated(noise(700, 2), 60),
  ];
}

/** Whether what came back is what was sent; octets come as an ArrayBuffer or a view of one. */
export function same(sent, got) {
  if (typeof sent === 'string') return sent === got;
  if (typeof got === 'string') return false;
  const octets = got instanceof ArrayBuffer ? new Uint8Array(got) : got;
  return octets.length === sent.length && sent.every((octet, at) => octet === octets[at]);
}

/** Sends each message and waits for it, then sends all and waits for them. Gives what was agreed on. */
export async function echoByBrowsersWebSocket(url) {
  const ws = new WebSocket(url);
  ws.binaryType = 'arraybuffer';
  const arrived = [];
  let wake = () => {};
  let ended = null;
  ws.onmessage = (event) => { arrived.push(event.data); wake(); };
  ws.onclose = (event) => { ended = new Error(`closed: ${event.code} ${event.reason}`); wake(); };
  const next = async () => {
    while (arrived.length === 0) {
      if (ended) throw ended;
      await new Promise((resolve) => { wake = resolve; });
    }
    return arrived.shift();
  };
  await new Promise((resolve, reject) => {
    ws.onopen = resolve;
    ws.onerror = () => reject(new Error('it did not open'));
  });
  const all = messages();
  for (const [index, message] of all.entries()) {
    ws.send(message);
    if (!same(message, await next())) throw new Error(`message ${index} is not intact`);
  }
  for (const message of all) ws.send(message);
  for (const [index, message] of all.entries()) {
    if (!same(message, await next())) throw new Error(`pipelined message ${index} is not intact`);
  }
  const { extensions } = ws;
  const closed = new Promise((resolve) => { ws.onclose = (event) => resolve(event.code); });
  ws.close(1000);
  const code = await closed;
  if (code !== 1000) throw new Error(`closed with ${code}, not 1000`);
  return extensions;
}
