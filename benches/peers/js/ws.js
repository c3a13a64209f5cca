// ws on node, with the native addon that its documentation recommends for speed.
//
// With `--deflate` it agrees to compressed messages, with nothing carried over, and compresses all.
//
// **Slow readers**: what a socket does not take waits in its stream without bound; nothing is dropped.

import { WebSocketServer } from "ws";

const port = Number(process.argv[process.argv.indexOf("--port") + 1]);
const perMessageDeflate = process.argv.includes("--deflate") &&
  { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0, concurrencyLimit: 10 };
const server = new WebSocketServer({ host: "0.0.0.0", port, backlog: 65535, perMessageDeflate });
const topics = new Map();

function subscribe(ws, topic) {
  if (!topics.has(topic)) topics.set(topic, new Set());
  const subscribers = topics.get(topic);
  subscribers.add(ws);
  ws.on("message", (data, binary) => {
    for (const subscriber of subscribers) subscriber.send(data, { binary });
  });
  ws.on("close", () => subscribers.delete(ws));
}

server.on("connection", (ws, request) => {
  // An error is the end of the connection, whichever it is.
  ws.on("error", () => {});
  const at = request.url.indexOf("?topic=");
  if (at >= 0) subscribe(ws, request.url.slice(at + 7));
  else ws.on("message", (data, binary) => ws.send(data, { binary }));
});

server.on("listening", () => console.log("ready"));
