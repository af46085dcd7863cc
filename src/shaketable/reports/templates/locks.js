/* The lock graph on a trial's timeline: each session that blocked others, and below it, indented, those behind it.
   Statements and names come from outside: like all text they only ever become textContent. */
"use strict";

const WAITER = 17, BLOCKER = 23;

/* Draw a lane for each database from `y` down; gives where they end. */
function drawLocks(lanes, y, end, chart) {
  const { add, right } = chart;
  for (const lane of lanes) {
    const top = y + 4, hatch = add("g", {}); /* behind the rows: what is there before and after is one stretch */
    y = lane.rows.length ? drawBlockers(lane, top, end, chart) : drawFree(lane, top, end, chart);
    drawBlind(lane.blind, top, y, { ...chart, add: (name, attributes) => hatch.appendChild(node(name, attributes)) });
    y += 4;
    add("line", { class: "frame", x1: 0, x2: right, y1: y, y2: y });
  }
  return y;
}

function drawFree(lane, y, end, chart) {
  const { add, clipped, scene } = chart, words = "nobody was seen to wait for a lock";
  const [a, b] = clipped(-Infinity, end);
  if (b > a) add("rect", { class: "span-fine", x: a, y: y + 8, width: b - a, height: 6, rx: 3 });
  if (b - a > wide(words) + 20) plate(words, a + 10, y + 15, "soft", chart);
  gutter(lane.holder, y + 15, chart);
  scene.said.push({ top: y, end: y + 22, say: (t) => [`locks at ${lane.holder}, ${since(Math.round(t))}`, blindAt(lane, t) || words] });
  return y + 22;
}

function blindAt(lane, t) {
  const found = lane.blind.find(([from, to]) => t >= from && t < to);
  return found ? found[2] : "";
}

function unseen(lane, t) {
  const why = t === null ? "" : blindAt(lane, t);
  return why ? [`${why} just then`] : [];
}

/* The name of a session in the gutter, further in the further back it stands. */
function nameAt(text, depth, y, wrong, { add, left }) {
  const x = 2 + 9 * Math.min(depth, 6);
  add("text", { class: wrong ? "lock-name wrong" : "lock-name", x, y }, cut(text, left - 8 - x, wrong ? 650 : 400));
}

function drawBlockers(lane, y, end, chart) {
  const { add, left, scene } = chart;
  const of = wide(lane.holder) * (13 / 11.5);
  add("text", { class: "name", x: 2, y: y + 13 }, cut(lane.holder, ((left - 14) * 11.5) / 13));
  add("text", { class: "start", x: Math.max(left + 4, of + 12), y: y + 13 }, "locks: who blocked others, and who was behind");
  y += 19;
  for (const row of lane.rows) {
    drawBlocker(lane, row, y, end, chart);
    y += BLOCKER;
    for (const waiter of row.behind) {
      drawWaiter(lane, row, waiter, y, chart);
      y += WAITER;
    }
    if (row.rest) {
      drawRest(lane, row, y, chart);
      y += WAITER;
    }
    y += 5;
  }
  if (lane.more) {
    add("text", { class: "start", x: left + 4, y: y + 10 }, lane.more);
    scene.said.push({ top: y, end: y + 15, say: () => [lane.more] });
    y += 15;
  }
  return y;
}

/* How many were behind a blocker at a moment. */
function behindAt(row, t) {
  let number = 0;
  for (const [at, n] of row.counts) {
    if (at > t) break;
    number = n;
  }
  return number;
}

function others(number) {
  return number === 1 ? "1 other" : `${number} others`;
}

function drawBlocker(lane, row, y, end, chart) {
  const { add, x, clipped, left, right, scene } = chart, text = y + 15;
  const word = (n) => lane.words[n];
  const longest = row.turns.reduce((most, turn) => (turn[1] - turn[0] > most[1] - most[0] ? turn : most), row.turns[0]);
  const many = row.most > 1 ? `up to ${others(row.most)}` : "1 other";
  const brief = `${many} for ${duration(row.lasted)}`, says = word(longest[3]) ? `${brief}: ${word(longest[3])}` : brief;
  const kind = row.bad ? "on-late" : "on-within";
  const bars = row.spans.map(([from, to]) => [...clipped(from, to)]).filter(([a, b]) => b > a);
  for (const [a, b] of bars) {
    add("rect", { class: row.bad ? "span-late" : "span-within", x: a, y: y + 2, width: Math.max(2, b - a), height: 19, rx: 3 });
  }
  for (const [from] of row.turns.slice(1)) { /* where the blocker went on to another statement or state */
    if (x(from) > left && x(from) < right) add("line", { class: "turn", x1: x(from), x2: x(from), y1: y + 2, y2: y + 21 });
  }
  const widest = bars.reduce((most, bar) => (!most || bar[1] - bar[0] > most[1] - most[0] ? bar : most), null);
  if (widest) {
    const [a, b] = widest, last = bars[bars.length - 1][1], rooms = [b - a - 14, right - last - 14, bars[0][0] - left - 14];
    const enough = wide(brief) + 60;
    const place = rooms[0] > wide(brief) ? 0 : rooms[1] > enough ? 1 : rooms.indexOf(Math.max(...rooms));
    const shown = rooms[place] > wide(brief) ? cut(says, rooms[place]) : cut(`${row.most} for ${duration(row.lasted)}`, rooms[place]);
    if (rooms[place] > 60 && place === 0) add("text", { class: kind, x: a + 7, y: text }, shown);
    else if (rooms[place] > 60) plate(shown, place === 1 ? last + 10 : bars[0][0] - 10 - wide(shown), text, "strong", chart);
  }
  nameAt(row.name, 0, text, row.bad, chart);
  scene.said.push({
    top: y, end: y + BLOCKER, named: true, say: (t) => {
      const now = t === null ? null : row.turns.find(([from, to]) => t >= from && t < to);
      const [from, to, state, statement] = now || longest;
      const head = `${row.who} at ${lane.holder}`;
      const blocks = `blocked ${many} for ${duration(row.lasted)}${row.spans.length > 1 ? `, ${row.spans.length} times` : ""}`;
      const is = [word(state), word(statement)].filter(Boolean).join(": ");
      if (t === null) return [head, blocks, is];
      if (!now) return [`${head}, ${since(Math.round(t))}`, blindAt(lane, t) || "blocks nobody", blocks];
      const until = to < end ? seconds(to, 2) : "the end of the trial";
      const mostly = statement === longest[3] ? [] : [`for the longest time: ${word(longest[3])}`];
      return [`${head}, ${since(Math.round(t))}`, is, ...mostly, `${seconds(from, 2)} to ${until}`, `blocks ${others(behindAt(row, t))} now; ${blocks}`, ...unseen(lane, t)];
    },
  });
}

function drawWaiter(lane, row, waiter, y, chart) {
  const { add, clipped, scene } = chart, text = y + 12.5;
  const word = (n) => lane.words[n];
  let written = "";
  for (const [from, to, , statement] of waiter.spans) {
    const [a, b] = clipped(from, to);
    if (b <= a) continue;
    add("rect", { class: "waits", x: a, y: y + 2, width: Math.max(2, b - a), height: WAITER - 3, rx: 2 });
    if (b - a > 90 && word(statement) !== written) {
      written = word(statement);
      add("text", { class: "on-waits", x: a + 7, y: text }, cut(written, b - a - 14));
    }
  }
  nameAt(`└ ${waiter.name}`, waiter.depth, text, false, chart);
  scene.said.push({
    top: y, end: y + WAITER, named: true, say: (t) => {
      const now = waiter.spans.find(([from, to]) => t === null || (t >= from && t < to));
      const head = `${waiter.who}${t === null ? "" : `, ${since(Math.round(t))}`}`;
      if (!now) return [head, blindAt(lane, t) || "not behind this one then"];
      const [from, to, on, statement] = now;
      return [head, `waits for ${word(on)}, held by ${waiter.by}`, word(statement), `${seconds(from, 2)} to ${seconds(to, 2)} (${duration(to - from)})`, ...heldBy(lane, row), ...unseen(lane, t)];
    },
  });
}

/* The statement at the root, which is what all behind it wait for in the end. */
function heldBy(lane, row) {
  const longest = row.turns.reduce((most, turn) => (turn[1] - turn[0] > most[1] - most[0] ? turn : most), row.turns[0]);
  const statement = lane.words[longest[3]];
  return [`at the head: ${row.who}${statement ? `, ${statement}` : ""}`];
}

function drawRest(lane, row, y, chart) {
  const { add, clipped, right, scene } = chart, { count, longest, spans, statements } = row.rest;
  const words = `${count} more, the longest ${duration(longest)}`;
  let last = null;
  for (const [from, to] of spans) {
    const [a, b] = clipped(from, to);
    if (b <= a) continue;
    add("rect", { class: "waits rest", x: a, y: y + 5, width: Math.max(2, b - a), height: WAITER - 9, rx: 2 });
    last = [a, b];
  }
  if (last && last[1] - last[0] > wide(words) + 24) plate(words, last[0] + 10, y + 13, "soft", chart);
  else if (last && right - last[1] > wide(words) + 14) plate(words, last[1] + 10, y + 13, "soft", chart);
  nameAt(`└ ${count} more`, 1, y + 12.5, false, chart);
  const told = statements.map(([number, statement]) => `${number} × ${lane.words[statement] || "nothing told"}`);
  scene.said.push({ top: y, end: y + WAITER, named: true, say: () => [`${words}, behind ${row.who}`, ...told, ...heldBy(lane, row)] });
}
