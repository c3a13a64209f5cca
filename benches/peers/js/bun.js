// Bun's own server, whose WebSocket is uWebSockets, with its own publish and subscribe.
//
// **Slow readers**: Bun drops messages for a socket beyond its backpressure limit, without a word. The
// limit is set so high here that nothing is dropped: what waits for a slow reader is bounded by it.

const BACKPRESSURE_BYTES_MAX = 1 << 30;
const port = Number(process.argv[process.argv.indexOf("--port") + 1]);

const server = Bun.serve({
  hostname: "0.0.0.0",
  port,
  fetch(request, server) {
    const at = request.url.indexOf("?topic=");
    const topic = at < 0 ? null : request.url.slice(at + 7);
    return server.upgrade(request, { data: topic }) ? undefined : new Response(null, { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    sendPings: false,
    backpressureLimit: BACKPRESSURE_BYTES_MAX,
    open(ws) {
      if (ws.data !== null) ws.subscribe(ws.data);
    },
    message(ws, message) {
      if (ws.data === null) ws.send(message);
      else server.publish(ws.data, message);
    },
  },
});

console.log("ready");
