"use strict";
{
  const PERIOD_MS = 2000;
  const PATIENCE_MS = 8000;
  // With more shards than these the table is folded away behind a strip of narrow bars.
  const SHARDS_LISTED = 16;
  const POINTS = 150;
  const HOT = 0.8;
  const GAP = "\u00a0";

  const at = (id) => document.getElementById(id);
  const make = (name, text = "", kind = "") => {
    const element = document.createElement(name);
    element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };
  const drawn = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const count = (number) => grouped.format(number);
  const rate = (number) => {
    if (number === 0) return "0";
    if (number < 9.95) return number.toFixed(1);
    if (number < 9999.5) return count(number);
    if (number < 999950) return (number / 1e3).toFixed(1) + GAP + "k";
    if (number < 999995000) return (number / 1e6).toFixed(2) + GAP + "M";
    return (number / 1e9).toFixed(2) + GAP + "G";
  };
  const octets = (number) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (number >= 1023.95 && unit < units.length - 1) [number, unit] = [number / 1024, unit + 1];
    return (unit === 0 ? count(number) : number.toFixed(1)) + GAP + units[unit];
  };
  const share = (ratio) => {
    const percent = ratio * 100;
    return (percent >= 0.05 && percent < 9.95 ? percent.toFixed(1) : count(percent)) + GAP + "%";
  };
  const span = (seconds) => {
    const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
    const from = Math.min(parts.findIndex(([, size]) => seconds >= size) >>> 0, 3);
    const shown = parts.slice(from, from + 2).map(([name, size], index) => {
      const whole = index === 0 ? seconds : seconds % parts[from][1];
      return Math.floor(whole / size) + GAP + name;
    });
    return shown.join(" ");
  };

  // A plot's scale ends at its highest value, or at `floor` if that is more: noise stays small.
  const tile = (name, title, floor = 0) => {
    const box = make("div", "", "tile");
    const value = make("div", "–", "value");
    value.id = name;
    const more = make("div", "", "more");
    more.id = name + "-more";
    const plot = make("div", "", "plot");
    const svg = drawn("svg", { viewBox: `0 0 ${POINTS - 1} 40`, preserveAspectRatio: "none", role: "img" });
    const [area, line] = [drawn("path", { class: "area" }), drawn("path", { class: "line" })];
    svg.append(area, line);
    const top = make("span");
    plot.append(svg, top);
    box.append(make("h3", title), value, more, plot);
    at("tiles").append(box);
    const draw = (values, write) => {
      const most = Math.max(0, ...values);
      const x = (index) => POINTS - values.length + index;
      const scale = Math.max(most, floor);
      const y = (value) => (scale > 0 ? 38 - 35 * (value / scale) : 38).toFixed(1);
      const points = values.map((value, index) => `${x(index)} ${y(value)}`);
      line.setAttribute("d", points.length > 1 ? "M" + points.join("L") : "");
      area.setAttribute("d", points.length > 1 ? `M${x(0)} 40L${points.join("L")}L${POINTS - 1} 40Z` : "");
      top.textContent = most > 0 ? "max " + write(most) : "";
      svg.setAttribute("aria-label", `${title}, last five minutes, at most ${write(most)}`);
    };
    return (text, unit, detail, values, write, mood = "") => {
      value.replaceChildren(text, unit ? make("small", unit) : "");
      more.textContent = detail;
      box.className = "tile " + mood;
      draw(values, write);
    };
  };

  const tiles = {
    connections: tile("connections", "Connections"),
    received: tile("received", "Messages in"),
    sent: tile("sent", "Messages out"),
    deliveries: tile("deliveries", "Deliveries"),
    load: tile("load", "Busiest shard", 0.1),
    egress: tile("egress", "Waiting to be sent"),
    accepts: tile("accepts", "New connections"),
    closes: tile("closes-rate", "Closed connections"),
  };

  const rows = (body, list, columns, none) => {
    if (list.length > 0) return body.replaceChildren(...list);
    const [row, cell] = [make("tr"), make("td", none, "none")];
    cell.colSpan = columns;
    row.append(cell);
    body.replaceChildren(row);
  };
  const row = (...cells) => {
    const line = make("tr");
    line.append(...cells);
    return line;
  };
  const number = (text, kind = "") => make("td", text, "n " + kind);

  const showTiles = ({ status, history }) => {
    const { connections, rates } = status;
    const full = connections.max > 0 ? connections.open / connections.max : 0;
    const queued = status.egress_max_bytes > 0 ? status.egress_queued_bytes / status.egress_max_bytes : 0;
    const loads = status.shards.map((shard) => shard.loop_busy_ratio);
    const load = Math.max(0, ...loads);
    const mood = (ratio) => (ratio >= 0.95 ? "bad" : ratio >= HOT ? "warn" : "");
    const most = connections.max > 0 ? `of ${count(connections.max)} allowed` : "";
    tiles.connections(count(connections.open), "", most, history.connections_open, count, mood(full));
    tiles.received(rate(rates.messages_received_per_second), "/s",
      octets(rates.received_bytes_per_second) + "/s", history.messages_received_per_second, rate);
    // What handlers send and what topics deliver is counted apart.
    const out = history.messages_sent_per_second.map((sent, at) => sent + history.deliveries_per_second[at]);
    tiles.sent(rate(rates.messages_sent_per_second + rates.deliveries_per_second), "/s",
      octets(rates.sent_bytes_per_second) + "/s", out, rate);
    tiles.deliveries(rate(rates.deliveries_per_second), "/s",
      `from ${rate(rates.publishes_per_second)}/s published`, history.deliveries_per_second, rate);
    const busiest = loads.length > 1 ? `shard ${loads.indexOf(load)} of ${loads.length}` : "the only one";
    tiles.load(share(load), "", busiest, history.loop_busy_ratio_max, share, mood(load));
    const limit = status.egress_max_bytes > 0 ? `${share(queued)} of ${octets(status.egress_max_bytes)}` : "";
    tiles.egress(octets(status.egress_queued_bytes), "", limit, history.egress_queued_bytes, octets, mood(queued));
    tiles.accepts(rate(rates.accepts_per_second), "/s",
      `${count(connections.accepted)} so far`, history.accepts_per_second, rate);
    // Like the other rates: of ten seconds.
    const latest = history.closes_per_second.slice(-5);
    const closed = latest.reduce((sum, closes) => sum + closes, 0) / Math.max(1, latest.length);
    tiles.closes(rate(closed), "/s",
      `${count(connections.slow_consumers_closed)} slow, ${count(connections.heartbeats_lost)} lost`,
      history.closes_per_second, rate);
  };

  const bar = (ratio) => {
    const [box, fill] = [make("div", "", ratio >= HOT ? "bar hot" : "bar"), make("i")];
    fill.style.width = ratio * 100 + "%";
    box.append(fill);
    return box;
  };
  const shardRow = (shard) => {
    const [cell, box] = [make("td", "", "loads"), make("div", "", "load")];
    box.append(bar(shard.loop_busy_ratio), make("b", share(shard.loop_busy_ratio)));
    cell.append(box);
    return row(make("td", shard.shard), cell, number(count(shard.connections_open)),
      number(count(shard.subscriptions), "wide"), number(octets(shard.egress_queued_bytes)));
  };
  const stripBar = (shard) => {
    const [box, fill] = [make("div", "", shard.loop_busy_ratio >= HOT ? "hot" : ""), make("i")];
    fill.style.height = shard.loop_busy_ratio * 100 + "%";
    box.title = `shard ${shard.shard}: ${share(shard.loop_busy_ratio)}`;
    box.append(fill);
    return box;
  };
  let isFolded = false;
  const showShards = ({ shards }) => {
    const loads = shards.map((shard) => shard.loop_busy_ratio);
    const mean = loads.reduce((sum, ratio) => sum + ratio, 0) / Math.max(1, loads.length);
    const summary = `${shards.length}, on average ${share(mean)} busy`;
    const isMany = shards.length > SHARDS_LISTED;
    at("shards-aside").textContent = summary;
    at("strip").hidden = !isMany;
    const details = at("shards-details");
    details.classList.toggle("few", !isMany);
    if (isMany && !isFolded) [details.open, isFolded] = [false, true];
    if (isMany) {
      at("strip").setAttribute("aria-label", `Load of the shards: ${summary}`);
      at("strip").replaceChildren(...shards.map(stripBar));
    }
    if (details.open) rows(at("shards"), shards.map(shardRow), 5, "None.");
  };

  const topicRow = (topic) => {
    const [cell, name] = [make("td", "", "topic"), make("bdi", topic.topic)];
    cell.title = topic.topic;
    cell.append(name);
    return row(cell, number(count(topic.subscribers)), number(rate(topic.messages_per_second)),
      number(count(topic.offset), "wide"));
  };
  const showTopics = ({ status, topics }) => {
    const known = `${count(status.topics)} in all, ${count(status.subscriptions)} subscriptions`;
    at("topics-aside").textContent = topics.seconds > 0 ? `${known}; over ${span(topics.seconds)}` : known;
    rows(at("topics"), topics.busiest.map(topicRow), 4, "None yet.");
  };

  const causeRow = (hasCode) => (cause) => {
    const names = hasCode ? [make("td", cause.label), make("td", cause.meaning)] : [make("td", cause.meaning)];
    const recent = number(count(cause.recent), cause.recent > 0 ? "recent" : "recent zero");
    return row(...names, recent, number(count(cause.total)));
  };

  const show = (overview) => {
    const { status } = overview;
    document.body.dataset.stage = status.state;
    at("stage").textContent = status.state;
    const facts = [location.host, status.version, `up ${span(status.uptime_seconds)}`];
    if (status.memory_resident_bytes > 0) facts.push(octets(status.memory_resident_bytes));
    at("facts").textContent = facts.join(" · ");
    document.title = `${count(status.connections.open)} · Ringwire`;
    const isDraining = status.state === "draining";
    at("alarm").hidden = !isDraining;
    if (isDraining) {
      at("alarm").textContent =
        `Draining: clients are told to go, and nobody new is accepted. ${count(status.connections.open)} left.`;
    }
    showTiles(overview);
    showShards(status);
    showTopics(overview);
    rows(at("closes"), overview.closes.map(causeRow(true)), 4, "None so far.");
    rows(at("refusals"), overview.refusals.map(causeRow(false)), 3, "None so far.");
    rows(at("drops"), overview.drops.map(causeRow(false)), 3, "None so far.");
    at("main").setAttribute("aria-busy", "false");
  };

  let lost = null;
  const gone = (why) => {
    lost ??= new Date();
    document.body.dataset.stage = "gone";
    at("stage").textContent = "no answer";
    document.title = "no answer · Ringwire";
    at("alarm").hidden = false;
    at("alarm").textContent = `No answer from the server since ${lost.toLocaleTimeString()} (${why}). ` +
      `What is below is what it said last. Asking again every ${PERIOD_MS / 1000} s.`;
  };

  const ask = async () => {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch("/v1/overview", { cache: "no-store", signal });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer.json();
  };

  // An update of the server brings a page of its own.
  let version = null;
  const look = async () => {
    try {
      const overview = await ask();
      version ??= overview.status.version;
      if (version !== overview.status.version) return location.reload();
      lost = null;
      show(overview);
    } catch (error) {
      gone(error.name === "TimeoutError" ? "it takes too long" : error.message);
    }
  };

  // Nobody sees a hidden page, so it asks nothing.
  let timer = 0;
  const watch = async () => {
    clearTimeout(timer);
    timer = 0;
    if (document.hidden) return;
    await look();
    clearTimeout(timer);
    timer = setTimeout(watch, PERIOD_MS);
  };
  document.addEventListener("visibilitychange", watch);
  at("shards-details").addEventListener("toggle", () => { if (timer) watch(); });
  watch();
}
