// usage: bun bun.mjs URL...   Bun's own WebSocket against each server. One JSON line for each.
import { echoByBrowsersWebSocket } from './echoing.mjs';

for (const [server, url] of process.argv.slice(2).entries()) {
  const answer = await echoByBrowsersWebSocket(url);
  console.log(JSON.stringify({ server, offer: null, answer }));
}
process.exit(0);
