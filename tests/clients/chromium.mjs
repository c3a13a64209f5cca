// usage: chromium.mjs URL...   A page of the installed Chromium against each server. One JSON line for each.
import { accessSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { limit } from './client.mjs';

limit(280);

const { chromium } = createRequire(new URL('.work/node/', import.meta.url))('playwright-core');
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
try {
  accessSync(executablePath);
} catch {
  console.error(`there is no ${executablePath}: install Debian's chromium, or set CHROMIUM`);
  process.exit(2);
}
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath, args, timeout: 60_000 });
const page = await browser.newPage();
const source = readFileSync(new URL('echoing.mjs', import.meta.url), 'utf8').replaceAll('export ', '');
await page.addScriptTag({ content: source });
for (const [server, url] of process.argv.slice(2).entries()) {
  const answer = await page.evaluate(`echoByBrowsersWebSocket(${JSON.stringify(url)})`);
  console.log(JSON.stringify({ server, offer: null, answer }));
}
await browser.close();
process.exit(0);
