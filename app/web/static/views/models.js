// The list of models.

import { API, get, poll, query } from "../api.js";
import { byId, h, show } from "../dom.js";
import { ago, number, words } from "../format.js";

function row(model) {
  const aliases = Object.entries(model.aliases).map(([alias, version]) => h("li", null, `${alias}: ${version}`));
  return h("tr", null,
    h("th", { scope: "row" }, h("a", { class: "name", href: `/models/${encodeURIComponent(model.name)}` }, model.name), h("span", { class: "sub" }, model.task ? words(model.task) : "base model")),
    h("td", null, number(model.versions)),
    h("td", { class: "wide" }, aliases.length ? h("ul", { class: "chips" }, aliases) : ""),
    h("td", { class: "wide" }, ago(model.updated_at)),
    h("td", null, h("a", { class: "button", href: query("/try", { model: model.name }) }, "Try", h("span", { class: "visually-hidden" }, ` ${model.name}`))));
}

poll(async () => {
  const page = await get(query(`${API}/models`, { limit: 200 }));
  show(document.querySelector("#models tbody"), page.data.map(row));
  document.querySelector(".table-frame").hidden = page.data.length === 0;
  byId("empty").hidden = page.data.length > 0;
}, 5);
