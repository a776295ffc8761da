// Watch of a model: what is recorded, evidence of drift, the decisions of its loop, and a form for its options.

import { API, Problem, get, poll, request } from "./api.js";
import { lineChart } from "./charts.js";
import { byId, h, show } from "./dom.js";
import { ago, bytes, count, number, plain, words } from "./format.js";

const MAX_EVENTS = 30;
const WATCHED = ["image_classification", "text_classification"];
const RESULTS = { promoted: "succeeded", passed: "succeeded", confirmed: "succeeded", refused: "paused", training_failed: "failed", restored: "failed", not_restored: "failed", drift: "paused" };
/** Fields of the form that are numbers; the fraction is shown in percent. */
const NUMBERS = ["min_feedback", "guard_hours", "max_rows", "max_bytes", "max_days"];
const GATE = ["min_test_rows", "max_forgetting", "max_calibration_loss", "robustness"];
const form = byId("watch-form");
let modelPath = "";
let path = "";
/** The options that the form shows; null without a watch. */
let shown = null;

const field = (name) => form.elements.namedItem(name);
const time = (at) => h("time", { datetime: at, title: new Date(at).toLocaleString("en") }, ago(at));

function summary(watch) {
  const { state } = watch;
  const recorded = { off: "Nothing is recorded.", sketches: "Sketches of", rows: "Inputs and answers of" }[watch.keep];
  const parts = [watch.keep === "off" ? recorded : `${recorded} ${number(100 * watch.fraction, 3)} % of the requests are recorded.`,
    `${count(state.records, "record")} (${bytes(state.bytes)}), ${count(state.feedback, "row")} of feedback.`];
  if (state.round) parts.push(`A new version is ${state.round.stage === "training" ? "trained" : "compared"}.`);
  if (state.guard) parts.push(`Version ${state.guard.version} is guarded since ${ago(state.guard.since)}: version ${state.guard.earlier} returns if it does worse.`);
  return parts.join(" ");
}

function driftTable(tests) {
  return h("div", { class: "table-frame", role: "region", "aria-label": "Drift tests", tabindex: "0" }, h("table", null,
    h("caption", { class: "visually-hidden" }, "Drift tests of the present version"),
    h("thead", null, h("tr", null, ["Test", "Version", "Rows compared", "Evidence", "Alarm from"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", null, tests.map((test) => h("tr", null,
      h("th", { scope: "row" }, words(test.test)),
      h("td", null, test.version),
      h("td", null, test.rows ? number(test.rows) : `learns from ${count(test.reference_rows, "row")}`),
      h("td", null, number(test.value), test.alarm_at ? h("span", { class: "sub" }, `alarm at row ${number(test.alarm_row)}, ${ago(test.alarm_at)}`) : ""),
      h("td", null, number(test.threshold)))))));
}

function evidenceChart(tests) {
  const drawn = tests.filter((test) => test.evidence.length);
  if (!drawn.length) return h("p", { class: "empty" }, "No evidence yet. A test compares the rows after the first 200.");
  const series = drawn.map((test, index) => ({ name: words(test.test), className: `s${index % 7 + 1}`, points: test.evidence.map((point) => [point.rows, point.value]) }));
  const last = Math.max(...drawn.map((test) => test.evidence.at(-1).rows));
  const threshold = Math.max(...drawn.map((test) => test.threshold));
  series.push({ name: "alarm", className: "s8 dashed", points: [[0, threshold], [last, threshold]] });
  const space = byId("watch-evidence").clientWidth || 560;
  return lineChart(series, { title: "Evidence of drift", xLabel: "rows compared", log: true, width: Math.max(280, Math.min(space, 900)), height: 260 });
}

function gateCard(gate) {
  const table = Object.entries(gate.table).filter(([, part]) => part.current);
  const percent = (value) => `${number(100 * value, 3)} %`;
  return h("div", { class: "card" },
    h("h4", null, `Version ${gate.candidate} against ${gate.version}: ${gate.passed ? "passes" : "stays aside"}`),
    h("ul", { class: "list" }, gate.checks.map((check) => h("li", null, h("strong", null, check.passed ? "passes: " : "fails: "), check.message))),
    h("div", { class: "table-frame", role: "region", "aria-label": "Accuracy of both versions", tabindex: "0" }, h("table", null,
      h("thead", null, h("tr", null, ["Test rows", "Number", `Version ${gate.version}`, `Version ${gate.candidate}`].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", null, table.map(([name, part]) => h("tr", null, h("th", { scope: "row" }, name), h("td", null, number(part.rows)),
        h("td", null, percent(part.current.accuracy)), h("td", null, percent(part.candidate.accuracy))))))));
}

const eventItem = (event) => h("li", null, h("span", { class: `badge ${RESULTS[event.kind] ?? ""}` }, words(event.kind)), " ", plain(event.message), " ",
  event.job ? h("a", { href: `/jobs/${event.job}` }, "job") : "", h("span", { class: "sub" }, time(event.at)));

function draw(watch) {
  byId("watch-summary").textContent = watch ? summary(watch) : "Nothing of its requests is recorded. Fill in the options to watch it for drift.";
  byId("watch-end").hidden = !watch;
  byId("watch-state").hidden = !watch;
  if (!watch) return;
  const { drift, events, gate } = watch.state;
  show(byId("watch-drift"), drift.length ? driftTable(drift) : h("p", { class: "empty" }, "No test has read a record yet."));
  if (drift.length) show(byId("watch-evidence"), evidenceChart(drift));
  show(byId("watch-gate"), gate ? gateCard(gate) : h("p", { class: "empty" }, "No version was compared yet."));
  show(byId("watch-events"), events.length ? events.slice(-MAX_EVENTS).reverse().map(eventItem) : h("li", { class: "empty" }, "Nothing has happened yet."));
}

/** Show options in the form, unless somebody edits it. */
function fill(watch) {
  const options = watch ?? { keep: "rows", fraction: 0.1, drift: "auto", gate: "auto", then: "tell", alias: "production", dataset: null, min_feedback: 100, guard_hours: 24, training: {}, max_rows: 10_000, max_bytes: 256 * 1024 ** 2, max_days: 30 };
  shown = watch;
  for (const name of ["keep", "then", "alias", ...NUMBERS]) field(name).value = options[name];
  field("fraction").value = Number((100 * options.fraction).toPrecision(6));
  field("dataset").value = options.dataset ?? "";
  field("drift").value = options.drift === "auto" ? "auto" : options.drift.join(", ");
  for (const name of GATE) field(name).value = options.gate === "auto" ? "" : options.gate[name] ?? "";
  field("training").value = Object.keys(options.training).length ? JSON.stringify(options.training, null, 1) : "";
}

/** Read the form; throws an error in words for a training that is no JSON. */
function options() {
  const gate = Object.fromEntries(GATE.filter((name) => field(name).value !== "").map((name) => [name, Number(field(name).value)]));
  let training = {};
  try {
    if (field("training").value.trim()) training = JSON.parse(field("training").value);
  } catch (error) {
    throw new Error(`Changes to the training are no JSON: ${error.message}`);
  }
  const drift = field("drift").value.trim();
  return {
    ...Object.fromEntries(["keep", "then", "alias"].map((name) => [name, field(name).value])),
    ...Object.fromEntries(NUMBERS.map((name) => [name, Number(field(name).value)])),
    fraction: Number(field("fraction").value) / 100,
    dataset: field("dataset").value.trim() || null,
    drift: drift === "auto" || !drift ? "auto" : drift.split(",").map((name) => name.trim()).filter(Boolean),
    gate: Object.keys(gate).length ? gate : "auto",
    training,
  };
}

async function change(act, message) {
  show(byId("watch-problem"));
  byId("watch-status").textContent = "";
  try {
    const watch = await act();
    fill(watch);
    draw(watch);
    byId("watch-status").textContent = message;
  } catch (error) {
    const details = error instanceof Problem ? error.details : [];
    show(byId("watch-problem"), h("div", { class: "notice bad", role: "alert" }, h("p", null, error.message), details.length ? h("ul", null, details.map((text) => h("li", null, text))) : ""));
  }
}

async function update() {
  const watch = (await get(modelPath)).is_watched ? await get(path) : null;
  if (!form.contains(document.activeElement) && watch?.updated_at !== shown?.updated_at) fill(watch);
  draw(watch);
}

/** Show the watch of a model, and keep it fresh. */
export function showWatch(name, task) {
  if (path || !WATCHED.includes(task)) return;
  modelPath = `${API}/models/${encodeURIComponent(name)}`;
  path = `${modelPath}/watch`;
  byId("watch").hidden = false;
  fill(null);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    change(() => request("PUT", path, options()), "The watch is saved.");
  });
  byId("watch-end").addEventListener("click", () => {
    if (confirm(`End the watch of ${name}? All records of its requests are deleted; feedback stays.`)) change(() => request("DELETE", path), "The watch has ended, and its records are deleted.");
  });
  poll(update, 5);
}
