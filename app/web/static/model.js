// Model: its versions, which one is in use, where it comes from, and its files.

import { API, Problem, get, query, request } from "./api.js";
import { byId, h, show } from "./dom.js";
import { ago, bytes, number, words } from "./format.js";

const name = decodeURIComponent(location.pathname.split("/")[2]);
const path = `${API}/models/${encodeURIComponent(name)}`;
let current = null;

function fail(error) {
  show(byId("problem"), h("p", { class: "notice bad", role: "alert" }, error.message));
}

const metricsOf = (metrics) => {
  const entries = Object.entries(metrics);
  const test = entries.filter(([key]) => key.startsWith("test/"));
  return (test.length ? test : entries).slice(0, 3);
};

function versionRow(version) {
  const { lineage } = version;
  return h("tr", null,
    h("th", { scope: "row" }, h("button", { type: "button", class: "quiet", onclick: () => select(version.version) }, `${name}@${version.version}`), h("span", { class: "sub" }, ago(version.created_at))),
    h("td", null, metricsOf(version.metrics).map(([key, value]) => h("span", { class: "sub" }, `${words(key.replace("test/", ""))} ${number(value)}`))),
    h("td", { class: "wide" }, bytes(version.bytes)),
    h("td", { class: "wide" }, lineage.job ? h("a", { href: `/jobs/${lineage.job}` }, "job") : "import"),
    h("td", null, h("ul", { class: "chips" }, version.aliases.map((alias) => h("li", null, alias)))));
}

async function aliases() {
  const page = await get(`${path}/aliases`);
  const full = await Promise.all(page.data.map((item) => get(`${path}/aliases/${encodeURIComponent(item.alias)}`)));
  show(byId("aliases"), full.map((item) => {
    const before = item.history.find((change) => change.version !== null && change.version !== item.version);
    return h("div", { class: "card" }, h("h3", null, `${item.alias}: version ${item.version}`),
      h("ul", { class: "list" }, item.history.slice(0, 5).map((change) => h("li", { class: "sub" }, change.version === null ? "deleted" : `version ${change.version}`, ", ", ago(change.changed_at)))),
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

async function lineage(version) {
  const steps = [];
  let item = version;
  while (item && steps.length < 10) {
    const { dataset, job } = item.lineage;
    steps.push(h("li", { class: "card" }, h("a", { class: "name", href: `/models/${encodeURIComponent(item.name)}` }, `${item.name}@${item.version}`),
      h("span", { class: "sub" }, item.task ? words(item.task) : "base model"),
      dataset ? h("a", { class: "sub", href: `/data/${dataset.id}` }, "its data") : "", job ? h("a", { class: "sub", href: `/jobs/${job}` }, "its job") : ""));
    const { parent } = item.lineage;
    try {
      item = parent ? await get(`${API}/models/${encodeURIComponent(parent.name)}/versions/${parent.version}`) : null;
    } catch {
      item = null;
    }
  }
  return steps;
}

async function select(number_) {
  const version = await get(`${path}/versions/${number_}`);
  current = number_;
  byId("version-number").textContent = number_;
  const facts = [["task", version.task ? words(version.task) : "none, a base model"], ["network", Object.entries(version.architecture).map(([slot, item]) => `${item} for ${slot}`).join(", ")],
    ["parameters", number(version.parameters)], ["size", bytes(version.bytes)], ["engine", version.engine], ["why", version.engine_reason], ["labels", version.labels?.join(", ")],
    ...Object.entries(version.metrics).map(([key, value]) => [words(key), number(value)])];
  show(byId("facts"), facts.filter(([, value]) => value).flatMap(([key, value]) => [h("dt", null, key), h("dd", null, value)]));
  show(byId("warnings"), version.warnings.map((text) => h("p", { class: "notice warn" }, typeof text === "string" ? text : text.message)));
  const download = `${path}/versions/${number_}/download`;
  show(byId("downloads"), h("li", null, h("a", { href: download, download: `${name}-${number_}.zip` }, "Package (zip)")),
    version.files.map((file) => h("li", null, h("a", { href: query(download, { file: file.path }), download: file.path.split("/").pop() }, file.path), h("span", { class: "sub" }, bytes(file.bytes)))));
  show(byId("lineage"), await lineage(version));
}

async function load() {
  try {
    const [model, versions] = await Promise.all([get(path), get(query(`${path}/versions`, { limit: 100 }))]);
    byId("title").textContent = name;
    document.title = `${name} - Plinth`;
    byId("summary").textContent = `${model.task ? words(model.task) : "A base model to fine-tune from"}, ${number(model.versions)} version${model.versions === 1 ? "" : "s"}.`;
    byId("alias-example").textContent = `${name}@production`;
    byId("try").hidden = false;
    byId("try").href = query("/try", { model: name });
    byId("tune").hidden = model.task !== null;
    byId("tune").href = query("/train", { base: name });
    byId("versions").replaceChildren(...versions.data.map(versionRow));
    byId("versions").removeAttribute("aria-busy");
    const chosen = byId("alias-version").value;
    byId("alias-version").replaceChildren(...versions.data.map((item) => h("option", { value: item.version }, item.version)));
    if (chosen) byId("alias-version").value = chosen;
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
