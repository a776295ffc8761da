// Up to 100 runs as a sortable table and as parallel coordinates.

import { API, get, query } from "../api.js";
import { byId, h, s, show } from "../dom.js";
import { count, duration, jobName, number, words } from "../format.js";
import { badge } from "../job_parts.js";

const MAX_RUNS = 100;
const MAX_AXES = 9;
const HEIGHT = 320;
const GAP = 130;
const PAD = { left: 70, right: 70, top: 50, bottom: 30 };
const HIDDEN = new Set(["kind", "model", "task.name", "objective.name", "dataset"]);
const choice = byId("choice");
let runs = [];
let isMetricChosen = false;
let order = { column: null, isDown: true };

function flatten(value, path = "") {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return [[path, JSON.stringify(value)]];
  if (typeof value !== "object") return [[path, value]];
  return Object.entries(value).flatMap(([name, inner]) => flatten(inner, path ? `${path}.${name}` : name));
}

function runOf(job, report) {
  const seconds = job.started_at && job.finished_at ? (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000 : null;
  const tests = Object.entries(report?.metrics ?? {}).map(([name, value]) => [`test/${name}`, value]);
  const metrics = { ...job.metrics, ...Object.fromEntries(tests), seconds };
  const settings = Object.fromEntries(flatten(job.spec).filter(([name]) => !HIDDEN.has(name)));
  // Few rows are trained in more epochs than the schedule has.
  const epochs = report?.training?.epochs ?? job.progress?.epochs;
  if (epochs && "schedule.epochs" in settings) settings["schedule.epochs"] = epochs;
  return { job, name: jobName(job), settings, metrics };
}

async function load(onPart) {
  const jobIds = new URLSearchParams(location.search).getAll("job");
  const jobs = jobIds.length ? await Promise.all(jobIds.slice(0, MAX_RUNS).map((id) => get(`${API}/jobs/${id}`)))
    : (await get(query(`${API}/jobs`, { limit: MAX_RUNS, kind: ["finetune", "pretrain"] }))).data;
  const done = jobs.filter((job) => job.state === "succeeded" && job.kind === "finetune");
  const reports = new Map();
  const update = () => { runs = jobs.map((job) => runOf(job, reports.get(job.id))); onPart(); };
  update();
  for (let start = 0; start < done.length; start += 8) {
    await Promise.all(done.slice(start, start + 8).map(async (job) => reports.set(job.id, await get(`${API}/jobs/${job.id}/report`).catch(() => null))));
    update();
  }
}

const isLow = (name) => /loss|error|seconds|elbo|perplexity/.test(name);
const distinct = (items) => [...new Set(items.filter((item) => item !== undefined && item !== null))];
const write = (name, value) => (name === "seconds" && typeof value === "number" ? duration(value) : number(value));

/** Settings that differ between runs, those that are equal in all, and metrics. A queued job has no settings of its plan yet. */
function columns(shownRuns) {
  const planned = shownRuns.filter((run) => run.job.started_at);
  const compared = planned.length ? planned : shownRuns;
  const names = distinct(compared.flatMap((run) => Object.keys(run.settings)));
  const differs = (name) => new Set(compared.map((run) => run.settings[name])).size > 1;
  const settings = names.filter(differs);
  const equal = names.filter((name) => !differs(name)).map((name) => [name, compared[0].settings[name]]);
  const metrics = distinct(shownRuns.flatMap((run) => Object.keys(run.metrics))).filter((name) => !name.startsWith("train/") && shownRuns.some((run) => typeof run.metrics[name] === "number"));
  const telling = new Set(shownRuns.map((run) => run.job.headline?.name));
  const rank = (name) => (telling.has(name) ? 0 : name.startsWith("test/") ? 1 : name === "seconds" ? 3 : 2);
  return { settings, equal, metrics: metrics.sort((a, b) => rank(a) - rank(b)) };
}

const valueOf = (run, name) => run.settings[name] ?? run.metrics[name];

/** The value of a run on an axis: a run that starts from no model has a point, too. */
const onAxis = (run, name) => valueOf(run, name) ?? (name === "start_from" ? "nothing" : undefined);

function axisOf(name, shownRuns) {
  const values = distinct(shownRuns.map((run) => onAxis(run, name)));
  const isNumeric = values.every((value) => typeof value === "number");
  if (!isNumeric) {
    const names = values.map(String).sort();
    const at = (value) => (names.length > 1 ? names.indexOf(String(value)) / (names.length - 1) : 0.5);
    return { name, at, marks: names.slice(0, 8).map((text) => [at(text), text]) };
  }
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const isLog = low > 0 && high / low > 100;
  const scale = (value) => (isLog ? Math.log(value) : value);
  // On the axes of metrics, the better value is above.
  const isTurned = isLow(name) && shownRuns.some((run) => name in run.metrics);
  const part = (value) => (high > low ? (scale(value) - scale(low)) / (scale(high) - scale(low)) : 0.5);
  const at = (value) => (isTurned ? 1 - part(value) : part(value));
  const middle = isLog ? Math.sqrt(low * high) : (low + high) / 2;
  const text = (value) => (name === "seconds" ? duration(value) : number(value, 3));
  return { name, at, marks: high > low ? [low, middle, high].map((value) => [at(value), text(value)]) : [[0.5, text(low)]] };
}

/** Metrics are comparable on the same data for the same purpose alone. */
const groupOf = ({ job: { spec } }, metric) => `${spec.dataset} ${words(spec.task ?? spec.objective)} ${hasScale(metric) ? scaleOf(spec) : ""}`;

/** Losses and what is made of them depend on how rows are read: on the size of images, or the pieces of a text. */
const hasScale = (metric) => /loss|overlap|perplexity|elbo/.test(metric);
const scaleOf = ({ encoders, start_from: base, objective }) => JSON.stringify([encoders, base, objective]);

function rankOf(run, shownRuns, metric) {
  const values = shownRuns.filter((item) => groupOf(item, metric) === groupOf(run, metric)).map((item) => item.metrics[metric]).filter((value) => typeof value === "number").sort((a, b) => a - b);
  const value = run.metrics[metric];
  if (typeof value !== "number" || values.length < 2 || values[0] === values.at(-1)) return 4;
  const place = values.indexOf(value) / (values.length - 1);
  return Math.round(4 * (isLow(metric) ? 1 - place : place));
}

/** Names of metrics as reports write them. */
const metricNames = JSON.parse(byId("content").dataset.metricNames);

function short(name) {
  if (name === "seconds") return "time";
  const [split, metric] = name.split("/");
  return metric ? `${split} ${metricNames[metric] ?? words(metric)}` : settingName(name);
}

const settingName = (name) => words(name.replace(/^schedule\./, "").replace(/^encoders\.(\w+)\.(config\.)?/, "$1 ").replace(/^(\w+)\.name$/, "$1").replace(/^architectures\.(\w+)\.(config\.)?/, "$1 ").replace(/\.config\./, " "));

/** The value of an axis beside it; its outline keeps it readable where a line runs below. */
function mark(x, y, text) {
  const shownText = text.length > 14 ? `${text.slice(0, 13)}…` : text;
  return s("g", { class: "tick" }, s("text", { x: x + 8, y: y + 4 }, shownText));
}

function drawLines(shownRuns, { settings, metrics }, metric) {
  const numeric = settings.filter((name) => distinct(shownRuns.map((run) => run.settings[name])).length <= 40);
  const names = [...numeric.slice(0, MAX_AXES - Math.min(3, metrics.length)), ...metrics.slice(0, 3)];
  if (names.length < 2 || shownRuns.length < 2) {
    show(byId("lines"), h("p", { class: "empty" }, "Two runs or more that differ are needed for lines."));
    return;
  }
  const axes = names.map((name) => axisOf(name, shownRuns));
  // The names of the outer axes are centered on them, too: about 8 pixels a character.
  const overhang = (index) => 4 * short(names.at(index)).length + 10;
  const [left, right] = [Math.max(PAD.left, overhang(0)), Math.max(PAD.right, overhang(-1))];
  const width = left + right + GAP * (axes.length - 1);
  const y = (at) => HEIGHT - PAD.bottom - at * (HEIGHT - PAD.top - PAD.bottom);
  const x = (index) => left + index * GAP;
  const root = s("svg", { class: "parallel", viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": `${shownRuns.length} runs over ${names.map(short).join(", ")}; the table below has the values` });
  for (const run of shownRuns) {
    const points = axes.map((axis, index) => [x(index), onAxis(run, axis.name), axis]).filter(([, value]) => value !== undefined && value !== null)
      .map(([px, value, axis]) => `${px} ${y(axis.at(value)).toFixed(1)}`);
    if (points.length > 1) root.append(s("path", { class: `run rank-${rankOf(run, shownRuns, metric)}`, "data-run": run.job.id, d: `M${points.join("L")}` }, s("title", null, run.name)));
  }
  axes.forEach((axis, index) => {
    root.append(s("line", { class: "axis", x1: x(index), x2: x(index), y1: y(0), y2: y(1) }),
      s("text", { class: "axis-name", x: x(index), y: index % 2 ? 34 : 18, "text-anchor": "middle" }, short(axis.name)),
      ...axis.marks.map(([at, text]) => mark(x(index), y(at), text)));
  });
  show(byId("lines"), root);
}

function compareBy(column, isDown) {
  return (a, b) => {
    const [left, right] = [valueOf(a, column) ?? (column === "name" ? a.name : undefined), valueOf(b, column) ?? (column === "name" ? b.name : undefined)];
    if (left === undefined || left === null) return 1;
    if (right === undefined || right === null) return -1;
    const sign = typeof left === "number" && typeof right === "number" ? left - right : String(left).localeCompare(String(right));
    return isDown ? -sign : sign;
  };
}

function drawTable(shownRuns, { settings, metrics }) {
  const names = ["name", ...metrics, ...settings];
  const head = names.map((name) => {
    const isSorted = order.column === name;
    return h("th", { scope: "col", class: name === "name" ? "" : "number-cell", "aria-sort": isSorted ? (order.isDown ? "descending" : "ascending") : null },
      h("button", { type: "button", class: "sort quiet", "data-column": name }, name === "name" ? "Run" : short(name), isSorted ? (order.isDown ? " ↓" : " ↑") : ""));
  });
  const sorted = order.column ? [...shownRuns].sort(compareBy(order.column, order.isDown)) : shownRuns;
  const isBest = (run, name) => {
    const values = shownRuns.filter((item) => groupOf(item, name) === groupOf(run, name)).map((item) => item.metrics[name]).filter((value) => typeof value === "number");
    return values.length > 1 && run.metrics[name] === (isLow(name) ? Math.min(...values) : Math.max(...values));
  };
  show(byId("runs").tHead, h("tr", null, head));
  show(byId("runs").tBodies[0], sorted.map((run) => h("tr", { "data-run": run.job.id },
    h("th", { scope: "row" }, h("a", { class: "name", href: `/jobs/${run.job.id}` }, run.name), " ", run.job.state === "succeeded" ? "" : badge(run.job), h("span", { class: "sub" }, run.job.spec.dataset ?? "")),
    metrics.map((name) => h("td", { class: "number-cell" }, isBest(run, name) ? h("strong", { class: "best", title: `best of the runs on ${run.job.spec.dataset}` }, write(name, run.metrics[name])) : write(name, run.metrics[name]))),
    settings.map((name) => h("td", { class: "number-cell" }, number(run.settings[name]))))));
}

function draw() {
  const { task, dataset, metric } = Object.fromEntries(new FormData(choice));
  const shownRuns = runs.filter((run) => (!task || purpose(run) === task) && (!dataset || run.job.spec.dataset === dataset));
  const listed = columns(shownRuns);
  show(byId("metric"), listed.metrics.map((name) => h("option", { value: name }, short(name))));
  byId("metric").value = isMetricChosen && listed.metrics.includes(metric) ? metric : listed.metrics[0] ?? "";
  byId("empty").hidden = shownRuns.length > 0;
  byId("content").hidden = shownRuns.length === 0;
  drawLines(shownRuns, listed, byId("metric").value);
  drawTable(shownRuns, listed);
  byId("same").hidden = listed.equal.length === 0;
  byId("same-title").textContent = shownRuns.length > 1 ? `${count(listed.equal.length, "setting")} equal in all runs` : `${count(listed.equal.length, "setting")}`;
  show(byId("same-list"), listed.equal.flatMap(([name, value]) => [h("dt", null, short(name)), h("dd", null, number(value))]));
}

function highlight(event) {
  const id = event.target.closest?.("[data-run]")?.dataset.run;
  const root = byId("lines").firstElementChild;
  root?.classList.toggle("alone", Boolean(id));
  for (const path of byId("lines").querySelectorAll("[data-run]")) path.classList.toggle("seen", path.dataset.run === id);
  for (const row of byId("runs").tBodies[0].rows) row.classList.toggle("seen", row.dataset.run === id);
}

choice.addEventListener("change", (event) => {
  if (event.target.id === "metric") isMetricChosen = true;
  // Another task has other datasets.
  if (event.target.id === "task") offerDatasets();
  draw();
});
for (const name of ["pointerover", "focusin"]) byId("content").addEventListener(name, highlight);
byId("runs").tHead.addEventListener("click", (event) => {
  const column = event.target.closest("[data-column]")?.dataset.column;
  if (!column) return;
  order = { column, isDown: order.column === column ? !order.isDown : !isLow(column) && column !== "name" };
  draw();
  byId("runs").tHead.querySelector(`[data-column="${CSS.escape(column)}"]`).focus();
});

const purpose = (run) => words(run.job.spec.task ?? run.job.spec.objective);

/** Fill a choice, and start with the newest value that two runs share: mixed runs and single ones say little. */
function offer(id, values) {
  const names = distinct(values);
  const shared = names.find((name) => values.indexOf(name) !== values.lastIndexOf(name)) ?? names[0] ?? "";
  show(byId(id), byId(id).options[0], [...names].sort().map((name) => h("option", { value: name }, name)));
  byId(id).value = new URLSearchParams(location.search).has("job") ? "" : shared;
}

const offerDatasets = () => offer("dataset", runs.filter((run) => !byId("task").value || purpose(run) === byId("task").value).map((run) => run.job.spec.dataset));

let isOffered = false;
await load(() => {
  if (!isOffered) {
    offer("task", runs.map(purpose));
    offerDatasets();
    isOffered = true;
  }
  draw();
});
show(byId("empty"), "No run has been trained yet. ", h("a", { href: "/" }, "Start with a sample"), ".");
byId("content").removeAttribute("aria-busy");
