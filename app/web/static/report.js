// The report: mistakes are read after the page; a cell of the matrix shows its rows.

import { request } from "./api.js";
import { byId, h } from "./dom.js";

const id = byId("report").dataset.id;
const list = byId("mistakes");
const all = byId("filter-text")?.textContent;

function filter(truth, predicted) {
  const items = [...list.querySelectorAll(".mistake")];
  let count = 0;
  for (const item of items) {
    const fits = truth === null || (item.dataset.true === truth && item.dataset.predicted === predicted);
    item.hidden = !fits;
    count += fits ? 1 : 0;
  }
  byId("show-all").hidden = truth === null;
  byId("filter-text").textContent = truth === null ? all
    : count ? `${count} of class ${truth} taken for ${predicted}.` : `Rows of class ${truth} taken for ${predicted} are not among the ${items.length} surest mistakes, which the report keeps.`;
}

byId("print").addEventListener("click", () => print());
byId("report").addEventListener("click", (event) => {
  const { true: truth, predicted } = event.target.dataset;
  if (event.target.tagName !== "BUTTON" || truth === undefined || !list) return;
  filter(truth, predicted);
  byId("mistakes-title").focus();
});
byId("show-all")?.addEventListener("click", () => filter(null));

if (list) {
  try {
    const text = await request("GET", `/jobs/${id}/report/mistakes`, undefined, { headers: { Accept: "text/html" } });
    list.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
  } catch (error) {
    list.replaceChildren(h("p", { class: "notice warn" }, error.message));
  }
  list.removeAttribute("aria-busy");
}
