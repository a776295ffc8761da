// A table's first rows with a choice above each column; the file is read again with what was chosen.

import { API, get, post } from "./api.js";
import { byId, h, show } from "./dom.js";
import { words } from "./format.js";

const JOIN = " + ";

/** The role of each column as it was read: `guess` has canonical names with the columns of the file, joined by " + ". */
export function rolesOf(columns, guess) {
  const roles = columns.map(() => "");
  for (const [role, value] of Object.entries(guess ?? {})) {
    for (const name of columns.includes(value) ? [value] : String(value).split(JOIN)) {
      const place = typeof value === "number" ? value - 1 : columns.indexOf(name);
      if (place in roles) roles[place] = role;
    }
  }
  return roles;
}

/** The `columns` of a request: several columns of one role are joined, one without a name is given by its position. */
export function requestOf(columns, roles) {
  const chosen = {};
  roles.forEach((role, place) => { if (role) chosen[role] = [...(chosen[role] ?? []), columns[place] || place + 1]; });
  return Object.fromEntries(Object.entries(chosen).map(([role, names]) => [role, names.length > 1 ? names.join(JOIN) : names[0]]));
}

/** Names that a format which fits the task can give to columns, those that the task needs first. */
export function choicesFor(catalog, task) {
  const needed = Object.keys(catalog.tasks[task]?.columns ?? {});
  const formats = Object.values(catalog.formats).filter((item) => item.column_choices.length && needed.every((name) => name in item.columns));
  const names = [...new Set(formats.flatMap((item) => item.column_choices))];
  return [...names.filter((name) => needed.includes(name)), ...names.filter((name) => !needed.includes(name))];
}

function draw(catalog, { columns, rows }, roles) {
  const choices = choicesFor(catalog, byId("columns-task").value);
  const select = (name, place) => {
    const field = h("select", { "aria-label": `Column ${name || place + 1}` }, h("option", { value: "" }, "not read"), choices.map((choice) => h("option", { value: choice }, words(choice))));
    field.value = choices.includes(roles[place]) ? roles[place] : "";
    return h("th", { scope: "col" }, h("span", { class: "name" }, name || `column ${place + 1}`), field);
  };
  show(byId("columns-head"), h("tr", null, columns.map(select)));
  // `show` keeps equal content, and a choice is no content.
  byId("columns-head").querySelectorAll("select").forEach((field, place) => { field.value = choices.includes(roles[place]) ? roles[place] : ""; });
  show(byId("columns-rows"), rows.map((row) => h("tr", null, row.map((cell) => h("td", null, cell)))));
}

/** Show the choice of columns of a dataset that was read from a table. */
export async function chooseColumns(path, dataset, report) {
  const table = report.first_rows;
  const catalog = await get(`${API}/catalog`);
  const tasks = Object.keys(catalog.tasks).filter((task) => choicesFor(catalog, task).length).sort();
  byId("columns-task").replaceChildren(h("option", { value: "" }, "recognize it"), ...tasks.map((task) => h("option", { value: task }, words(task))));
  byId("columns-task").value = tasks.includes(dataset.task) ? dataset.task : "";
  byId("columns-file").textContent = table.file.split("/").at(-1);
  let roles = rolesOf(table.columns, report.guess?.columns);
  draw(catalog, table, roles);
  byId("columns-section").hidden = false;
  const current = () => [...byId("columns-head").querySelectorAll("select")].map((field) => field.value);
  byId("columns-task").onchange = () => { roles = current(); draw(catalog, table, roles); };
  byId("columns").onsubmit = async (event) => {
    event.preventDefault();
    const columns = requestOf(table.columns, current());
    const operation = { operation: "read_again", task: byId("columns-task").value || null, columns: Object.keys(columns).length ? columns : null };
    try {
      const next = await post(`${path}/derive`, { operations: [operation] });
      location.assign(`/data/${next.id}`);
    } catch (error) {
      byId("columns-status").textContent = [error.message, ...(error.details ?? [])].join(" ");
    }
  };
}
