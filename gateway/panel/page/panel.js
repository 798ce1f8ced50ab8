"use strict";
// Asks every two seconds what is new, and draws it. Whatever comes is put in as text, never as markup.

const $ = (id) => document.getElementById(id);
const EVERY = 2000, MAP_EVERY = 15000, KEPT = 250;
const state = { key: sessionStorage.getItem("key") || "", span: "hour", after: 0, rows: new Map(), chosen: "", charts: {} };

const element = (tag, text, kind) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
};
const figure = (value, digits = 0) =>
  value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits });
const usd = (value) => "$" + (value >= 1 ? value.toFixed(2) : value.toFixed(6));
const share = (part, whole) => (whole ? ((100 * part) / whole).toFixed(1) + " %" : "–");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

async function ask(path) {
  const said = await fetch("/ui/data/" + path, { headers: { authorization: "Bearer " + state.key }, cache: "no-store" });
  if (said.status === 401) throw new Refused();
  if (!said.ok) throw new Error("status " + said.status);
  return said.json();
}
class Refused extends Error {}

// Charts

const AXES = () => {
  const one = { stroke: colour("faint"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } };
  return [{ ...one }, { ...one, size: 62 }];
};

function chart(id, lines, more = {}) {
  const at = $(id);
  at.replaceChildren();
  const series = [{ label: "time" }, ...lines.map(([label, name, fill]) => ({
    label, stroke: colour(name), width: 1.5, fill: fill ? colour(name) + "33" : undefined, spanGaps: true,
    points: { show: (plot, n) => plot.data[n].filter((value) => value !== null).length < 40, size: 5 },
    value: (_, value) => (value === null || value === undefined ? "–" : figure(value, 4)),
  }))];
  const size = { width: at.clientWidth || 500, height: 190 };
  state.charts[id] = new uPlot({ ...size, series, axes: AXES(), legend: { live: true }, ...more }, [[], ...lines.map(() => [])], at);
}

function charts() {
  Object.values(state.charts).forEach((one) => one.destroy());
  const logarithmic = { scales: { y: { distr: 3 } } };
  const whole = { scales: { y: { range: (_, low, high) => [0, Math.max(high || 0, 1e-6) * 1.1] } } };
  chart("traffic", [["all", "blue", true], ["refused", "orange"], ["failed", "red"]], whole);
  chart("latency", [["P50", "green"], ["P95", "orange"], ["P99", "red"], ["first token P50", "blue"]], logarithmic);
  chart("cost", [["dollars", "violet", true]], whole);
  chart("scores", [["relevance", "blue"], ["groundedness", "green"], ["hallucination", "red"], ["toxicity", "violet"]],
    { scales: { y: { range: [0, 1] } } });
}

function drawn(told) {
  const course = told.course, rate = 60 / told.seconds, minute = (values) => values.map((value) => value * rate);
  const positive = (values) => values.map((value) => (value > 0 ? value : null));
  state.charts.traffic.setData([course.time, minute(course.exchanges), minute(course.refused), minute(course.failed)]);
  state.charts.latency.setData([course.time, ...["p50", "p95", "p99", "first_p50"].map((name) => positive(course[name]))]);
  state.charts.cost.setData([course.time, minute(course.usd)]);
  state.charts.scores.setData([course.time, course.relevance, course.groundedness, course.hallucination, course.toxicity]);
}

function scatter(found) {
  $("seen").textContent = found ? `two axes of ${(100 * found.seen).toFixed(0)} % of the variance` : "";
  const at = $("map");
  if (state.charts.map) state.charts.map.destroy();
  delete state.charts.map;
  at.replaceChildren();
  if (!found) {
    at.append(element("p", "No map yet: it wants `monitor:` in the configuration, and a reference.", "allow"));
    return;
  }
  const sorted = (points) => [...points].sort((a, b) => a.x - b.x);
  const groups = [sorted(found.reference), sorted(found.window)];
  const dots = (name) => (plot, n) => {
    const [xs, ys] = plot.data[n], path = new Path2D(), size = 2.6 * devicePixelRatio;
    xs.forEach((x, i) => {
      const left = plot.valToPos(x, "x", true), top = plot.valToPos(ys[i], "y", true);
      path.moveTo(left + size, top);
      path.arc(left, top, size, 0, 2 * Math.PI);
    });
    plot.ctx.save();
    plot.ctx.globalAlpha = 0.65;
    plot.ctx.fillStyle = colour(name);
    plot.ctx.fill(path);
    plot.ctx.restore();
    return null;
  };
  const extent = (pick) => {
    const all = groups.flat().map(pick), low = Math.min(...all), high = Math.max(...all), edge = (high - low) / 20 || 1;
    return [low - edge, high + edge];
  };
  const [x, y] = [extent((p) => p.x), extent((p) => p.y)];
  state.charts.map = new uPlot({
    mode: 2, width: at.clientWidth || 500, height: 260, axes: AXES(), cursor: { show: false }, legend: { live: false },
    scales: { x: { time: false, range: x }, y: { range: y } },
    series: [{}, { label: "reference", stroke: colour("faint"), fill: colour("faint"), paths: dots("faint") },
      { label: "window", stroke: colour("red"), fill: colour("red"), paths: dots("red") }],
  }, [null, ...groups.map((points) => [points.map((p) => p.x), points.map((p) => p.y)])], at);
}

// Words

function facts({ course, seconds, times }) {
  const sum = (name) => course[name].reduce((a, b) => a + (b || 0), 0);
  const total = sum("exchanges");
  const tail = course.exchanges.slice(-Math.max(1, Math.round(60 / seconds)));
  const told = [
    [figure(total), "exchanges"], [figure(tail.reduce((a, b) => a + b, 0) * Math.min(1, 60 / seconds)), "in the last minute"],
    [share(sum("refused"), total), "refused"], [share(sum("failed"), total), "failed"],
    [["p50", "p95", "p99"].map((name) => figure(times[name])).join(" / ") + " ms", "P50 / P95 / P99"],
    [usd(sum("usd")), "spent"], [total ? usd(sum("usd") / total) : "–", "an exchange"],
    [figure(sum("input_tokens")) + " / " + figure(sum("output_tokens")), "tokens in / out"],
  ];
  $("facts").replaceChildren(...told.map(([value, label]) => {
    const made = element("div", label);
    made.prepend(element("b", value));
    return made;
  }));
}

function signals(list) {
  $("signals").replaceChildren(...list.map((one) => {
    const made = element("div", undefined, "signal");
    made.append(element("b", `Signal: ${one.signal}. `), one.action || "", " ", element("code", one.run || ""), " ");
    const more = element("details");
    more.append(element("summary", "evidence"), element("pre", JSON.stringify(one.evidence, null, 1)));
    made.append(more);
    return made;
  }));
}

const ACTIONS = ["flag", "redact", "block", "fault", "allow"];

function rails(list) {
  const head = element("tr");
  ["policy", "stage", "rail", "", ...ACTIONS].forEach((name, n) => head.append(element("th", name, n > 3 ? "number" : "")));
  const lines = list.map((one) => {
    const line = element("tr"), bar = element("div", undefined, "share"), cell = element("td");
    for (const action of ACTIONS) {
      const part = element("i", undefined, action);
      part.style.width = (100 * (one[action] || 0)) / one.judged + "%";
      bar.append(part);
    }
    cell.append(bar);
    line.append(element("td", one.policy), element("td", one.stage), element("td", one.rail), cell);
    ACTIONS.forEach((action) => line.append(element("td", figure(one[action] || 0), "number " + (one[action] ? action : "allow"))));
    return line;
  });
  $("rails").replaceChildren(head, ...lines);
}

const COLUMNS = [
  ["time", (row) => row.ts.slice(11, 19)], ["model", (row) => row.model], ["upstream", (row) => row.upstream || "–"],
  ["key", (row) => row.principal || "–"], ["outcome", (row) => row.outcome, (row) => row.outcome],
  ["verdict", (row) => row.verdict, (row) => row.verdict],
  ["rules", (row) => [...new Set(row.judgements.flatMap((j) => (j.fault ? [j.rail + ": " + j.fault] : j.rules)))].join(", ")],
  ["tokens", (row) => figure(row.input_tokens) + " / " + figure(row.output_tokens), () => "number"],
  ["cost", (row) => usd(row.cost_usd || 0), () => "number"], ["first", (row) => figure(row.first_token_ms, 1), () => "number"],
  ["total ms", (row) => figure(row.total_ms, 1), () => "number"],
  ["grounded", (row) => figure(row.scores.groundedness ?? null, 2), () => "number"],
  ["hallucination", (row) => figure(row.scores.hallucination ?? null, 2), () => "number"],
];

function exchanges() {
  const wanted = $("filter").value.trim().toLowerCase();
  const head = element("thead"), top = element("tr"), body = element("tbody");
  COLUMNS.forEach(([name, , kind]) => top.append(element("th", name, kind && kind({}) === "number" ? "number" : "")));
  head.append(top);
  const rows = [...state.rows.values()].sort((a, b) => (a.ts < b.ts ? 1 : -1));
  for (const row of rows) {
    if (wanted && !JSON.stringify(row).toLowerCase().includes(wanted)) continue;
    const line = element("tr");
    COLUMNS.forEach(([, text, kind]) => line.append(element("td", text(row), kind ? kind(row) : "")));
    line.tabIndex = 0;
    line.setAttribute("aria-selected", String(row.id === state.chosen));
    line.onclick = () => choose(row.id);
    line.onkeydown = (event) => event.key === "Enter" && choose(row.id);
    body.append(line);
  }
  $("exchanges").replaceChildren(head, body);
}

function choose(id) {
  state.chosen = id;
  $("one").textContent = JSON.stringify(state.rows.get(id), null, 1);
  exchanges();
}

function notices(list) {
  const known = ["event", "ts", "level", "process", "seq", "action", "run"];
  $("notices").replaceChildren(...[...list].reverse().map((one) => {
    const line = element("li"), more = Object.entries(one).filter(([name]) => !known.includes(name));
    const said = more.filter(([, value]) => typeof value !== "object").map(([name, value]) => `${name} ${value}`);
    line.append(element("time", one.ts.slice(5, 19).replace("T", " ")), element("b", one.event), " " + said.join(", ").slice(0, 160));
    return line;
  }));
}

// Asking

async function look() {
  const told = await ask(`look?span=${state.span}&after=${state.after}`);
  if (told.number < state.after) state.rows.clear(); // another worker, which counts anew
  for (const row of told.exchanges) state.rows.set(row.id, row);
  const extra = [...state.rows.values()].sort((a, b) => (a.ts < b.ts ? -1 : 1)).slice(0, Math.max(0, state.rows.size - KEPT));
  extra.forEach((row) => state.rows.delete(row.id));
  const changed = told.exchanges.length > 0 || state.after === 0;
  state.after = told.number;
  facts(told);
  drawn(told);
  signals(told.signals);
  rails(told.rails);
  notices(told.notices);
  if (changed) exchanges();
}

async function turn() {
  if (document.hidden) return;
  try {
    await look();
    $("live").textContent = "live";
    $("live").classList.remove("lost");
  } catch (error) {
    if (error instanceof Refused) return closed("That is not the key.");
    $("live").textContent = "does not answer: " + error.message;
    $("live").classList.add("lost");
  }
}

async function map() {
  if (!document.hidden && !$("room").hidden) scatter(await ask("map").catch(() => null));
}

// The page

function span(name) {
  state.span = name;
  ["hour", "day"].forEach((each) => $(each).setAttribute("aria-pressed", String(each === name)));
  turn();
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  if (!$("room").hidden) { charts(); turn(); map(); }
}

function closed(why) {
  sessionStorage.removeItem("key");
  state.key = "";
  $("room").hidden = true;
  $("door").hidden = false;
  $("why").textContent = why;
}

async function opened() {
  try {
    await ask("look?after=999999999999");
  } catch (error) {
    return closed(error instanceof Refused ? "That is not the key." : "The gateway does not answer: " + error.message);
  }
  sessionStorage.setItem("key", state.key);
  $("door").hidden = true;
  $("room").hidden = false;
  state.after = 0;
  charts();
  span(state.span);
  map();
}

const dark = matchMedia("(prefers-color-scheme: dark)");
theme(dark.matches ? "dark" : "light");
dark.onchange = () => theme(dark.matches ? "dark" : "light");
$("hour").onclick = () => span("hour");
$("day").onclick = () => span("day");
$("theme").onclick = () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
$("leave").onclick = () => closed("");
$("filter").oninput = exchanges;
$("door").onsubmit = (event) => {
  event.preventDefault();
  state.key = $("key").value.trim();
  $("key").value = "";
  opened();
};
let waiting = 0;
onresize = () => { clearTimeout(waiting); waiting = setTimeout(() => { if (!$("room").hidden) { charts(); turn(); map(); } }, 200); };
setInterval(() => $("room").hidden || turn(), EVERY);
setInterval(map, MAP_EVERY);
if (state.key) opened(); else closed("");
