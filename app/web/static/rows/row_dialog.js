// One row of a dataset in a dialog, with its image, audio or text.

import { get, query } from "../api.js";
import { h } from "../dom.js";
import { input, markTiny, target } from "./values.js";

/** Open row `index` of a split of the dataset at `path`. */
export async function openRow(path, split, index, { title, classes }) {
  const body = h("div", { class: "stack", "aria-live": "polite" }, h("p", { class: "hint" }, "Reading the row ..."));
  const dialog = h("dialog", { class: "row-dialog", "aria-label": title },
    h("div", { class: "row spread" }, h("h2", { class: "first" }, title), h("button", { type: "button", onclick: () => dialog.close() }, "Close")), body);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  try {
    const { data: [row] } = await get(query(`${path}/preview`, { split, start: index, limit: 1 }));
    if (!row) throw new Error(`The split ${split} has no row ${index}.`);
    body.replaceChildren(...[input(row.input, row.target, classes, row.titles)].flat(), h("div", { class: "target" }, target(row.target, row.titles)), h("p", { class: "sub" }, `row ${index} of the ${split} split`));
    markTiny(body);
  } catch (error) {
    body.replaceChildren(h("p", { class: "notice bad", role: "alert" }, error.message));
  }
}
