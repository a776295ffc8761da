// Try it: widgets by the input schema of a model, its answer, and the same call as code.

import { API, Problem, get, post, query } from "../api.js";
import { byId, h, show } from "../dom.js";
import { words } from "../format.js";
import { LANGUAGES } from "../snippets.js";
import { answer } from "../rows/values.js";
import { widgetFor } from "../rows/widgets.js";

const parameters = new URLSearchParams(location.search);
let widgets = {};
let signature = null;
let language = "curl";
let models = [];
let knownItems = {};
/** Larger vocabularies are typed, not searched. */
const MAX_KNOWLEDGE_BYTES = 4 << 20;

const problem = (text) => { byId("problem").textContent = text ?? ""; byId("problem").hidden = !text; };
const chosen = () => [byId("model").value, byId("second").value].filter(Boolean);

async function currentInput() {
  const fields = {};
  for (const [name, widget] of Object.entries(widgets)) {
    const value = await widget.value();
    if (value !== null) fields[name] = value;
  }
  return fields;
}

async function code() {
  const body = { inputs: [await currentInput()] };
  byId("body").href = URL.createObjectURL(new Blob([JSON.stringify(body, null, 1)], { type: "application/json" }));
  byId("many").textContent = `plinth predict ${byId("model").value} rows.csv -o answers.csv`;
  byId("code").textContent = LANGUAGES[language](location.origin, byId("model").value);
  byId("languages").replaceChildren(...Object.keys(LANGUAGES).map((name) => h("button", { type: "button", "aria-pressed": String(name === language), onclick: () => { language = name; code(); } }, name)));
}

/** Ask for a stream of text pieces; resolves at its end. */
async function stream(model, fields, onText) {
  const response = await fetch(`/predict/${model}`, { method: "POST", headers: { "Content-Type": "application/json", Accept: "text/event-stream" }, body: JSON.stringify({ inputs: [fields] }) });
  if (!response.ok) throw new Problem(response.status, await response.json());
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const events = rest.split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const line = event.split("\n").find((item) => item.startsWith("data:"));
      if (line) onText(JSON.parse(line.slice(5)));
    }
  }
}

async function askOne(model, fields, card) {
  const began = performance.now();
  const body = h("div", { class: "stack" }, h("p", { class: "hint" }, "Asking ..."));
  card.append(h("h3", null, model), body);
  try {
    if (signature.task === "text_generation") {
      let text = "";
      const area = h("p", { class: "text verdict-text" });
      body.replaceChildren(h("p", { class: "sub text" }, fields.prompt ?? ""), area);
      await stream(model, fields, (event) => { text += event.text ?? event.delta ?? ""; area.textContent = text; });
    } else {
      const result = await post(`/predict/${model}`, { inputs: [fields] });
      const source = fields.image ? `data:image/png;base64,${fields.image}` : null;
      body.replaceChildren(...[answer(result.outputs[0], source)].flat());
    }
    body.append(h("p", { class: "sub" }, `answered in ${Math.round(performance.now() - began)} ms`));
  } catch (error) {
    const text = [error.message, ...(error.details ?? [])].join(" ").replaceAll(/\binputs\.0\.?(\w*): /g, (_, field) => (field ? `${words(field)}: ` : ""));
    body.replaceChildren(h("p", { class: "notice bad", role: "alert" }, text));
  }
}

async function ask(event) {
  event?.preventDefault();
  const fields = await currentInput();
  const missing = (signature.input_schema.required ?? []).filter((name) => !(name in fields));
  const needs = missing.length ? missing : Object.keys(fields).length ? [] : ["an input"];
  byId("status").textContent = needs.length ? `Give ${needs.map(words).join(" and ")} first.` : "";
  if (needs.length) return;
  const cards = chosen().map(() => h("div", { class: "card" }));
  byId("answers").replaceChildren(...cards);
  await Promise.all(chosen().map((model, index) => askOne(model, fields, cards[index])));
}

/** What the model knows of each field: the settings of its encoder, and the names of all items. */
async function knowledgeOf(path) {
  const { files } = await get(path);
  const knowledge = {};
  const read = async (file) => JSON.parse(await (await fetch(query(`${path}/download`, { file: file.path }))).text());
  const titleFile = files.find((file) => file.path === "task/titles.json" && file.bytes <= MAX_KNOWLEDGE_BYTES);
  const titles = titleFile ? (await read(titleFile)).titles : {};
  for (const file of files) {
    const [, field, kind] = file.path.match(/^encoders\/([^/]+)\/(encoder|items)\.json$/) ?? [];
    if (!field || file.bytes > MAX_KNOWLEDGE_BYTES) continue;
    const content = await read(file);
    knowledge[field] = { ...knowledge[field], ...(kind === "items" ? { items: content, titles } : { encoder: content.config }) };
  }
  return knowledge;
}

/** Offer the other versions of the model to ask beside it, and all other models. */
async function offerSecond(name) {
  const { data } = await get(query(`${API}/models/${encodeURIComponent(name)}/versions`, { limit: 50 }));
  const chosenBefore = byId("second").value || parameters.get("second");
  const versions = data.map((item) => `${item.name}@${item.version}`);
  const group = (label, names) => (names.length ? h("optgroup", { label }, names.map((item) => h("option", { value: item }, item))) : "");
  byId("second").replaceChildren(h("option", { value: "" }, "nothing"), group(`Versions of ${name}`, versions), group("Other models", models.filter((item) => item !== name)));
  byId("second").value = [...byId("second").options].some((item) => item.value === chosenBefore) ? chosenBefore : "";
}

async function choose() {
  problem(null);
  byId("submit").disabled = true;
  const [name, version] = byId("model").value.split("@");
  const model = await get(`${API}/models/${encodeURIComponent(name)}`);
  const path = `${API}/models/${encodeURIComponent(name)}/versions/${model.aliases[version] ?? version ?? model.latest_version}`;
  const [description, knowledge] = await Promise.all([get(`${path}/signature`), knowledgeOf(path), offerSecond(name)]);
  signature = description;
  knownItems = Object.fromEntries(Object.entries(knowledge).filter(([, item]) => item.items).map(([field, item]) => [field, item.items]));
  byId("about").href = `/models/${encodeURIComponent(name)}`;
  byId("about").hidden = false;
  widgets = {};
  const more = [];
  const areas = [];
  const main = new Set([...(signature.input_schema.required ?? []), "image", "text", "prompt", "audio", "user", "history", "label", ...(signature.task?.startsWith("tabular") ? Object.keys(signature.input_schema.properties ?? {}) : [])]);
  for (const [field, schema] of Object.entries(signature.input_schema.properties ?? {})) {
    const widget = widgetFor(field, schema, knowledge[field] ?? {}, code);
    if (!widget) continue;
    widgets[field] = widget;
    (main.has(field) ? areas : more).push(widget.element);
  }
  byId("widgets").replaceChildren(...areas, ...(more.length ? [h("details", null, h("summary", null, "Settings"), h("div", { class: "fields" }, more))] : []));
  byId("example").hidden = !signature.example;
  byId("answers").replaceChildren(h("p", { class: "empty" }, "The answer appears here."));
  byId("status").textContent = "";
  await code();
  byId("submit").disabled = false;
}

function useExample() {
  const input = signature.example?.inputs?.[0] ?? signature.example?.input ?? signature.example;
  // The example of a task is short; the page asks for as much as usual.
  for (const [name, value] of Object.entries(input)) if (value !== null && name !== "count") widgets[name]?.fill(knownItems[name]?.slice(0, 3) ?? value);
  setTimeout(ask, 50);
}

async function start() {
  const page = await get(query("/predict", { limit: 200 }));
  byId("empty").hidden = page.data.length > 0;
  byId("ask").hidden = page.data.length === 0;
  if (!page.data.length) return;
  const names = page.data.map((item) => item.model);
  const requested = parameters.get("model");
  if (requested && !names.includes(requested)) names.unshift(requested);
  models = names;
  byId("model").append(...names.map((name) => h("option", { value: name }, name)));
  if (requested) byId("model").value = requested;
  await choose();
}

byId("model").addEventListener("change", () => choose().catch((error) => problem(error.message)));
byId("second").addEventListener("change", () => byId("answers").replaceChildren(h("p", { class: "empty" }, "Ask again for both answers.")));
byId("example").addEventListener("click", useExample);
byId("ask").addEventListener("submit", ask);
start().catch((error) => problem(error.message));
