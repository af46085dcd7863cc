/* The status-page rows of a trial's timeline: functions, what ran, alerts and gauges, on the timeline's own axis.
   Thin is fine, tall is not; like all text from outside, names only ever become textContent. */
"use strict";

const FAILING = 1; /* a function's spell in which too many arrivals failed; in any other they were late */

/* Draw all rows from `y` down; gives where they end. `chart` is what the timeline's own rows are drawn with. */
function drawStatus(status, y, end, chart) {
  const { add, right } = chart;
  const parts = [
    status.functions.length && ((at) => drawFunctions(status, at, end, chart)),
    status.hosts && ((at) => drawHosts(status.hosts, at, end, chart)),
    ...status.alerts.map((lane) => (at) => drawAlerts(lane, at, chart)),
    ...status.gauges.map((lane) => (at) => drawGauge(lane, at, end, chart)),
  ].filter(Boolean);
  for (const part of parts) {
    y = part(y + 4) + 4;
    add("line", { class: "frame", x1: 0, x2: right, y1: y, y2: y });
  }
  return y;
}

/* As much of a text as there is room for. */
function cut(text, room, weight = 600) {
  if (wide(text, weight) <= room) return text;
  let n = text.length;
  while (n > 1 && wide(`${text.slice(0, n)}…`, weight) > room) n -= 1;
  return `${text.slice(0, n).trimEnd()}…`;
}

/* The name of a row, whose letters are larger than those `wide` measures. */
function gutter(text, y, { add, left }, wrong) {
  add("text", { class: wrong ? "name end wrong" : "name end", x: left - 12, y }, cut(text, ((left - 14) * 11.5) / 13));
}

/* The longest of `texts` that fits on a bar from a to b; drawn on it. Gives its width, 0 if there was none. */
function onBar(texts, a, b, y, kind, { add }) {
  const fits = texts.find((text) => b - a > wide(text) + 14);
  if (fits) add("text", { class: kind, x: a + 7, y }, fits);
  return fits ? wide(fits) : 0;
}

/* Text on a plate of its own, so that the bar below does not strike it through. */
function plate(text, x, y, kind, { add }) {
  add("rect", { class: "plate", x: x - 4, y: y - 12, width: wide(text, kind === "strong" ? 600 : 400) + 8, height: 16, rx: 3 });
  add("text", { class: kind, x, y }, text);
}

/* What comes after a bar from a to b: behind it where there is room before `until`, else at its end where `taken` leaves some. */
function after(text, a, b, taken, until, y, kind, chart) {
  if (until - b > wide(text) + 14) plate(text, b + 10, y, "strong", chart);
  else if (b - a > taken + wide(text) + 24) chart.add("text", { class: `${kind} end`, x: b - 7, y }, text);
}

function drawDeadline(deadline, top, bottom, { add, x, left, right }) {
  if (!deadline || x(deadline[0]) < left || x(deadline[0]) > right) return;
  const at = x(deadline[0]), back = at + wide(deadline[1]) + 6 > right;
  for (const kind of ["limit-edge", "limit"]) add("line", { class: kind, x1: at, x2: at, y1: top, y2: bottom });
  add("text", { class: back ? "wrong end" : "wrong", x: at + (back ? -4 : 4), y: top + 9 }, deadline[1]);
}

function drawBlind(blind, top, bottom, { add, clipped }) {
  for (const [from, to] of blind) {
    const [a, b] = clipped(from, to);
    if (b > a) add("rect", { class: "span-blind", x: a, y: top, width: Math.max(2, b - a), height: bottom - top });
  }
}

function drawFunctions(status, y, end, chart) {
  const { add, x, clipped, left, right, scene } = chart, top = y, pitch = 23;
  if (status.deadline && x(status.deadline[0]) >= left && x(status.deadline[0]) <= right) y += 11;
  for (const row of status.functions) {
    const [a, b] = clipped(row.since, end), text = y + 15.5, last = row.spells[row.spells.length - 1];
    if (b > a) add("rect", { class: "span-fine", x: a, y: y + 8.5, width: b - a, height: 6, rx: 3 });
    for (const [n, [from, to, meaning, words]] of row.spells.entries()) {
      const [c, d] = clipped(from, to), failing = meaning === FAILING;
      if (d <= c) continue;
      add("rect", { class: failing ? "span-late" : "span-within", x: c, y: y + 2, width: Math.max(2, d - c), height: 19, rx: 3 });
      const [, share] = words.match(/\(([^)]*)\)/) || [];
      const texts = failing ? [words, words.split(/ \(|,/)[0], share].filter(Boolean) : [words, words.split(";")[0], "slow"];
      const taken = onBar(texts, c, d, text, failing ? "on-late" : "on-within", chart);
      const over = to < end ? `recovered ${since(to)}` : "not recovered";
      if (n === row.spells.length - 1 && x(to) > left && x(to) <= right) after(over, c, d, taken, to < end ? right : d, text, failing ? "on-late" : "on-within", chart);
    }
    gutter(row.name, text, chart, Boolean(last));
    scene.said.push({
      top: y, end: y + pitch, say: (t) => {
        const spell = row.spells.find(([from, to]) => t >= from && t < to);
        if (!spell) return [`${row.name}, ${since(Math.round(t))}`, t < row.since ? "not asked for yet" : "fine"];
        const [from, to, meaning, words] = spell;
        const until = to < end ? `${seconds(to, 2)} (${duration(to - from)})` : "the end of the trial, not recovered";
        return [`${row.name}, ${since(Math.round(t))}: ${meaning === FAILING ? "failing" : "slow"}`, words, `degraded from ${seconds(from, 2)} to ${until}`];
      },
    });
    y += pitch;
  }
  if (status.hidden) {
    add("text", { class: "start", x: left + 4, y: y + 11 }, `and ${status.hidden} more functions, all fine`);
    y += 16;
  }
  drawDeadline(status.deadline, top, y, chart);
  return y;
}

function drawHosts(hosts, y, end, chart) {
  const { add, x, clipped, left, right, scene } = chart, top = y;
  const started = (starts, at) => {
    for (const [t] of starts) {
      if (x(t) >= left && x(t) <= right) add("path", { class: "dot-start", d: `M${x(t)} ${at + 6}l4.5 8h-9z` });
    }
  };
  const near = (starts, t) => starts.filter(([at]) => Math.abs(at - t) < scene.time(6) - scene.time(0)).map(([at, what]) => `${seconds(at, 2)}: ${what} started`);
  const [first, last] = clipped(-Infinity, end);
  for (const row of hosts.rows) {
    const text = y + 15, [lastFrom, lastTo] = row.absent[row.absent.length - 1];
    if (last > first) add("rect", { class: "span-listed", x: first, y: y + 8, width: last - first, height: 6, rx: 1 });
    for (const [from, to, names] of row.absent) {
      const [a, b] = clipped(from, to);
      if (b <= a) continue;
      add("rect", { class: "span-late", x: a, y: y + 2, width: Math.max(2, b - a), height: 18, rx: 3 });
      const taken = onBar([`${names.join(", ")} down`, `${names.length} of ${row.of} down`, "down"], a, b, text, "on-late", chart);
      if (from === lastFrom && to < end && x(to) > left && x(to) <= right) after(`all run again ${since(lastTo)}`, a, b, taken, right, text, "on-late", chart);
    }
    started(row.starts, y);
    gutter(row.host, text, chart, true);
    scene.said.push({
      top: y, end: y + 22, say: (t) => {
        const gone = row.absent.find(([from, to]) => t >= from && t < to);
        const says = gone ? [`${gone[2].length} of ${row.of} down: ${gone[2].join(", ")}`, `${seconds(gone[0], 2)} to ${gone[1] < end ? seconds(gone[1], 2) : "the end of the trial"}`] : [row.of > 1 ? `all ${row.of} run` : "runs"];
        return [`containers of ${row.host}, ${since(Math.round(t))}`, ...says, ...near(row.starts, t)];
      },
    });
    y += 22;
  }
  if (hosts.hidden) add("text", { class: "start", x: left + 4, y: (y += 14) - 3 }, `and ${hosts.hidden} more hosts with containers down`);
  if (hosts.whole) {
    const all = hosts.rows.length ? `the other ${hosts.whole} containers ran throughout` : `all ${hosts.whole} ran throughout`;
    if (last > first) add("rect", { class: "span-listed", x: first, y: y + 8, width: last - first, height: 6, rx: 1 });
    started(hosts.starts, y);
    if (last - first > wide(all) + 20) plate(all, first + 10, y + 15, "soft", chart);
    gutter(hosts.rows.length ? "others" : "containers", y + 15, chart);
    scene.said.push({ top: y, end: y + 22, say: (t) => [all, ...near(hosts.starts, t)] });
    y += 22;
  }
  drawBlind(hosts.blind, top, y, chart);
  return y;
}

function drawAlerts(lane, y, chart) {
  const { add, x, clipped, left, right, scene } = chart, top = y;
  const named = [lane.list, lane.holder === lane.list ? "" : ` at ${lane.holder}`].join("");
  if (lane.rows.length && lane.deadline && x(lane.deadline[0]) >= left && x(lane.deadline[0]) <= right) y += 11;
  drawDeadline(lane.deadline, top, y + 22 * Math.max(1, lane.rows.length), chart);
  gutter(lane.list, y + 15, chart, lane.rows.some((row) => row.early));
  for (const row of lane.rows) {
    const text = y + 15, words = row.early ? `false alarm: ${row.text}` : row.text;
    let written = 0;
    for (const [from, to] of row.spans) {
      const [a, b] = clipped(from, to);
      if (b <= a) continue;
      add("rect", { class: row.early ? "alert early" : "alert", x: a, y: y + 2, width: Math.max(3, b - a), height: 18, rx: 9 });
      if (!written) written = onBar([words], a, b, text, row.early ? "strong" : "on-alert", chart);
    }
    const [from, to] = row.spans[row.spans.length - 1], [a, b] = clipped(from, to);
    if (!written && b > a) {
      const rooms = [right - b, a - left, b - a - 6].map((room) => room - 10), place = rooms.findIndex((room) => room > wide(words));
      const best = place >= 0 ? place : rooms.indexOf(Math.max(...rooms));
      const kind = best < 2 || row.early ? "strong" : "on-alert";
      add("text", { class: best === 1 ? "strong end" : kind, x: [b + 6, a - 6, a + 7][best], y: text }, cut(words, rooms[best]));
    }
    scene.said.push({
      top: y, end: y + 22, say: (t) => {
        const fires = row.spans.find(([from, to]) => t >= from && t < to);
        return [`${named}, ${since(Math.round(t))}`, row.early ? `false alarm: ${row.text}` : row.text, fires ? `firing, ${seconds(fires[0], 2)} to ${seconds(fires[1], 2)}` : "not firing"];
      },
    });
    y += 22;
  }
  if (!lane.rows.length) {
    add("text", { class: lane.deadline ? "start wrong" : "start", x: left + 4, y: y + 15 }, "none was delivered");
    scene.said.push({ top: y, end: y + 22, say: (t) => [`${named}, ${since(Math.round(t))}`, "none was delivered"] });
    y += 22;
  }
  if (lane.hidden) add("text", { class: "start", x: left + 4, y: (y += 14) - 3 }, `and ${lane.hidden} more alerts`);
  drawBlind(lane.blind, top, y, chart);
  return y;
}

/* A number over time: it holds until it is told anew. */
function drawGauge(lane, y, end, chart) {
  const { add, x, clipped, left, right, scene } = chart, height = 46, bottom = y + height;
  const shown = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 2 });
  const most = Math.max(lane.limit || 0, 1e-9, ...lane.value.filter((value) => value !== null));
  const up = (value) => bottom - 1 - (Math.max(0, value) / most) * (height - 15);
  let line = "", area = "", peak = null;
  lane.at.forEach((at, n) => {
    const value = lane.value[n], until = n + 1 < lane.at.length ? lane.at[n + 1] : end;
    const [a, b] = clipped(at, until);
    if (value === null || b < a) return;
    const h = up(value).toFixed(1), joined = n && lane.value[n - 1] !== null && line;
    line += `${joined ? "L" : "M"}${a.toFixed(1)} ${h}L${b.toFixed(1)} ${h}`;
    area += `M${a.toFixed(1)} ${bottom}V${h}H${b.toFixed(1)}V${bottom}z`;
    if (!peak || value > peak[1]) peak = [a, value];
  });
  add("path", { class: "gauge-area", d: area });
  add("path", { class: "gauge-line", d: line });
  if (lane.limit !== null) {
    add("line", { class: "limit", x1: left, x2: right, y1: up(lane.limit), y2: up(lane.limit) });
    add("text", { class: "wrong end", x: right - 4, y: up(lane.limit) - 4 }, lane.asked === "when steady" ? `${shown(lane.limit)} when steady` : `${lane.asked} ${shown(lane.limit)}`);
  }
  if (peak) {
    const words = shown(peak[1]), back = peak[0] + wide(words) + 6 > right;
    add("text", { class: back ? "strong end" : "strong", x: peak[0] + (back ? -4 : 4), y: y + 10 }, words);
  }
  drawBlind(lane.blind, y, bottom, chart);
  gutter(lane.name, y + height / 2 + 4, chart, lane.limit !== null && most > lane.limit);
  scene.said.push({
    top: y, end: bottom + 4, say: (t) => {
      let n = lane.at.length - 1;
      while (n > 0 && lane.at[n] > t) n -= 1;
      const value = lane.value[n];
      return [`${lane.name} at ${lane.holder}, ${since(Math.round(t))}`, value === null || value === undefined ? "could not be read" : shown(value)];
    },
  });
  return bottom;
}
