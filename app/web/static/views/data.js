// Data: files are dropped or chosen, sent in parts, and become a dataset.

import { API, get, poll, post, query } from "../api.js";
import { byId, h, show } from "../dom.js";
import { ago, bytes, number, words } from "../format.js";
import { badge } from "../job_parts.js";
import { chosenFiles, droppedFiles, nameOf, sendFiles, sizeOf } from "../upload.js";

const drop = byId("drop");
let files = [];
let limit = 50;

function choose(chosen) {
  files = chosen;
  if (!files.length) return;
  const count = files.length === 1 ? files[0].name : `${number(files.length)} files`;
  byId("chosen").textContent = count;
  byId("chosen-hint").textContent = "Press Upload, or choose others.";
  byId("size").textContent = bytes(sizeOf(files));
  byId("details").hidden = false;
  byId("name").value = nameOf(files);
  byId("problem").hidden = true;
  byId("name").focus();
  offerAppend();
}

/** Offer to append once the name is that of a dataset. */
async function offerAppend() {
  const field = byId("name");
  const name = field.value;
  const same = field.validity.valid ? (await get(query(`${API}/datasets`, { name, limit: 1 }))).data : [];
  if (field.value !== name) return;
  byId("append-field").hidden = same.length === 0;
  if (!same.length) byId("append").checked = false;
}

/** Parse `text = message, label = team`; throws a sentence if it is none. */
export function parseColumns(text) {
  const columns = {};
  for (const pair of text.split(",").map((item) => item.trim()).filter(Boolean)) {
    const [name, column, more] = pair.split("=").map((item) => item.trim());
    if (!name || !column || more !== undefined) throw new Error(`"${pair}" is not "name = column", such as "text = message".`);
    columns[name] = /^\d+$/.test(column) ? Number(column) : column;
  }
  return Object.keys(columns).length ? columns : null;
}

function fail(error) {
  const box = byId("problem");
  box.textContent = [error.message, ...(error.details ?? [])].join(" ");
  box.hidden = false;
}

async function bring(event) {
  event.preventDefault();
  const button = event.submitter ?? byId("bring").querySelector("button.primary");
  const bar = byId("progress");
  byId("problem").hidden = true;
  button.disabled = true;
  try {
    const columns = parseColumns(byId("columns").value);
    bar.hidden = false;
    const upload = await sendFiles(files, (sent, total) => {
      bar.querySelector("progress").value = total ? (100 * sent) / total : 100;
      bar.querySelector(".sub").textContent = `${bytes(sent)} of ${bytes(total)} sent. After a reload, choose the same files and it resumes.`;
    });
    bar.querySelector(".sub").textContent = "Sent. The rows are checked now.";
    const body = { name: byId("name").value, upload: upload.length === 1 ? upload[0] : upload, task: byId("task").value || null, format: byId("format").value || null, columns, append: byId("append").checked };
    const dataset = await post(`${API}/datasets`, body);
    location.assign(`/data/${dataset.id}`);
  } catch (error) {
    bar.hidden = true;
    fail(error);
    button.disabled = false;
  }
}

function row(item) {
  return h("tr", null,
    h("th", { scope: "row" }, h("a", { class: "name", href: `/data/${item.id}` }, `${item.name}@${item.version}`),
      h("span", { class: "sub" }, [words(item.task), words(item.format)].filter(Boolean).join(", "))),
    h("td", { "data-label": "state" }, badge(item.state), item.error ? h("span", { class: "sub" }, words(item.error.message.replace("the data was rejected: ", ""))) : ""),
    h("td", { class: "number-cell", "data-label": "rows" }, number(item.rows)),
    h("td", { class: "wide number-cell", "data-label": "size" }, item.bytes ? bytes(item.bytes) : "-"),
    h("td", { class: "wide", "data-label": "added" }, ago(item.created_at)));
}

async function update() {
  const page = await get(query(`${API}/datasets`, { limit }));
  show(document.querySelector("#datasets tbody"), page.data.map(row));
  document.querySelector(".table-frame").hidden = page.data.length === 0;
  byId("empty").hidden = page.data.length > 0;
  byId("more").hidden = !page.has_more || limit >= 200;
}

async function choices() {
  const catalog = await get(`${API}/catalog`);
  for (const [id, entries] of [["task", catalog.tasks], ["format", catalog.formats]]) {
    for (const name of Object.keys(entries).sort()) byId(id).append(h("option", { value: name }, words(name)));
  }
}

drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  choose(await droppedFiles(event.dataTransfer));
});
for (const id of ["files", "folder"]) byId(id).addEventListener("change", (event) => choose(chosenFiles(event.target)));
byId("name").addEventListener("input", offerAppend);
byId("bring").addEventListener("submit", bring);
const renew = poll(update, 3);
byId("more").addEventListener("click", () => { limit = 200; renew(); });
choices();
