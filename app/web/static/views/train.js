// Train: the form of a fine-tuning job, checked by the service while it is filled in.

import { API, Problem, get, post, query } from "../api.js";
import { byId, h, show } from "../dom.js";
import { duration, number, words } from "../format.js";

/** Types of columns that are learned as the answer alone. */
const TARGETS = ["label", "number"];
const SCHEDULE = ["epochs", "batch_size", "learning_rate"];
let datasets = [];
let catalog = null;
let models = [];
let round = 0;
/** Facts about the columns of a dataset, by its reference. */
const facts = {};

const dataset = () => datasets.find((item) => `${item.name}@${item.version}` === byId("dataset").value);
const option = (value, text = value, attributes = {}) => h("option", { value, ...attributes }, text);

function spec() {
  const schedule = {};
  for (const name of SCHEDULE) if (byId(name).value !== "") schedule[name] = Number(byId(name).value);
  if (byId("optimizer").value) schedule.optimizer = byId("optimizer").value;
  const body = { kind: "finetune", dataset: byId("dataset").value, task: byId("task").value, model: byId("model").value, seed: Number(byId("seed").value || 0) };
  if (Object.keys(schedule).length) body.schedule = schedule;
  if (byId("base").value) body.start_from = byId("base").value;
  else if (byId("architecture").value) body.architecture = byId("architecture").value;
  if (byId("tuning").value) body.tuning = byId("tuning").value;
  const images = imageFacts();
  if (images && byId("image_size").value) body.encoders = { image: imageSize(Number(byId("image_size").value), images) };
  return body;
}

const imageFacts = () => (facts[byId("dataset").value]?.image?.max_width ? facts[byId("dataset").value].image : null);

/** Options of the image encoder from the shorter side; images of several sizes are centered in a square. */
function imageSize(side, { min_width: minWidth, min_height: minHeight, max_width: width, max_height: height }) {
  if (minWidth !== width || minHeight !== height) return { width: side, height: side, keep_ratio: true };
  const scale = side / Math.min(width, height);
  return { width: Math.round(width * scale), height: Math.round(height * scale) };
}

/** A note of the plan, which names the option of the command, as a sentence of this page. */
const noteOf = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`.replace(/--image-size \([^)]*\)(?: of (\d+))?/, (_, side) => (side ? `an image size of ${side} (in More settings)` : "the image size (in More settings)"));

const epochsOf = ({ epochs, max_epochs: most }) => (most ? `${number(epochs)}, and up to ${number(most)} while validation improves` : epochs);

function lines(plan, result) {
  const { schedule } = plan;
  const architectures = Object.entries(plan.architectures ?? {}).map(([slot, item]) => `${words(item)} for ${slot}`).join(", ");
  const entries = [
    ["task", words(plan.task)], ["network", plan.start_from ? `that of ${plan.start_from}` : architectures], ["tuning", words(plan.tuning)],
    ["epochs", epochsOf(result) ?? schedule.epochs], ["batch size", result.batch_size ?? schedule.batch_size], ["learning rate", schedule.learning_rate], ["optimizer", schedule.optimizer],
    ["early stopping", schedule.early_stopping ? `after ${schedule.early_stopping.patience} epochs without a better ${words(schedule.early_stopping.monitor)}` : "none"],
    ["augmentation", plan.task?.config?.augmentation], ["seed", plan.seed],
  ];
  return entries.filter(([, value]) => value !== undefined && value !== "" && value !== null);
}

/** The expected time of the plan, from an earlier training or measured when the reader asks for it. */
function timeOf({ expected_seconds: seconds, expected_from: job }) {
  if (seconds !== null) return [`About ${duration(seconds)}, judged by `, h("a", { href: `/jobs/${job}` }, "the latest training of this network"), "."];
  const button = h("button", { type: "button", id: "measure" }, "Measure the time");
  const line = h("span", { class: "hint" }, "No training of this network has ended here yet. A few steps are trained to measure it.");
  button.addEventListener("click", async () => {
    const mine = round;
    button.disabled = true;
    line.textContent = "Training a few steps ...";
    const answer = await post(query(`${API}/jobs`, { validate_only: true, measure: true }), spec()).catch((error) => error);
    if (mine !== round) return;
    button.disabled = false;
    if (!answer.cost) { line.textContent = answer.message; return; }
    const { training_seconds: total, steps, seconds_per_step: step } = answer.cost;
    button.remove();
    line.textContent = `About ${duration(total)} for ${number(steps)} steps of ${number(1000 * step, 3)} ms, measured now, while the machine does what else it does. Validation and the report come on top.`;
  });
  return [button, " ", line];
}

/** Show in empty fields what the plan uses. */
function fillPlaceholders({ spec: { schedule }, epochs, batch_size: batchSize, notes }) {
  const [, width, height] = (notes ?? []).join(" ").match(/read at (\d+) x (\d+)/) ?? [];
  const values = { epochs: epochs ?? schedule.epochs, batch_size: batchSize ?? schedule.batch_size, learning_rate: schedule.learning_rate, image_size: width ? Math.min(width, height) : null };
  for (const [name, value] of Object.entries(values)) byId(name).placeholder = value ?? "";
}

async function plan() {
  round += 1;
  const mine = round;
  byId("start").disabled = true;
  if (!byId("model").value) { show(byId("plan"), h("p", { class: "hint" }, "Name the model.")); return; }
  try {
    const result = await post(query(`${API}/jobs`, { validate_only: true }), spec());
    if (mine !== round) return;
    const held = dataset();
    fillPlaceholders(result);
    show(byId("plan"),
      h("p", null, `${number(held.splits.train)} rows to learn from, ${number(held.splits.validation ?? 0)} to see when to stop, ${number(held.splits.test ?? 0)} to judge with.`),
      h("p", { id: "time", role: "status" }, timeOf(result)),
      ...(result.notes ?? []).map((note) => h("p", { class: "notice", role: "note" }, noteOf(note))),
      ...result.licenses.map((item) => h("p", { class: "hint" }, `License of the ${item.kind} ${item.reference}: ${item.license}${item.noncommercial ? ", which excludes commercial use" : ""}.`)),
      h("dl", { class: "tiles" }, lines(result.spec, result).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, number(value))))),
      h("details", null, h("summary", null, "Everything that will be used"), h("pre", { tabIndex: 0, "aria-label": "Settings as JSON" }, h("code", null, JSON.stringify(result.spec, null, 1)))));
    byId("start").disabled = false;
  } catch (error) {
    if (mine !== round || !(error instanceof Problem)) return;
    const items = error.details.map((item) => h("li", null, item));
    show(byId("plan"), h("div", { class: "notice bad", role: "alert" }, h("p", null, error.message), items.length ? h("ul", null, items) : ""));
  }
}

/** Whether a model can be the start for a task: one of the task itself, or a base whose network fits one of its slots. */
function canStart(item, task) {
  if (item.task !== null) return item.task === task;
  return Object.entries(item.architecture).some(([slot, name]) => catalog.fits.tasks[task]?.[slot]?.[name] === null);
}

/** The models, those without a task with the networks of their latest version. */
async function knownModels() {
  const { data } = await get(query(`${API}/models`, { limit: 200 }));
  return Promise.all(data.map(async (item) => (item.task === null
    ? { ...item, architecture: (await get(`${API}/models/${encodeURIComponent(item.name)}/versions/${item.latest_version}`)).architecture } : item)));
}

/** Whether rows of a dataset can be learned from for a task: its columns are among those of the task of the dataset. */
function suits(task, ownTask) {
  if (task === ownTask) return true;
  const own = catalog.tasks[ownTask]?.columns ?? {};
  const columns = Object.entries(catalog.tasks[task].columns);
  return columns.some(([, type]) => !TARGETS.includes(type)) && columns.every(([name, type]) => own[name] === type);
}

/** Offer the tasks that suit the data first, and all others in a group of their own. */
function offerTasks(ownTask) {
  const names = Object.keys(catalog.tasks).sort();
  const first = ownTask ? names.filter((name) => suits(name, ownTask)) : names;
  const others = names.filter((name) => !first.includes(name));
  byId("task").replaceChildren(...first.map((name) => option(name, words(name))), ...(others.length ? [h("optgroup", { label: "Other tasks" }, others.map((name) => option(name, words(name))))] : []));
  if (ownTask) byId("task").value = ownTask;
}

function fits() {
  const task = byId("task").value;
  const slots = Object.values(catalog.fits.tasks[task] ?? {});
  const architectures = Object.keys(catalog.architectures).filter((name) => slots.some((slot) => slot[name] === null));
  byId("architecture").replaceChildren(option("", "suits the data"), ...architectures.sort().map((name) => option(name, words(name))));
  byId("base").replaceChildren(option("", "nothing, train from scratch"), ...models.filter((item) => canStart(item, task)).map((item) => option(item.name, item.task === null ? `${item.name} (pretrained)` : item.name)));
}

async function choose() {
  const item = dataset();
  const reference = byId("dataset").value;
  facts[reference] ??= (await get(`${API}/datasets/${encodeURIComponent(reference)}/report`)).facts ?? {};
  if (byId("dataset").value !== reference) return;
  byId("image_size").value = "";
  byId("image_size_field").hidden = !imageFacts();
  offerTasks(item.task);
  byId("model").value = item.name;
  fits();
  plan();
}

async function start(event) {
  event.preventDefault();
  byId("start").disabled = true;
  byId("status").textContent = "Starting ...";
  try {
    const job = await post(query(`${API}/jobs`, { priority: byId("priority").value }), spec());
    location.assign(`/jobs/${job.id}`);
  } catch (error) {
    byId("status").textContent = error.message;
    byId("start").disabled = false;
  }
}

async function load() {
  const [page, entries, served] = await Promise.all([get(query(`${API}/datasets`, { limit: 200 })), get(`${API}/catalog`), knownModels()]);
  datasets = page.data.filter((item) => item.state === "ready");
  catalog = entries;
  models = served;
  byId("empty").hidden = datasets.length > 0;
  byId("train").hidden = datasets.length === 0;
  if (!datasets.length) return;
  byId("dataset").append(...datasets.map((item) => option(`${item.name}@${item.version}`, `${item.name}@${item.version} (${number(item.rows)} rows)`)));
  byId("tuning").append(...Object.keys(catalog.tunings).filter((name) => name !== "full").sort().map((name) => option(name, words(name))));
  const parameters = new URLSearchParams(location.search);
  const requested = parameters.get("dataset");
  if (datasets.some((item) => `${item.name}@${item.version}` === requested)) byId("dataset").value = requested;
  await choose();
  const base = parameters.get("base");
  if (base) { byId("base").value = base; plan(); }
}

let timer = 0;
function later() {
  clearTimeout(timer);
  timer = setTimeout(plan, 250);
}

byId("dataset").addEventListener("change", choose);
byId("task").addEventListener("change", () => { fits(); plan(); });
for (const id of ["base", "architecture", "tuning", "optimizer"]) byId(id).addEventListener("change", plan);
for (const id of ["model", "seed", "image_size", ...SCHEDULE]) byId(id).addEventListener("input", later);
byId("train").addEventListener("submit", start);
load();
