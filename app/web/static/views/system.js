// The system: workers, device, queue, loaded models, and API keys.

import { API, get, poll, post, request } from "../api.js";
import { byId, h, show } from "../dom.js";
import { ago, bytes, count, number, plain, words } from "../format.js";
import { badge } from "../job_parts.js";

const own = byId("keys").dataset.own;

async function system() {
  const state = await get(`${API}/system?device=false`);
  show(byId("workers"), state.workers.length
    ? h("ul", { class: "list" }, state.workers.map((worker) => h("li", null, h("strong", null, worker.name), h("span", { class: "sub" }, `${worker.slots} job${worker.slots === 1 ? "" : "s"} at a time, started ${ago(worker.started_at)}, seen ${ago(worker.seen_at)}`))))
    : h("p", null, "No worker runs: jobs wait. Start one with ", h("code", null, "plinth up"), " or ", h("code", null, "python -m worker"), "."));
  const counts = ["running", "queued", "succeeded", "failed", "cancelled"].map((name) => h("li", { class: "row spread" }, badge(name), h("strong", null, (state.jobs[name] ?? 0).toLocaleString("en"))));
  const models = state.loaded_models.map((model) => h("li", { class: "row spread" }, `${model.name}@${model.version}`, h("span", { class: "hint" }, bytes(model.bytes))));
  show(byId("queue"), h("ul", { class: "list" }, counts),
    h("h3", null, "Models in memory"), models.length ? h("ul", { class: "list" }, models) : h("p", { class: "hint" }, "None. A model is loaded by its first prediction."));
}

async function device() {
  const { device: chosen } = await get(`${API}/system`);
  show(byId("device"), h("p", { class: "name" }, chosen ? `Training runs on ${chosen.device === "cpu" ? "the CPU" : chosen.device}` : "PyTorch is not installed here"), h("p", { class: "hint" }, chosen?.why ?? ""));
}

async function keys() {
  const { data } = await get(`${API}/keys?limit=200`).catch((error) => (show(byId("keys"), h("p", { class: "hint" }, error.message)), { data: null }));
  if (data === null) return;
  const rows = data.map((key) => h("tr", null,
    h("th", { scope: "row" }, h("span", { class: "name" }, key.name), h("span", { class: "sub" }, [key.scope, key.models?.join(", "), key.requests_per_minute && `${key.requests_per_minute} a minute`, key.max_jobs && count(key.max_jobs, "job"), key.cpu_seconds_per_day && `${key.cpu_seconds_per_day} CPU seconds a day`, key.expires_at && `ends ${new Date(key.expires_at).toLocaleDateString()}`, key.id === own && "the key of this session"].filter(Boolean).join(", "))),
    h("td", { class: "wide", "data-label": "created" }, ago(key.created_at)), h("td", { "data-label": "last used" }, key.last_used_at ? ago(key.last_used_at) : "never"),
    h("td", null, key.revoked_at ? "revoked" : key.expires_at && new Date(key.expires_at) < new Date() ? "expired" : h("button", { type: "button", class: "danger", "data-revoke": key.id, "data-name": key.name, "aria-label": `Revoke ${key.name}` }, "Revoke"))));
  show(byId("keys"), h("table", { class: "reflow cards" },
    h("thead", null, h("tr", null, ["Key", "Created", "Last used", ""].map((name, index) => h("th", { scope: "col", class: index === 1 ? "wide" : "" }, name || h("span", { class: "visually-hidden" }, "Action"))))),
    h("tbody", null, rows)));
}

function diskRow(part, unused) {
  const days = part.retention_days === null ? "when you delete it" : part.retention_days === 0 ? "at once" : `after ${count(part.retention_days, "day")}`;
  const button = unused.expired_count ? h("button", { type: "button", "data-clean": part.kind, "data-text": `${count(unused.expired_count, "item")} of ${words(part.kind)} (${bytes(unused.expired_bytes)})`, "aria-label": `Clean up ${words(part.kind)}` }, "Clean up") : "";
  return h("tr", null,
    h("th", { scope: "row" }, h("span", { class: "name" }, words(part.kind)), h("span", { class: "sub" }, plain(part.summary))),
    h("td", { class: "number-cell wide", "data-label": "items" }, number(part.count)), h("td", { class: "number-cell", "data-label": "size" }, part.bytes ? bytes(part.bytes) : "-"),
    h("td", { class: "number-cell", "data-label": "unused" }, unused.expired_count ? bytes(unused.expired_bytes) : "-"), h("td", { class: "wide nowrap", "data-label": "deleted" }, days), h("td", null, button));
}

/** Space by kind; unused is what no dataset, model or unfinished job needs, however young. */
async function disk() {
  const [space, all] = await Promise.all([get(`${API}/disk`), get(`${API}/disk?older_than_days=0`)]);
  const unused = Object.fromEntries(all.kinds.map((part) => [part.kind, part]));
  const used = space.kinds.reduce((sum, part) => sum + part.bytes, 0);
  byId("free").textContent = `Plinth takes ${bytes(used)}; ${bytes(space.free_bytes)} of ${bytes(space.total_bytes)} are free.`;
  show(byId("disk"), h("table", { class: "reflow cards" },
    h("thead", null, h("tr", null, [["Kind"], ["Items", "number-cell wide"], ["Size", "number-cell"], ["Unused", "number-cell"], ["Deleted", "wide"], [""]]
      .map(([name, look]) => h("th", { scope: "col", class: look ?? "" }, name || h("span", { class: "visually-hidden" }, "Action"))))),
    h("tbody", null, [...space.kinds].sort((a, b) => b.bytes - a.bytes).map((part) => diskRow(part, unused[part.kind])))));
}

byId("disk").addEventListener("click", async (event) => {
  const { clean, text } = event.target.dataset;
  if (!clean || !confirm(`Delete ${text}? No dataset, model or unfinished job needs them.`)) return;
  event.target.disabled = true;
  const { bytes: freed } = await post(`${API}/disk/clean`, { kinds: [clean], older_than_days: 0 });
  await disk();
  byId("free").textContent = `${bytes(freed)} were freed. ${byId("free").textContent}`;
});

const DAY_MILLISECONDS = 86_400_000;

/** The request for a key from the fields that are filled in. */
function keyRequest(form) {
  const { models, days, ...fields } = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
  for (const name of ["requests_per_minute", "max_jobs", "cpu_seconds_per_day"]) if (name in fields) fields[name] = Number(fields[name]);
  if (models) fields.models = models.split(",").map((name) => name.trim()).filter(Boolean);
  if (days) fields.expires_at = new Date(Date.now() + Number(days) * DAY_MILLISECONDS).toISOString();
  return fields;
}

byId("new-key").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  try {
    const key = await post(`${API}/keys`, keyRequest(form));
    show(byId("secret"), h("div", { class: "notice good" }, h("p", null, `The secret of ${key.name}; it is not shown again:`), h("p", null, h("code", null, key.secret))));
    form.reset();
    await keys();
  } catch (error) {
    show(byId("secret"), h("p", { class: "notice bad" }, error.message));
  }
});
byId("keys").addEventListener("click", async (event) => {
  const { revoke, name } = event.target.dataset;
  if (!revoke) return;
  const warning = revoke === own ? " This browser is signed in with it: you will need another key to come back." : "";
  if (!confirm(`Revoke ${name}?${warning}`)) return;
  await request("DELETE", `${API}/keys/${revoke}`);
  await keys();
});

poll(system, 3);
disk();
keys();
device();
