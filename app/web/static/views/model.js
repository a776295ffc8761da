// Model: its versions, which one is in use, where it comes from, and its files.

import { API, Problem, get, post, query, request } from "../api.js";
import { byId, h, show } from "../dom.js";
import { ago, bytes, count, number, plain, words } from "../format.js";
import { graph } from "../graph.js";
import { showWatch } from "../watch.js";

const name = decodeURIComponent(location.pathname.split("/")[2]);
const path = `${API}/models/${encodeURIComponent(name)}`;
const MAX_ANCESTORS = 6;
let current = null;

const parityOf = ({ parity }) => (parity ? `differs from PyTorch by at most ${number(parity.max_abs_difference, 2)} on ${count(parity.rows, "row")}, ${parity.labels_changed ? count(parity.labels_changed, "label") : "no label"} changed` : null);

function fail(error) {
  show(byId("problem"), h("p", { class: "notice bad", role: "alert" }, error.message));
}

const metricsOf = (metrics) => {
  const entries = Object.entries(metrics);
  const test = entries.filter(([key]) => key.startsWith("test/"));
  return (test.length ? test : entries).slice(0, 3);
};

/** What a file of an exported graph is for, by its path. */
function graphNotes(graphs) {
  const notes = {};
  for (const { file, trunk, variant, inputs, outputs } of Object.values(graphs ?? {})) {
    const names = `${inputs?.join(", ")} in, ${outputs?.join(", ")} out`;
    notes[file] = trunk ? `ONNX, the last layer alone: it needs ${trunk} before it` : `ONNX, the whole network: ${names}`;
    if (trunk) notes[trunk] = `ONNX, the network before ${file}`;
    if (variant?.file) notes[variant.file] = `ONNX, ${trunk ? `the same as ${trunk}` : `the same as ${file}`} in ${words(variant.name)}, ${number(variant.speedup, 2)} times the speed`;
  }
  return notes;
}

function versionRow(version) {
  const { lineage } = version;
  return h("tr", null,
    h("th", { scope: "row" }, h("button", { type: "button", class: "link name", onclick: () => select(version.version) }, `${name}@${version.version}`), h("span", { class: "sub" }, ago(version.created_at))),
    h("td", { class: "nowrap", "data-label": "metrics" }, metricsOf(version.metrics).map(([key, value]) => h("span", { class: "sub" }, `${words(key.replace("test/", ""))} ${number(value)}`))),
    h("td", { class: "wide", "data-label": "size" }, bytes(version.bytes)),
    h("td", { "data-label": "from" }, lineage.job ? [h("a", { href: `/jobs/${lineage.job}` }, "job"), version.task ? [", ", h("a", { href: `/jobs/${lineage.job}/report` }, "report")] : ""].flat() : "import"),
    h("td", { "data-label": "in use as" }, h("ul", { class: "chips" }, version.aliases.map((alias) => h("li", null, alias)))));
}

async function withSplit(path_) {
  const alias = await get(path_);
  return { ...alias, split: alias.is_split ? await existing(`${path_}/split`) : null };
}

function splitTable(split) {
  const both = [split.current, split.candidate];
  const percent = (value) => `${number(100 * value, 3)} %`;
  const labels = Object.keys({ ...split.current.classes, ...split.candidate.classes }).slice(0, 20);
  const rows = [["requests", ({ requests }) => number(requests)], ["errors", ({ errors }) => number(errors)],
    ["median latency", ({ latency_seconds: { p50 } }) => (p50 === null ? "" : `${number(1000 * p50, 3)} ms`)],
    ["mean confidence", ({ mean_confidence: mean }) => (mean === null ? "" : number(mean, 3))],
    ...labels.map((label) => [label, ({ classes }) => percent(classes[label] ?? 0)])];
  return h("div", { class: "table-frame", role: "region", "aria-label": `Traffic of ${split.alias}`, tabindex: "0" }, h("table", null,
    h("caption", null, `${split.mode}: version ${split.candidate.version} gets ${percent(split.weight)}${split.agreement === null ? "" : `; same label for ${percent(split.agreement)}`}`),
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Since the split began"), both.map(({ version }) => h("th", { scope: "col" }, `version ${version}`)))),
    h("tbody", null, rows.map(([title, cell]) => h("tr", null, h("th", { scope: "row" }, title), both.map((item) => h("td", null, cell(item))))))));
}

async function aliases() {
  const page = await get(`${path}/aliases`);
  const full = await Promise.all(page.data.map((item) => withSplit(`${path}/aliases/${encodeURIComponent(item.alias)}`)));
  show(byId("aliases"), full.map((item) => {
    const before = item.history.find((change) => change.version !== null && change.version !== item.version);
    return h("div", { class: "card" }, h("h3", null, `${item.alias}: version ${item.version}`),
      h("ul", { class: "list" }, item.history.slice(0, 5).map((change) => h("li", { class: "sub" }, change.version === null ? "deleted" : `version ${change.version}`, ", ", ago(change.changed_at)))),
      item.split ? splitTable(item.split) : "",
      before ? h("p", null, h("button", { type: "button", onclick: () => setAlias(item.alias, before.version) }, `Back to version ${before.version}`)) : "");
  }));
}

async function setAlias(alias, version) {
  try {
    await request("PUT", `${path}/aliases/${encodeURIComponent(alias)}`, { version });
    byId("alias-status").textContent = `${alias} names version ${version}.`;
    await load();
  } catch (error) {
    byId("alias-status").textContent = error.message;
  }
}

async function existing(path_) {
  try {
    return await get(path_);
  } catch {
    return null;
  }
}

/** The version and those it was fine-tuned from, the oldest first, each with its data. */
async function ancestry(version) {
  const steps = [];
  let item = version;
  while (item && steps.length < MAX_ANCESTORS) {
    const { dataset, parent } = item.lineage;
    const data = dataset ? await existing(`${API}/datasets/${dataset.id}`) : null;
    steps.unshift({ item, data, isDataDeleted: Boolean(dataset) && data === null });
    item = parent ? await existing(`${API}/models/${encodeURIComponent(parent.name)}/versions/${parent.version}`) : null;
  }
  return steps;
}

async function lineage(version) {
  const steps = await ancestry(version);
  const columns = steps.map(({ item, data, isDataDeleted }) => ({
    above: data ? { title: `data ${data.name}, version ${data.version}`, note: data.rows === null ? "data" : count(data.rows, "row"), href: `/data/${data.id}` } : isDataDeleted ? { title: "data", note: "deleted" } : null,
    node: { title: `model ${item.name}, version ${item.version}`, note: item.task ? words(item.task) : "base model", href: `/models/${encodeURIComponent(item.name)}`, isCurrent: item === version },
  }));
  return graph(columns, version.aliases.map((alias) => ({ title: alias, note: "alias" })));
}

async function select(number_) {
  const version = await get(`${path}/versions/${number_}`);
  current = number_;
  byId("version-number").textContent = number_;
  const facts = [["task", version.task ? words(version.task) : "none, a base model"], ["network", Object.entries(version.architecture).map(([slot, item]) => `${item} for ${slot}`).join(", ")],
    ["parameters", number(version.parameters)], ["size", bytes(version.bytes)], ["engine", version.engine], ["why", version.engine_reason], ...Object.entries(version.graphs ?? {}).map(([key, item]) => [key === "model" ? "exported graph" : `graph ${words(key)}`, parityOf(item)]),
    ["license", version.license], ["labels", version.labels?.length > 30 ? `${version.labels.slice(0, 30).join(", ")} and ${version.labels.length - 30} more` : version.labels?.join(", ")],
    ...Object.entries(version.metrics).map(([key, value]) => [words(key), number(value)])];
  show(byId("facts"), facts.filter(([, value]) => value).flatMap(([key, value]) => [h("dt", null, key), h("dd", null, value)]));
  show(byId("warnings"), version.warnings.map((text) => h("p", { class: "notice warn" }, plain(typeof text === "string" ? text : text.message))));
  const notes = graphNotes(version.graphs);
  const exportOnnx = async (event) => {
    event.target.disabled = true;
    try {
      const job = await post(`${API}/jobs`, { kind: "export", model: `${name}@${number_}`, format: "onnx" });
      location.assign(`/jobs/${job.id}`);
    } catch (error) {
      event.target.disabled = false;
      fail(error);
    }
  };
  const download = `${path}/versions/${number_}/download`;
  show(byId("downloads"), h("li", null, h("a", { href: download, download: `${name}-${number_}.zip` }, "Package (zip)")),
    version.files.map((file) => h("li", null, h("a", { href: query(download, { file: file.path }), download: file.path.split("/").pop() }, file.path), h("span", { class: "sub" }, [bytes(file.bytes), notes[file.path]].filter(Boolean).join(": ")))),
    h("li", null, h("button", { type: "button", onclick: exportOnnx }, "Export as ONNX"), h("span", { class: "sub" }, "A folder that runs without Plinth, with its code and a README.")));
  show(byId("lineage"), await lineage(version));
}

async function load() {
  try {
    const [model, versions] = await Promise.all([get(path), get(query(`${path}/versions`, { limit: 100 }))]);
    byId("title").textContent = name;
    document.title = `${name} - Plinth`;
    byId("summary").textContent = `${model.task ? words(model.task) : "A base model to fine-tune from"}, ${count(model.versions, "version")}.`;
    byId("many").textContent = `plinth predict ${name} rows.csv -o answers.csv`;
    byId("many-line").hidden = model.task === null;
    byId("alias-example").textContent = `${name}@production`;
    byId("try").hidden = model.task === null;
    byId("try").href = query("/try", { model: name });
    byId("tune").hidden = model.task !== null;
    byId("tune").href = query("/train", { base: name });
    byId("versions").replaceChildren(...versions.data.map(versionRow));
    byId("versions").removeAttribute("aria-busy");
    const chosen = byId("alias-version").value;
    byId("alias-version").replaceChildren(...versions.data.map((item) => h("option", { value: item.version }, item.version)));
    if (chosen) byId("alias-version").value = chosen;
    showWatch(name, model.task);
    await aliases();
    await select(current ?? model.latest_version);
  } catch (error) {
    if (error instanceof Problem) { byId("title").textContent = "There is no such model"; fail(error); } else setTimeout(load, 2000);
  }
}

byId("alias").addEventListener("submit", (event) => {
  event.preventDefault();
  setAlias(byId("alias-name").value, Number(byId("alias-version").value));
});
load();
