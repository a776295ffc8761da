// The list of jobs: a page of it at a time, renewed every two seconds.

import { API, get, poll, query } from "../api.js";
import { byId, h, show } from "../dom.js";
import { ago, jobName, kind, versionOf, words } from "../format.js";
import { badge, progressOf, resultOf } from "../job_parts.js";

const LIMIT = 50;
const filters = byId("filters");
const body = document.querySelector("#jobs tbody");
const cursors = [null];
const selected = new Set();
let next = null;

function row(job) {
  const name = jobName(job);
  const training = job.spec.job ?? job.spec;
  const box = h("input", { type: "checkbox", value: job.id, checked: selected.has(job.id), "aria-label": `Select ${name} to compare` });
  return h("tr", { "data-id": job.id },
    h("td", { class: "select" }, box),
    h("th", { scope: "row" }, h("a", { class: "name", href: `/jobs/${job.id}` }, name),
      h("span", { class: "sub" }, kind(job.kind), training.task ? `, ${words(training.task)}` : "", training.dataset ? `, on ${versionOf("data", training.dataset)}` : "")),
    h("td", { "data-label": "state" }, badge(job)),
    h("td", { class: "progress-cell", "data-label": "progress" }, progressOf(job)),
    h("td", { class: "wide", "data-label": "result" }, resultOf(job)),
    h("td", { class: "wide", "data-label": "started" }, ago(job.started_at ?? job.created_at)));
}

function emptyText(state) {
  if (cursors.length > 1) return ["There are no older jobs."];
  if (state) return [`No job is ${state}.`];
  return ["Nothing has been trained yet. ", h("a", { href: "/" }, "Start with a sample"), " or bring your own data."];
}

async function update() {
  const parameters = new FormData(filters);
  const [state, kinds] = [parameters.get("state"), parameters.get("kind")];
  const page = await get(query(`${API}/jobs`, { limit: LIMIT, cursor: cursors.at(-1), state, kind: kinds }));
  next = page.next_cursor;
  const focused = document.activeElement?.closest?.("tr")?.dataset.id;
  show(body, page.data.map(row));
  for (const box of body.querySelectorAll("input")) box.checked = selected.has(box.value);
  if (focused && document.activeElement === document.body) body.querySelector(`tr[data-id="${CSS.escape(focused)}"] a`)?.focus();
  document.querySelector(".table-frame").hidden = page.data.length === 0;
  byId("empty").hidden = page.data.length > 0;
  if (!page.data.length) show(byId("empty"), ...emptyText(state));
  byId("older").disabled = next === null;
  byId("newer").disabled = cursors.length === 1;
  const first = (cursors.length - 1) * LIMIT;
  byId("summary").textContent = page.data.length ? `Jobs ${first + 1} to ${first + page.data.length}` : "";
}

async function count() {
  const { jobs } = await get(`${API}/system?device=false`);
  for (const item of document.querySelectorAll("[data-count]")) {
    const value = item.dataset.count === "all" ? null : jobs[item.dataset.count] ?? 0;
    item.textContent = value === null ? "" : value.toLocaleString("en");
  }
}

const renew = poll(update, 2);
poll(count, 5);

filters.addEventListener("change", () => {
  cursors.splice(1);
  renew();
});
byId("older").addEventListener("click", () => {
  cursors.push(next);
  renew();
});
byId("newer").addEventListener("click", () => {
  cursors.pop();
  renew();
});
body.addEventListener("change", (event) => {
  const { value, checked } = event.target;
  if (checked) selected.add(value);
  else selected.delete(value);
  byId("compare").disabled = selected.size < 2;
  byId("compare").textContent = selected.size < 2 ? "Choose two to compare" : `Compare ${selected.size}`;
});
byId("compare").addEventListener("click", () => location.assign(query("/compare", { job: [...selected] })));
