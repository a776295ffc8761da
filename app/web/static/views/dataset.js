// Dataset: what was recognized, its health, findings with their places, and rows.

import { API, Problem, get, post, query, request } from "../api.js";
import { byId, h, show } from "../dom.js";
import { ago, bytes, count, number, plain, words } from "../format.js";
import { chooseColumns } from "../columns.js";
import { measures } from "../measures.js";
import { badge } from "../job_parts.js";
import { openRow } from "../rows/row_dialog.js";
import { input, markTiny, target } from "../rows/values.js";

const id = decodeURIComponent(location.pathname.split("/")[2]);
const path = `${API}/datasets/${encodeURIComponent(id)}`;
const BUSY = ["importing", "validating"];
const PAGE = 24;
let split = "train";
let classes = null;

function guessOf(report, dataset) {
  const columns = Object.entries(report.guess?.columns ?? {}).map(([name, column]) => `${name} = ${column}`);
  const parts = [words(dataset.task), dataset.format ? `read as ${words(dataset.format)}` : "", columns.join(", "), dataset.classes ? count(dataset.classes.length, "class") : ""];
  return parts.filter(Boolean).join("; ");
}

function meter(entries, total) {
  return h("ul", { class: "bars" }, entries.map(([name, count]) => h("li", null,
    h("span", { class: "bar-label" }, name),
    h("progress", { max: String(Math.max(total, 1)), value: String(count), "aria-label": name }),
    h("span", { class: "bar-value" }, number(count)))));
}

/** Rows of each class in all splits, the commonest first. */
function classCounts(report) {
  const sums = {};
  for (const counts of Object.values(report.class_counts ?? {})) for (const [name, rows] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + rows;
  const totals = Object.keys(sums).length ? sums : report.facts?.objects?.per_class ?? {};
  return Object.entries(totals).sort((a, b) => b[1] - a[1]);
}

function health(dataset, report) {
  byId("health").hidden = false;
  show(byId("splits"), meter(Object.entries(dataset.splits), dataset.rows));
  const counts = classCounts(report);
  byId("classes-card").hidden = counts.length === 0;
  show(byId("classes"), meter(counts.slice(0, 20), counts[0]?.[1]), counts.length > 20 ? h("p", { class: "hint" }, `and ${number(counts.length - 20)} more, the rarest with ${count(counts.at(-1)[1], "row")}`) : "");
  const sizes = measures(report.facts);
  byId("measures-card").hidden = sizes.length === 0;
  show(byId("measures"), sizes.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}

const placeOf = (sample) => [sample.file?.split("/").at(-1), sample.row ? `row ${sample.row}` : sample.line ? `line ${sample.line}` : "", sample.column, sample.found ? `found ${sample.found}` : "", sample.expected ? `expected ${sample.expected}` : ""].filter(Boolean).join(", ");

/** A place as text; a button that opens its row, with its image or text, where the row was read. */
function place(sample, title) {
  if (!sample.split || typeof sample.index !== "number") return placeOf(sample);
  return h("button", { type: "button", class: "link", "data-split": sample.split, "data-index": sample.index, "data-title": title }, placeOf(sample) || `row ${number(sample.index)} of ${sample.split}`);
}

function places(item) {
  const list = (samples) => h("ul", { class: "list tight" }, samples.map((sample) => h("li", { class: "sub" }, place(sample, words(item.code)))));
  const [first, ...rest] = item.sample;
  if (!first) return "";
  const left = item.count - item.sample.length;
  const note = rest.length && left > 0 ? h("p", { class: "sub" }, `The report keeps the first ${number(item.sample.length)} of ${number(item.count)} places.`) : "";
  return rest.length ? [list([first]), h("details", { class: "bare" }, h("summary", null, `${number(rest.length)} more`), list(rest), note)] : list([first]);
}

function findings(report) {
  const items = report.errors;
  byId("findings-section").hidden = items.length === 0;
  show(byId("findings"), items.map((item) => h("tr", null,
    h("th", { scope: "row" }, h("span", { class: `severity-${item.severity}` }, words(item.code)), h("span", { class: "sub" }, item.severity === "repair" && item.hint?.startsWith("Left out:") ? `left out, ${number(item.count)} of ${number(report.rows)}` : item.severity)),
    h("td", { class: "number-cell", "data-label": "times" }, number(item.count)),
    h("td", { class: "whole" }, plain(item.hint) ?? ""),
    h("td", { class: "whole" }, places(item)))));
  const quote = (text) => `"${String(text ?? "").replaceAll('"', '""')}"`;
  const lines = [["code", "severity", "count", "hint", "file", "row", "line", "column", "found", "expected"].join(",")];
  for (const item of items) for (const sample of item.sample.length ? item.sample : [{}]) lines.push([item.code, item.severity, item.count, item.hint, sample.file, sample.row, sample.line, sample.column, sample.found, sample.expected].map(quote).join(","));
  byId("download").href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
  byId("download").download = "findings.csv";
  const notes = [report.reading, ...report.suggestions].filter(Boolean).map((note) => note.message ?? note);
  byId("notes-section").hidden = notes.length === 0;
  show(byId("notes"), notes.map((note) => h("li", { class: "hint" }, typeof note === "string" ? plain(note) : JSON.stringify(note))));
}

async function apply(fix, button) {
  button.disabled = true;
  try {
    const next = await post(`${path}/derive`, { operations: [fix.operation] });
    location.assign(`/data/${next.id}`);
  } catch (error) {
    show(byId("error"), h("p", { class: "notice bad", role: "alert" }, error.message));
    button.disabled = false;
  }
}

function fixes(report) {
  const items = report.fixes ?? [];
  byId("fixes-section").hidden = items.length === 0;
  show(byId("fixes"), items.map((fix) => h("li", { class: "card row spread" },
    h("span", null, plain(fix.description), h("span", { class: "sub" }, count(fix.rows, "row"))),
    h("button", { type: "button", onclick: (event) => apply(fix, event.target) }, "Make this version", h("span", { class: "visually-hidden" }, `: ${fix.description}`)))));
}

async function rows(start = 0) {
  byId("rows-count").textContent = "Loading rows ...";
  const preview = await get(query(`${path}/preview`, { split, start, limit: PAGE, order: "mixed" }));
  const cards = preview.data.map((row) => h("li", { class: "card" }, input(row.input, row.target, classes, row.titles), h("div", { class: "target" }, target(row.target, row.titles))));
  const list = byId("rows");
  if (start) list.append(...cards);
  else list.replaceChildren(...cards);
  const end = start + preview.data.length;
  byId("rows-count").textContent = `${number(end)} of ${count(preview.rows, "row")}`;
  byId("more-rows").hidden = end >= preview.rows;
  byId("more-rows").onclick = () => rows(end);
  const isText = preview.data[0] && !("image" in preview.data[0].input);
  list.classList.toggle("texts", Boolean(isText));
  markTiny(list);
}

function tabs(dataset) {
  byId("rows-section").hidden = false;
  const buttons = Object.keys(dataset.splits).filter((name) => dataset.splits[name] > 0).map((name) => h("button", { type: "button", "aria-pressed": String(name === split), onclick: () => { split = name; tabs(dataset); rows(); } }, name));
  byId("split-tabs").replaceChildren(...buttons);
}

async function versions(dataset) {
  const { data: same } = await get(query(`${API}/datasets`, { limit: 100, name: dataset.name }));
  byId("versions-section").hidden = same.length < 2;
  show(byId("versions"), same.map((item) => h("li", null, item.id === dataset.id ? `version ${item.version} (this)` : h("a", { href: `/data/${item.id}` }, `version ${item.version}`), " ", badge(item.state))));
}

function head(dataset) {
  const title = `${dataset.name}@${dataset.version}`;
  byId("title").textContent = title;
  document.title = `${title} - Plinth`;
  show(byId("facts"), badge(dataset.state), h("span", { class: "hint" }, [dataset.rows === null ? "" : count(dataset.rows, "row"), dataset.bytes ? bytes(dataset.bytes) : "", `added ${ago(dataset.created_at)}`].filter(Boolean).join(", ")));
  const { origin } = dataset;
  show(byId("origin"), [dataset.license ? `License: ${dataset.license}.` : "License: not known.",
    origin ? [" Made from ", h("a", { href: `/data/${encodeURIComponent(origin.dataset)}` }, origin.dataset), `: ${origin.operations.map((item) => words(item.operation)).join(", ")}.`] : " Uploaded."].flat());
  byId("train").hidden = dataset.state !== "ready";
  byId("train").href = query("/train", { dataset: title });
  byId("delete").hidden = BUSY.includes(dataset.state);
  byId("confirm-text").textContent = `${title} will be deleted with its ${dataset.rows === null ? "" : `${count(dataset.rows, "row")}`}. Other versions and models that learned from it stay.`;
}

function refusal(dataset) {
  const { error } = dataset;
  show(byId("error"), error ? h("div", { class: "notice bad", role: "alert" }, h("h2", null, "This data was refused"), h("p", null, `Reason: ${words(plain(error.message).replace("the data was rejected: ", ""))}. The findings below say where, and what to do.`), h("p", null, h("a", { href: "/data" }, "Upload it again"))) : "");
}

async function update() {
  try {
    const [dataset, report] = await Promise.all([get(path), get(`${path}/report`)]);
    head(dataset);
    refusal(dataset);
    byId("guess").textContent = BUSY.includes(dataset.state) ? "The rows are checked; this page updates itself." : guessOf(report, dataset);
    findings(report);
    fixes(report);
    byId("dataset").removeAttribute("aria-busy");
    if (BUSY.includes(dataset.state)) {
      setTimeout(update, 700);
      return;
    }
    if (report.first_rows) await chooseColumns(path, dataset, report);
    await versions(dataset);
    if (dataset.state !== "ready") return;
    health(dataset, report);
    classes = dataset.classes;
    split = dataset.splits[split] ? split : Object.keys(dataset.splits).find((name) => dataset.splits[name] > 0) ?? "train";
    tabs(dataset);
    await rows();
  } catch (error) {
    if (!(error instanceof Problem)) { setTimeout(update, 2000); return; }
    byId("title").textContent = "There is no such dataset";
    show(byId("error"), h("p", { class: "notice bad", role: "alert" }, error.message));
  }
}

byId("findings").addEventListener("click", (event) => {
  const { split: part, index, title } = event.target.dataset;
  if (index !== undefined) openRow(path, part, Number(index), { title: `${title}: ${event.target.textContent}`, classes });
});
byId("delete").addEventListener("click", () => byId("confirm").showModal());
byId("confirm").addEventListener("close", async () => {
  if (byId("confirm").returnValue !== "delete") return;
  try {
    await request("DELETE", path);
    location.assign("/data");
  } catch (error) {
    show(byId("error"), h("p", { class: "notice bad", role: "alert" }, error.message));
  }
});
update();
