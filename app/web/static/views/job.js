// One job: its state and events over a stream, curves, and requests to pause, stop or cancel it.

import { API, follow, get, poll, post, query } from "../api.js";
import { lineChart } from "../charts.js";
import { byId, h, show } from "../dom.js";
import { ago, bytes, duration, jobName, kind, number, ordinal, plain, state, versionOf, words } from "../format.js";
import { badge, headline, percent } from "../job_parts.js";

const id = byId("job").dataset.id;
const controls = byId("controls");
const MAX_LINES = 500;
/** The place of the charts has no width while the page is left. */
const MIN_CHART_WIDTH = 240;
const TRAINING = ["preparing", "training", "evaluating", "exporting", "registering"];
/** Kinds of jobs with curves; a search has one over its trials. */
const WITH_CURVES = ["finetune", "pretrain", "sweep"];
const WITH_REPORT = ["finetune", "sweep"];
const FINAL = ["succeeded", "failed", "cancelled"];

/** Curves of the jobs that are shown: points by metric, and the time of each step. */
const shown = new Map();
let job = null;

function curvesOf(jobId, label) {
  if (!shown.has(jobId)) shown.set(jobId, { label, metrics: new Map(), times: new Map() });
  return shown.get(jobId);
}

function addPoint(curves, name, step, value) {
  if (!curves.metrics.has(name)) curves.metrics.set(name, new Map());
  curves.metrics.get(name).set(step, value);
}

function note(curves, event) {
  const { step, ...values } = event.data;
  curves.start ??= Date.parse(event.created_at);
  curves.times.set(step, (Date.parse(event.created_at) - curves.start) / 1000);
  for (const [name, value] of Object.entries(values)) addPoint(curves, name, step, value);
}

async function loadCurves(curves, jobId) {
  const metrics = await get(query(`${API}/jobs/${jobId}/metrics`, { max_points: 1000 }));
  for (const [name, points] of Object.entries(metrics)) for (const [step, value] of points) addPoint(curves, name, step, value);
}

function points(curves, name, axis) {
  const steps = [...(curves.metrics.get(name) ?? [])].sort((a, b) => a[0] - b[0]);
  const usable = steps.filter(([, value]) => value !== null);
  return axis === "time" ? usable.filter(([step]) => curves.times.has(step)).map(([step, value]) => [curves.times.get(step), value]) : usable;
}

/** Metrics in groups of one chart each: train/loss and validation/loss belong together. */
function groups() {
  const names = new Set([...shown.values()].flatMap((curves) => [...curves.metrics.keys()]));
  const grouped = new Map();
  for (const name of [...names].sort()) {
    const key = name.split("/").at(-1);
    grouped.set(key, [...(grouped.get(key) ?? []), name]);
  }
  const rank = (key) => (key === "loss" ? 0 : key === "learning_rate" ? 2 : 1);
  return [...grouped].sort((a, b) => rank(a[0]) - rank(b[0]));
}

function drawCurves() {
  const { weight, log, axis } = Object.fromEntries(new FormData(controls));
  const several = shown.size > 1;
  const space = Math.max(MIN_CHART_WIDTH, byId("charts").clientWidth - 34);
  const half = space < 700 ? space : space / 2 - 24;
  const charts = groups().map(([key, names], index) => {
    const series = [...shown.values()].flatMap((curves, place) => names.map((name) => {
      const isTrain = name.startsWith("train/");
      const color = several ? place + 1 : isTrain ? 2 : 1;
      const [split] = name.split("/");
      return { name: several ? `${curves.label} ${split}` : split, className: `s${(color - 1) % 8 + 1}${several && isTrain ? " dashed" : ""}`, points: points(curves, name, axis) };
    }));
    return lineChart(series, { title: words(key), xLabel: axis === "time" ? "time" : job.kind === "sweep" ? "trial" : "step", formatX: axis === "time" ? duration : number, log: log === "on", weight: Number(weight), width: index === 0 ? space : half, height: index === 0 ? 300 : 220 });
  });
  byId("charts").replaceChildren(...(charts.length ? charts : [h("p", { class: "empty" }, "No values yet. They appear with the first steps.")]));
}

let isDrawing = false;
function redraw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => { isDrawing = false; drawCurves(); });
}

function line(event) {
  const { data } = event;
  const time = new Date(event.created_at).toLocaleTimeString();
  const text = event.kind === "log" ? data.message : event.kind === "state" && data.error ? `${words(data.state)}: ${data.error.message}. ${data.error.hint ?? ""}` : `${event.kind} ${Object.entries(data).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : number(value)}`).join(", ")}`;
  return h("li", { class: data.level ?? "" }, h("time", { datetime: event.created_at }, time), h("span", null, text));
}

function append(list, item) {
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(item);
  while (list.childElementCount > MAX_LINES) list.firstElementChild.remove();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

function phases() {
  const done = FINAL.includes(job.state);
  const phase = job.progress.phase;
  const names = ["finetune", "pretrain"].includes(job.kind) ? TRAINING.filter((name) => name !== "evaluating" || job.kind === "finetune") : phase && !TRAINING.includes(phase) ? [phase] : ["running"];
  const all = ["queued", ...names, "done"];
  const name = job.state === "queued" ? "queued" : done ? "done" : phase ?? names[0];
  const at = Math.max(0, all.indexOf(name));
  show(byId("phases"), all.map((item, index) => {
    const now = index === at;
    const last = now && done && job.state !== "succeeded" ? "bad" : "";
    return h("li", { class: `${index < at || (now && job.state === "succeeded") ? "past" : now ? "now" : ""} ${last}`, "aria-current": now ? "step" : null }, now && done ? job.state : words(item));
  }));
}

function progress() {
  const done = percent(job);
  const { epoch, epochs, step, steps, eta_seconds: left, samples_per_second: speed } = job.progress;
  const facts = [
    steps ? ["Step", `${number(step)} of ${number(steps)}`] : null,
    epochs ? ["Epoch", `${number(epoch)} of ${number(epochs)}`] : null,
    job.state === "running" ? ["Time left", left === null || left === undefined ? "not known yet" : duration(left)] : null,
    speed && job.state === "running" ? ["Speed", `${number(speed, 3)} rows/s`] : null,
    job.queue_position ? ["Queue", job.queue_position === 1 ? "next" : `${ordinal(job.queue_position)}`] : null,
    job.owner ? ["Owner", job.owner.name] : null,
    job.priority === "normal" ? null : ["Priority", job.priority],
    job.started_at ? ["Started", ago(job.started_at)] : ["Created", ago(job.created_at)],
    job.finished_at && job.started_at ? ["Took", duration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000)] : null,
    job.attempt > 1 ? ["Attempt", job.attempt] : null,
  ].filter(Boolean);
  show(byId("progress"),
    job.state === "running" ? h("progress", { max: "100", value: done === null ? null : done.toFixed(1), "aria-label": "Progress of the job" }) : "",
    h("dl", { class: "tiles" }, facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))));
}

/** What an export made, with its download. */
function exported({ model, format }) {
  const [name, version] = model.split("@");
  const file = `${name}-${version}-${format}.zip`;
  return h("div", { class: "notice good row spread" }, h("p", null, `${model} is exported as ${words(format)}.`),
    h("p", { class: "row" }, h("a", { class: "button primary", download: file, href: query(`${API}/models/${encodeURIComponent(name)}/versions/${version}/download`, { format }) }, `Download ${file}`),
      h("a", { class: "button", href: `/models/${encodeURIComponent(name)}` }, "The model")));
}

function outcome() {
  const parts = [];
  if (job.state === "failed") {
    parts.push(h("div", { class: "notice bad" }, h("h2", null, "What failed"), h("p", null, plain(job.error?.message) ?? "The job failed."),
      h("h3", null, "What to do"), h("p", null, plain(job.error?.hint) ?? "Read the last lines of the log below. If they do not help, look at the parts under System.")));
  }
  if (!FINAL.includes(job.state) && job.error) parts.push(h("div", { class: "notice warn" }, h("p", null, `${plain(job.error.message)}. `, plain(job.error.hint) ?? "")));
  if (job.state === "succeeded" && job.model) {
    const best = headline(job);
    const model = `${job.model.name}@${job.model.version}`;
    const isBase = job.kind === "pretrain";
    parts.push(h("div", { class: "notice good row spread" },
      h("p", null, `${model} is ready`, best ? `: ${best[0]} ${number(best[1])}` : "", "."),
      h("p", { class: "row" },
        isBase ? h("a", { class: "button primary", href: query("/train", { base: job.model.name }) }, "Fine-tune from it") : h("a", { class: "button primary", href: query("/try", { model }) }, "Try it"),
        WITH_REPORT.includes(job.kind) ? h("a", { class: "button", href: `/jobs/${id}/report` }, "Read the report") : "",
        h("a", { class: "button", href: `/models/${encodeURIComponent(job.model.name)}` }, "The model"))));
  }
  if (job.state === "succeeded" && job.kind === "sweep" && !job.model) parts.push(h("div", { class: "notice good row spread" }, h("p", null, "The search has ended."), h("a", { class: "button primary", href: `/jobs/${id}/report` }, "Read the report")));
  if (job.state === "succeeded" && job.kind === "export") parts.push(exported(job.spec));
  if (job.warnings?.length) parts.push(h("div", { class: "notice warn" }, h("h2", null, "Look twice"), job.warnings.map((text) => h("p", null, plain(text)))));
  if (state(job) === "paused") parts.push(h("div", { class: "notice warn" }, h("p", null, "Paused. The checkpoint is kept; resume it when you like.")));
  show(byId("outcome"), parts);
}

async function act(action) {
  show(byId("message"));
  try {
    const answer = await post(`${API}/jobs/${id}/${action}`);
    if (answer.id !== id) location.assign(`/jobs/${answer.id}`);
    await update();
  } catch (error) {
    show(byId("message"), h("p", { class: "notice bad" }, error.message));
  }
}

function actions() {
  const button = (action, label, look = "") => h("button", { type: "button", class: look, "data-action": action }, label);
  const buttons = [];
  if (!FINAL.includes(job.state)) {
    if (job.requested === "pause") buttons.push(button("resume", "Resume", "primary"));
    else if (!job.requested) buttons.push(button("pause", "Pause"));
    if (job.requested !== "stop" && job.requested !== "cancel" && ["finetune", "pretrain"].includes(job.kind)) buttons.push(button("stop", "Stop and keep"));
    if (job.requested !== "cancel") buttons.push(button("cancel", "Cancel", "danger"));
  }
  const offers = byId("job").dataset.offers.split(" ");
  const isTraining = ["finetune", "pretrain"].includes(job.kind);
  if (offers.includes("retry") && FINAL.includes(job.state) && job.state !== "succeeded") buttons.push(button("retry", "Try again", "primary"));
  if (offers.includes("clone") && isTraining) buttons.push(button("clone", "Run with changes"));
  show(byId("actions"), buttons);
}

/** Changes of settings from lines such as `schedule.epochs = 30`. Throws for a line without a value. */
function parseChanges(text) {
  const changes = {};
  for (const row of text.split("\n").map((item) => item.trim()).filter(Boolean)) {
    const [path, ...rest] = row.split("=");
    if (!rest.length) throw new Error(`"${row}" has no value. Write setting = value.`);
    const value = rest.join("=").trim();
    const names = path.trim().split(".");
    const last = names.pop();
    let place = changes;
    for (const name of names) place = place[name] ??= {};
    try {
      place[last] = JSON.parse(value);
    } catch {
      place[last] = value;
    }
  }
  return changes;
}

async function clone(event) {
  event.preventDefault();
  show(byId("message"));
  try {
    const copy = await post(`${API}/jobs/${id}/clone`, parseChanges(byId("changes").value));
    location.assign(`/jobs/${copy.id}`);
  } catch (error) {
    show(byId("message"), h("p", { class: "notice bad" }, error.message));
  }
}

function flatten(value, path = "") {
  if (Array.isArray(value) || value === null || typeof value !== "object") return [[path, Array.isArray(value) ? JSON.stringify(value) : String(value)]];
  return Object.entries(value).flatMap(([name, inner]) => flatten(inner, path ? `${path}.${name}` : name));
}

async function update() {
  job = await get(`${API}/jobs/${id}`);
  const { spec } = job;
  const training = spec.job ?? spec;
  show(byId("about"), badge(job), h("span", null, kind(job.kind), training.task ? `, ${words(training.task)}` : ""),
    training.dataset ? h("span", null, "on ", h("strong", null, versionOf("data", training.dataset))) : "", h("code", null, id),
    job.parent ? h("a", { href: `/jobs/${job.parent}` }, `trial ${job.trial} of a search`) : "");
  byId("curves").hidden = !WITH_CURVES.includes(job.kind);
  phases();
  progress();
  outcome();
  actions();
  if (!byId("settings").childElementCount) show(byId("settings"), h("dl", { class: "facts mono" }, flatten(spec).flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)])));
}

async function checkpoints() {
  const { data } = await get(`${API}/jobs/${id}/checkpoints`);
  show(byId("checkpoints"), data.length
    ? h("ul", { class: "list" }, data.map((item) => h("li", null, `Step ${number(item.step)}, ${ago(item.created_at)}`, item.bytes ? `, ${bytes(item.bytes)}` : "")))
    : h("p", { class: "hint" }, "None now. A running job saves one at the end of epochs, and resumes from it after a crash."));
}

async function others() {
  const { data } = await get(query(`${API}/jobs`, { limit: 100, kind: job.kind }));
  for (const item of data.filter((row) => row.id !== id)) byId("other").append(h("option", { value: item.id }, `${jobName(item)}, ${ago(item.created_at)}`));
}

async function overlay(jobId) {
  const otherJob = await get(`${API}/jobs/${jobId}`);
  const curves = curvesOf(jobId, jobName(otherJob));
  await loadCurves(curves, jobId);
  const close = follow(`${API}/jobs/${jobId}/events`, ["metric"], (event) => { note(curves, event); redraw(); });
  const button = h("button", { type: "button", class: "chip", "aria-label": `Remove ${curves.label}` }, curves.label, " ×");
  button.addEventListener("click", () => { close(); shown.delete(jobId); button.parentElement.remove(); redraw(); });
  byId("overlays").append(h("li", null, button));
  redraw();
}

controls.addEventListener("input", redraw);
addEventListener("resize", redraw);
byId("other").addEventListener("change", (event) => {
  const { value } = event.target;
  event.target.value = "";
  if (value && !shown.has(value)) overlay(value);
});
byId("actions").addEventListener("click", (event) => {
  const { action } = event.target.dataset;
  if (action === "cancel" && !confirm("Cancel this job? Its results are discarded.")) return;
  if (action === "clone") {
    byId("clone").hidden = false;
    byId("changes").focus();
  } else if (action) act(action);
});

byId("clone").addEventListener("submit", clone);
byId("clone").addEventListener("reset", () => { byId("clone").hidden = true; });

const own = curvesOf(id, "this job");
poll(async () => { if (!job || !FINAL.includes(job.state)) await update(); }, 3);
await update();
own.label = jobName(job);
await loadCurves(own, id);
redraw();
follow(`${API}/jobs/${id}/events`, ["state", "progress", "metric", "log", "checkpoint"], (event) => {
  if (event.kind === "metric") { note(own, event); redraw(); }
  if (event.kind === "log") append(byId("log"), line(event));
  else if (event.kind !== "progress") append(byId("events"), line(event));
  if (event.kind === "checkpoint") checkpoints();
  if (event.kind === "progress") { job.progress = event.data; phases(); progress(); }
  if (event.kind === "state" && event.data.state !== job.state) update();
}, update);
checkpoints();
others();
