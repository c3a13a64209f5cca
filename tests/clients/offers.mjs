// usage: offers.mjs URL...   Offers compression with every combination of parameters to each server and
// echoes messages. One JSON line for each: the server's number, the offer, the answer.
import { close, connect, limit } from './client.mjs';
import { messages, same } from './echoing.mjs';

limit(280);

const BITS = [8, 9, 15];

function* offers() {
  for (const serverNo of [false, true]) {
    for (const clientNo of [false, true]) {
      for (const serverBits of [null, ...BITS]) {
        for (const clientBits of [null, 'any', ...BITS]) {
          yield { serverNo, clientNo, serverBits, clientBits };
        }
      }
    }
  }
}

function options({ serverNo, clientNo, serverBits, clientBits }) {
  return {
    threshold: 0,
    serverNoContextTakeover: serverNo,
    clientNoContextTakeover: clientNo || undefined, // false would be a condition
    serverMaxWindowBits: serverBits ?? undefined,
    clientMaxWindowBits: clientBits === 'any' ? true : clientBits ?? false,
  };
}

async function echo(url, offer) {
  let answer = null;
  const perMessageDeflate = options(offer);
  const { ws, next } = await connect(url, [], { perMessageDeflate }, (response) => {
    answer = response.headers['sec-websocket-extensions'] ?? '';
  });
  const all = messages();
  const check = async (what) => {
    for (const [index, message] of all.entries()) {
      if (what === 'message') ws.send(message);
      const { data, isBinary } = await next();
      if (!same(message, isBinary ? data : data.toString())) {
        throw new Error(`${JSON.stringify(offer)}: ${what} ${index} is not intact`);
      }
    }
  };
  await check('message');
  for (const message of all) ws.send(message);
  await check('pipelined message');
  await close(ws);
  return answer;
}

for (const [server, url] of process.argv.slice(2).entries()) {
  for (const offer of offers()) {
    const answer = await echo(url, offer);
    console.log(JSON.stringify({ server, offer, answer }));
  }
}
process.exit(0);
