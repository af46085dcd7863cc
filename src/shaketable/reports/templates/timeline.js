/* One trial's timeline as SVG: the fault, who listed the dead when, and every arrival, on one axis of time.
   All text comes from outside, so it only ever becomes textContent. Times are milliseconds, 0 is the fault's effect. */
"use strict";

const LISTED = 0, WITHIN = 1, LATE = 2, MISSING = 3, WRONG = 4;
const OK = 0, SLOW = 1, FAILED = 2;
const MEANING = ["listed", "still listed, within the limit", "still listed, too late", "missing, though healthy", "not as many as steady"];
const SPAN = ["span-listed", "span-within", "span-late", "span-late", "span-wrong"];

function node(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  return made;
}

function seconds(ms, digits) {
  return `${ms < 0 ? "−" : ""}${(Math.abs(ms) / 1000).toFixed(digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "")} s`;
}

function duration(ms) {
  return Math.abs(ms) < 1000 ? `${ms < 0 ? "−" : ""}${+Math.abs(ms).toPrecision(3)} ms` : seconds(ms, 2);
}

function since(ms) {
  return `${ms > 0 ? "+" : ""}${duration(ms)}`;
}

const measure = document.createElement("canvas").getContext("2d");

/* Width of a text of the chart, in its units. */
function wide(text, weight = 600) {
  measure.font = `${weight} 11.5px ${getComputedStyle(document.body).fontFamily}`;
  return measure.measureText(text).width;
}

/* A round step that gives about `wanted` ticks over `range`. */
function step(range, wanted) {
  const rough = range / wanted, power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((m) => m * power >= rough);
}

function drawTimeline(place, data) {
  const whole = [Math.min(data.start, 0), data.end];
  const state = { from: whole[0], to: whole[1], width: 0 };
  const chart = node("svg", { class: "chart", role: "img", "aria-label": described(data) });
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  const views = [["Whole trial", whole[0], whole[1]]];
  if (data.down) {
    views.push(["Around the fault", Math.max(whole[0], -150), Math.min(whole[1], 350)]);
    views.push(["Around heal", Math.max(whole[0], data.down[1] - 700), Math.min(whole[1], data.down[1] + 1300)]);
  }
  const buttons = views.map(([text, from, to]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    button.addEventListener("click", () => show(from, to));
    return button;
  });
  const bar = Object.assign(document.createElement("div"), { className: "bar" });
  const hint = document.createElement("span");
  const { of, due } = data.arrivals;
  hint.textContent = due.length < of
    ? `${due.length} of ${of} arrivals are drawn: failed and slow ones first. Drag to look closer.`
    : "Point at anything for details, drag to look closer, double click for all of it.";
  bar.append(hint, ...buttons);
  place.append(bar, chart, tip);
  let scene;

  function show(from, to) {
    [state.from, state.to] = [from, Math.max(to, from + 5)];
    buttons.forEach((button, n) => button.setAttribute("aria-pressed", views[n][1] === from && views[n][2] === to));
    scene = render(chart, data, state);
  }

  const at = (event) => {
    const box = chart.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * state.width, (event.clientY - box.top) * (scene.height / box.height)];
  };
  let dragged = null;
  const point = (event) => {
    const [x, y] = at(event);
    const inside = x >= scene.left && x <= scene.right;
    scene.cross(inside ? x : null);
    const lines = dragged === null ? readout(data, scene, x, y, inside) : [];
    tip.hidden = !lines.length;
    if (lines.length) {
      tip.textContent = lines.join("\n");
      const left = event.clientX - place.getBoundingClientRect().left;
      const top = event.clientY - place.getBoundingClientRect().top;
      tip.style.top = `${top + 16}px`;
      tip.style.left = `${Math.max(0, left > place.clientWidth / 2 ? left - tip.offsetWidth - 14 : Math.min(left + 14, place.clientWidth - tip.offsetWidth))}px`;
    }
  };
  chart.addEventListener("pointerdown", (event) => {
    const [x] = at(event);
    if (event.button === 0 && x >= scene.left) {
      dragged = x;
      chart.setPointerCapture(event.pointerId);
    }
  });
  chart.addEventListener("pointermove", (event) => {
    if (dragged !== null) scene.choose(dragged, at(event)[0]);
    point(event);
  });
  chart.addEventListener("pointerup", (event) => {
    const [x] = at(event);
    if (dragged !== null && Math.abs(x - dragged) > 6) {
      const [a, b] = [dragged, x].sort((p, q) => p - q).map(scene.time);
      show(Math.max(whole[0], a), Math.min(whole[1], b));
    } else if (dragged !== null) scene.choose(0, 0);
    dragged = null;
    point(event); // a tap moves nothing, and is all that a touch screen has
  });
  chart.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "mouse") return; // a finger that was lifted leaves as well
    tip.hidden = true;
    scene.cross(null);
  });
  chart.addEventListener("pointercancel", () => { dragged = null; scene.choose(0, 0); });
  chart.addEventListener("dblclick", () => show(...whole));
  /* In the next frame, for a drawing that changes its own height while it is being observed is an error. */
  new ResizeObserver(() => requestAnimationFrame(() => {
    const width = Math.round(place.clientWidth);
    if (width > 50 && width !== state.width) {
      state.width = width;
      show(state.from, state.to);
    }
  })).observe(place);
}

/* The picture in one sentence, for those who do not see it. */
function described(data) {
  const late = data.lanes.flatMap((lane) => lane.rows.filter((row) => row.bad).map((row) => `${lane.holder}: ${row.entry}`));
  const count = (outcome) => data.arrivals.outcome.filter((o) => o === outcome).length;
  const blockers = data.locks.flatMap((lane) => lane.rows.filter((row) => row.bad).map((row) => `${row.who} at ${lane.holder}`));
  const degraded = data.status.functions.filter((row) => row.spells.length).map((row) => row.name);
  return `Timeline from ${seconds(data.start, 1)} to ${seconds(data.end, 1)}, 0 is ${data.zero}.${data.life ? ` 1 s is ${data.life} of life.` : ""} ` +
    `${degraded.length ? `Degraded functions: ${degraded.join(", ")}.` : "No function was degraded."} ` +
    `${late.length ? `Wrongly listed or missing: ${late.join(", ")}.` : "No list was wrong beyond its limit."} ` +
    `${blockers.length ? `Blocked others: ${blockers.join(", ")}. ` : ""}` +
    `${count(SLOW)} slow and ${count(FAILED)} failed arrivals of ${data.arrivals.of}.`;
}

function render(svg, data, state) {
  svg.replaceChildren();
  const width = state.width, left = width < 800 ? 112 : 138, right = width - 14;
  const x = (t) => left + ((t - state.from) / (state.to - state.from)) * (right - left);
  const add = (name, attributes, text) => svg.appendChild(node(name, attributes, text));
  const clipped = (a, b) => [Math.max(left, x(a)), Math.min(right, x(b))];
  const behind = svg.appendChild(node("g", {}));
  const scene = { left, right, lanes: [], said: [], dots: [], time: (px) => state.from + ((px - left) / (right - left)) * (state.to - state.from) };

  let y = marks(data, add, x, left, right);
  const lanesTop = y;
  const chart = { add, x, clipped, left, right, scene };
  y = drawStatus(data.status, y, data.end, chart);
  y = drawLocks(data.locks, y, data.end, chart);
  const holdersTop = data.deadlines.length && y > lanesTop ? (y += 16) : y;
  let rowsEnd = y;
  for (const lane of data.lanes) {
    y = drawLane(lane, y, chart);
    if (lane.rows.length) rowsEnd = y;
  }
  y = latencies(data, y + 26, chart);
  axis(state, y, { add, behind, x, left, right, top: lanesTop });
  if (data.life) add("text", { class: "end", x: right + 8, y: y + 32 }, `1 s here is ${data.life} of life`);
  scene.height = y + (data.life ? 40 : 34);

  if (data.down) {
    const [a, b] = clipped(data.down[0], data.down[1]);
    if (b > a) behind.append(node("rect", { class: "band", x: a, y: lanesTop - 19, width: b - a, height: y - lanesTop + 19 }));
  }
  for (const [t] of data.marks) {
    if (x(t) >= left && x(t) <= right) {
      behind.append(node("line", { class: "event", x1: x(t), x2: x(t), y1: lanesTop - 24, y2: y }));
    }
  }
  for (const [t, text] of data.deadlines) {
    if (x(t) < left || x(t) > right || (data.down && t > data.down[1])) continue;
    add("line", { class: "limit", x1: x(t), x2: x(t), y1: holdersTop - 8, y2: rowsEnd });
    const back = x(t) + wide(text) > right;
    add("text", { class: back ? "wrong end" : "wrong", x: x(t) + (back ? -4 : 4), y: holdersTop - 1 }, text);
  }
  const cross = add("line", { class: "cross", y1: lanesTop - 24, y2: y, x1: -9, x2: -9 });
  const choice = add("rect", { class: "choose", y: lanesTop - 24, height: y - lanesTop + 24, width: 0 });
  scene.cross = (px) => { for (const key of ["x1", "x2"]) cross.setAttribute(key, px === null ? -9 : px); };
  scene.choose = (a, b) => {
    choice.setAttribute("x", Math.max(left, Math.min(a, b)));
    choice.setAttribute("width", Math.max(0, Math.min(right, Math.max(a, b)) - Math.max(left, Math.min(a, b))));
  };
  svg.setAttribute("viewBox", `0 0 ${width} ${scene.height}`);
  return scene;
}

/* What happened when, in words above the lanes; moments too close together share one label. Then the fault's own bar. */
function marks(data, add, x, left, right) {
  const groups = [];
  for (const [t, text] of [...data.marks].sort((a, b) => a[0] - b[0])) {
    if (x(t) < left - 1 || x(t) > right + 1) continue;
    const last = groups[groups.length - 1];
    if (last && x(t) - x(last.first) < 12) last.texts.push([t, text]);
    else groups.push({ first: t, texts: [[t, text]] });
  }
  const taken = [[], [], []];
  for (const group of groups) {
    const words = group.texts.map(([t, text]) => (t ? `${text} ${since(t)}` : text)).join(", ");
    const back = x(group.first) + wide(words) > right;
    const begins = back ? x(group.first) - wide(words) - 10 : x(group.first) - 2, ends = begins + wide(words) + 12;
    const free = taken.findIndex((spans) => spans.every(([a, b]) => ends < a || begins > b));
    const row = Math.max(0, free);
    taken[row].push([begins, ends]);
    const y = 42 - 14 * row;
    add("line", { class: "event", x1: x(group.first), x2: x(group.first), y1: y - 9, y2: 68 });
    add("text", { class: back ? "end" : "start", x: x(group.first) + (back ? -4 : 4), y }, words);
  }
  if (!data.down) return 56;
  add("text", { class: "name end", x: left - 12, y: 62 }, "fault");
  const [a, b] = [Math.max(left, x(data.down[0])), Math.min(right, x(data.down[1]))];
  for (const [from, until, row, text] of data.bands) {
    const [c, d] = [Math.max(left, x(from)), Math.min(right, x(until))];
    if (d <= c) continue;
    const y = 48 + 21 * row;
    add("rect", { class: "down", x: c, y, width: d - c, height: 19, rx: 3 });
    const short = text.split(":")[0];
    const shown = [text, short].find((words) => d - c > wide(words));
    if (shown) add("text", { class: "down-text", x: c + 8, y: y + 13.5 }, shown);
  }
  if (data.bands.length) return 86 + 21 * Math.max(...data.bands.map((band) => band[2]));
  if (b > a) {
    const heal = Math.min(b, Math.max(a, x((data.marks.find(([, text]) => text === "heal begins") || [data.down[1]])[0])));
    add("rect", { class: "down", x: a, y: 48, width: Math.max(1, heal - a), height: 19, rx: 3 });
    add("rect", { class: "healing", x: heal, y: 48, width: b - heal, height: 19, rx: 3 });
    if (heal - a > wide(data.zero)) add("text", { class: "down-text", x: a + 8, y: 61.5 }, data.zero);
    if (b - heal > 50) add("text", { class: "mid", x: (heal + b) / 2, y: 61.5 }, "healing");
  }
  return 86;
}

/* A holder: thin rows for what is as it should be, tall ones with their name for what is not. */
function drawLane(lane, y, { add, x, clipped, left, right, scene }) {
  const top = y;
  const height = (row) => (row.bad ? 19 : 6);
  y += 5;
  const tall = Math.max(lane.news.length ? 20 : 0, lane.rows.reduce((sum, row) => sum + height(row) + 2, 0), 14);
  if (lane.rows.length) {
    const ys = [];
    for (const row of lane.rows) {
      ys.push([y, height(row), row]);
      for (const [from, to, meaning] of row.spans) {
        const [a, b] = clipped(from, to);
        if (b > a) add("rect", { class: SPAN[meaning], x: a, y, width: Math.max(1.2, b - a), height: height(row), rx: row.bad ? 2 : 1 });
      }
      if (row.bad) label(row, y, { add, clipped, left, right });
      y += height(row) + 2;
    }
    scene.lanes.push({ lane, rows: ys, top, end: y });
  } else {
    scene.lanes.push({ lane, rows: [], top, end: y + tall });
  }
  if (lane.news.length) {
    let free = 0;
    for (const [t, text, about] of lane.news) {
      if (x(t) < left || x(t) > right) continue;
      add("circle", { class: about ? "dot-news" : "dot-news other", cx: x(t), cy: y + 9, r: 4.5 });
      const short = text.length > 60 ? `${text.slice(0, 59)}…` : text, space = wide(short) + 16;
      if (about && x(t) > free && x(t) + space < right) {
        add("text", { class: "strong", x: x(t) + 9, y: y + 13 }, short);
        free = x(t) + space;
      }
    }
    y += 20;
  }
  y = Math.max(y, top + 5 + tall);
  for (const [from, to] of lane.blind) {
    const [a, b] = clipped(from, to);
    if (b > a) add("rect", { class: "span-blind", x: a, y: top + 3, width: Math.max(2, b - a), height: y - top - 3 });
  }
  if (lane.hidden) add("text", { class: "start", x: left + 4, y: y + 9 }, `and ${lane.hidden} more entries`);
  y += lane.hidden ? 14 : 4;
  const short = lane.holder.length > 20 ? `${lane.holder.slice(0, 19)}…` : lane.holder;
  add("text", { class: lane.rows.some((row) => row.bad) ? "name end wrong" : "name end", x: left - 12, y: (top + y) / 2 + 4 }, short);
  add("line", { class: "frame", x1: 0, x2: right, y1: y, y2: y });
  return y;
}

/* The name of an entry that is wrong, on its own bar where there is room. */
function label(row, y, { add, clipped, left, right }) {
  const drawn = row.spans.map(([from, to, meaning]) => [...clipped(from, to), meaning]).filter(([a, b]) => b > a);
  const within = drawn.find(([, , meaning]) => meaning === WITHIN || meaning === WRONG);
  const late = drawn.filter(([, , meaning]) => meaning === LATE || meaning === MISSING).sort((p, q) => q[1] - q[0] - (p[1] - p[0]))[0];
  const name = row.entry, text = y + 13.5;
  const fits = (span, words) => span && span[1] - span[0] > wide(words) + 12;
  const says = late && (late[2] === MISSING ? "missing" : "still listed, too late");
  if (fits(within, name)) {
    add("text", { class: "on-within", x: within[0] + 7, y: text }, name);
    if (late && fits(late, says)) add("text", { class: "on-late", x: late[0] + 7, y: text }, says);
    return;
  }
  const both = late ? `${name} ${says}` : name;
  if (fits(late, both)) add("text", { class: "on-late", x: late[0] + 7, y: text }, both);
  else if (fits(late, name)) add("text", { class: "on-late", x: late[0] + 7, y: text }, name);
  else {
    const beside = late || within;
    if (!beside) return;
    const after = beside[1] + 5 + wide(both) < right;
    add("text", { class: after ? "wrong" : "wrong end", x: after ? beside[1] + 5 : Math.max(left + wide(both), beside[0] - 5), y: text }, both);
  }
}

/* Every arrival: when it was due across, how long it took upwards, in decades. */
function latencies(data, top, { add, x, clipped, left, right, scene }) {
  const height = 170, bottom = top + height, a = data.arrivals;
  const longest = a.tenths.reduce((m, v) => Math.max(m, v), data.limit || 1000);
  const shortest = a.tenths.reduce((m, v) => Math.min(m, v), 100);
  const low = 10 ** Math.floor(Math.log10(shortest)), high = Math.max(low * 10, longest * 1.5);
  const y = (tenths) => bottom - 8 - (Math.log10(tenths / low) / Math.log10(high / low)) * (height - 16);
  add("rect", { class: "frame", x: left, y: top, width: right - left, height });
  add("text", { class: "name end", x: left - 12, y: top - 9 }, "arrivals");
  const what = "when each was due, and how long it took from then (log scale)";
  if (wide(what) < right - left) add("text", { class: "start", x: left, y: top - 9 }, what);
  for (let v = low; v <= high; v *= 10) {
    add("line", { class: "grid", x1: left, x2: right, y1: y(v), y2: y(v) });
    add("text", { class: "end", x: left - 8, y: y(v) + 4 }, v < 10 ? `${v / 10} ms` : v < 10000 ? `${v / 10} ms` : `${v / 10000} s`);
  }
  if (data.excluded !== null) {
    const [b, c] = clipped(0, data.excluded);
    if (c > b) {
      add("rect", { class: "excluded", x: b, y: top, width: c - b, height });
      add("text", { class: "start", x: b + 6, y: bottom - 7 }, c - b > 190 ? `first ${duration(data.excluded)} are not judged` : "");
    }
  }
  if (data.limit !== null) {
    add("line", { class: "limit", x1: left, x2: right, y1: y(data.limit), y2: y(data.limit) });
  }
  for (const [t, number] of a.missed) {
    if (x(t) >= left && x(t) <= right) {
      add("rect", { class: "dot-missed", x: x(t) - 3, y: top + 3, width: 6, height: 6 });
      scene.dots.push({ px: x(t), py: top + 6, lines: [`${number} arrivals could not be started`] });
    }
  }
  for (const outcome of [OK, SLOW, FAILED]) {
    a.due.forEach((due, n) => {
      if (a.outcome[n] !== outcome || x(due) < left || x(due) > right) return;
      const px = x(due), py = y(a.tenths[n]);
      if (outcome === OK) add("circle", { class: "dot-ok", cx: px.toFixed(1), cy: py.toFixed(1), r: 2.6 });
      else if (outcome === SLOW) add("path", { class: "dot-slow", d: `M${px} ${py - 5}l4.6 8h-9.2z` });
      else add("path", { class: "dot-failed", d: `M${px - 3.6} ${py - 3.6}l7.2 7.2m0 -7.2l-7.2 7.2` });
      if (n in a.called && data.called_from !== null && due >= data.called_from) add("circle", { class: "dot-called", cx: px, cy: py, r: 6.5 });
      scene.dots.push({ px, py, n });
    });
  }
  if (data.limit !== null) add("text", { class: "wrong end", x: right - 4, y: y(data.limit) - 4 }, data.limit_text);
  scene.latencyTop = top;
  return bottom;
}

function axis(state, y, { add, behind, x, left, right, top }) {
  const by = step(state.to - state.from, (right - left) / 90);
  const name = (t) => (by < 100 ? `${t < 0 ? "−" : ""}${Math.abs(Math.round(t * 100) / 100)} ms` : seconds(t, by < 1000 ? 1 : 0));
  for (let t = Math.ceil(state.from / by) * by; t <= state.to; t += by) {
    behind.append(node("line", { class: "grid", x1: x(t), x2: x(t), y1: top, y2: y }));
    add("text", { class: x(t) > right - 20 ? "end" : "mid", x: x(t) > right - 20 ? right + 8 : x(t), y: y + 16 }, name(t));
  }
  if (state.from <= 0 && state.to >= 0) behind.append(node("line", { class: "edge", x1: x(0), x2: x(0), y1: top - 24, y2: y }));
}

/* What is under the pointer, in words. */
function readout(data, scene, px, py, inside) {
  const t = scene.time(px);
  const when = since(Math.round(t));
  const told = scene.said.find(({ top, end }) => py >= top && py < end);
  if (told && (inside || told.named)) return told.say(inside ? t : null);
  if (!inside) return [];
  const found = scene.lanes.find(({ top, end }) => py >= top && py < end);
  if (found) {
    const blind = found.lane.blind.find(([from, to]) => t >= from && t < to);
    const said = found.rows
      .map(([y, height, row]) => [row, row.spans.find(([from, to]) => t >= from && t < to), py >= y && py <= y + height])
      .filter(([, span]) => span)
      .map(([row, span, under]) => `${under ? "▸ " : ""}${row.entry}: ${MEANING[span[2]]}, ${seconds(span[0], 3)} to ${seconds(span[1], 3)}`);
    const news = found.lane.news.filter(([at]) => Math.abs(at - t) < Math.abs(scene.time(px + 8) - t)).map(([at, text]) => `${seconds(at, 3)}: ${text}`);
    const none = found.rows.length ? ["lists nothing of the target"] : [];
    return [`${found.lane.holder}, ${when}`, ...(blind ? [blind[2]] : []), ...(said.length || news.length ? [...said, ...news] : blind ? [] : none)];
  }
  if (py < scene.latencyTop - 8) return [];
  let near = null, best = 14 * 14;
  for (const dot of scene.dots) {
    const far = (dot.px - px) ** 2 + (dot.py - py) ** 2;
    if (far < best) [near, best] = [dot, far];
  }
  if (!near) return [when];
  if (near.lines) return near.lines;
  const a = data.arrivals, n = near.n, word = (number) => a.words[number];
  const how = [data.limit === null ? "answered" : "in time", "slow", "failed"][a.outcome[n]];
  return [
    `${word(a.name[n])}: ${how}, ${duration(a.tenths[n] / 10)}`,
    `due ${seconds(a.due[n], 3)}${a.by[n] ? `, served by ${word(a.by[n])}` : ""}`,
    ...(n in a.text ? [word(a.text[n])] : []),
    ...(n in a.called ? [`sent on to ${word(a.called[n])}, which was down`] : []),
  ];
}
