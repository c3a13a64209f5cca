// The status page in a real Chromium. What is seen goes to standard output, one line of JSON for each step.
//
//   node browser.mjs look URL                  what the page shows, beside the document that it shows
//   node browser.mjs outlive URL               until the server has gone, and until it is back
//   node browser.mjs shoot URL FOLDER NAME     pictures: phone and desktop, light and dark
import { createRequire } from "node:module";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const { chromium } = createRequire(new URL(".work/", import.meta.url))("playwright-core");
const LIMIT_MS = 60_000;
const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
  "--disable-background-networking", "--disable-component-update"];

const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");

// Runs in the page. Everything that it shows, as text.
const read = () => {
  const text = (id) => document.getElementById(id).textContent.replaceAll("\u00a0", " ").trim();
  const table = (id) =>
    [...document.getElementById(id).rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim()));
  const tiles = {};
  for (const value of document.querySelectorAll(".value")) {
    tiles[value.id] = [text(value.id), text(value.id + "-more")];
  }
  const plots = [...document.querySelectorAll(".line")].map((line) => (line.getAttribute("d").match(/[ML]/g) ?? []).length);
  const tables = Object.fromEntries(["shards", "topics", "closes", "refusals", "drops"].map((id) => [id, table(id)]));
  return { stage: text("stage"), facts: text("facts"), tiles, tables, plots };
};

// Runs in the page. The lowest contrast between a text and what is behind it (WCAG 2.1), and whose it is.
const contrast = () => {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const linear = (value) => ((value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = channels(getComputedStyle(element).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  let worst = [21, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || element.closest("script, style, noscript")) continue;
    const [one, other] = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < worst[0]) worst = [ratio, node.data.trim()];
  }
  return worst;
};

const frames = (page) =>
  page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

// The page with what it was told last and everything that it complained about.
const open = async (context, url) => {
  const page = await context.newPage();
  const seen = { page, told: null, answers: 0, requests: new Set(), complaints: [] };
  page.on("request", (request) => seen.requests.add(request.url()));
  page.on("console", (message) => seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("dialog", (dialog) => { seen.complaints.push("a dialog"); dialog.dismiss(); });
  page.on("response", async (response) => {
    if (!response.url().endsWith("/v1/overview") || !response.ok()) return;
    const body = await response.json().catch(() => null);
    if (body) [seen.told, seen.answers] = [body, seen.answers + 1];
  });
  seen.response = await page.goto(url, { waitUntil: "load" });
  await page.waitForSelector("main[aria-busy=false]", { timeout: LIMIT_MS });
  return seen;
};

// What is shown and the document that it is shown from: again if another one came in between.
const pair = async (seen) => {
  for (;;) {
    const before = seen.answers;
    await seen.page.waitForResponse((response) => response.url().endsWith("/v1/overview"), { timeout: LIMIT_MS });
    while (seen.answers === before) await new Promise((done) => setTimeout(done, 10));
    await frames(seen.page);
    const shown = await seen.page.evaluate(read);
    if (seen.answers === before + 1) return { told: seen.told, shown };
  }
};

const look = async (browser, url) => {
  const context = await browser.newContext({ viewport: SIZES.desktop });
  const seen = await open(context, url);
  const { told, shown } = await pair(seen);
  const fits = {}, contrasts = {};
  for (const [size, viewport] of Object.entries(SIZES)) {
    await seen.page.setViewportSize(viewport);
    fits[size] = await seen.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  }
  for (const colorScheme of ["light", "dark"]) {
    await seen.page.emulateMedia({ colorScheme });
    contrasts[colorScheme] = await seen.page.evaluate(contrast);
  }
  const outline = await seen.page.evaluate(() =>
    [...document.querySelectorAll("h1, h2, h3")].map((heading) => [heading.localName, heading.textContent]));
  const { complaints } = seen;
  say({ told, shown, fits, contrasts, outline, complaints, requests: [...seen.requests] });
};

const outlive = async (browser, url) => {
  const { page } = await open(await browser.newContext(), url);
  const state = () => page.evaluate(() =>
    [document.getElementById("stage").textContent, document.getElementById("alarm").hidden ? "" : document.getElementById("alarm").textContent]);
  say(await state());
  await page.waitForSelector("body[data-stage=gone]", { timeout: LIMIT_MS });
  say(await state());
  await page.waitForSelector("body[data-stage=ready]", { timeout: LIMIT_MS });
  say(await state());
};

const shoot = async (browser, url, folder, name) => {
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ viewport, colorScheme, deviceScaleFactor: size === "phone" ? 2 : 1 });
      const seen = await open(context, url);
      await pair(seen);
      await seen.page.screenshot({ path: path.join(folder, `${name}-${size}-${colorScheme}.png`), fullPage: true });
      await context.close();
    }
  }
  say("done");
};

const [task, url, ...rest] = process.argv.slice(2);
const profile = mkdtempSync(path.join(tmpdir(), "ringwire-page-"));
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS, env: { ...process.env, HOME: profile } });
try {
  await { look, outlive, shoot }[task](browser, url, ...rest);
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
