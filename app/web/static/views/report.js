// The report: mistakes are read after the page; a cell of the matrix shows its rows.

import { API, get, post, query, request } from "../api.js";
import { openCloser } from "../rows/closer.js";
import { byId, h } from "../dom.js";
import { answer, input, markTiny } from "../rows/values.js";

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

/** Inputs whose answers show what a generator has learned: seeds, or the texts of held-out rows. */
async function sampleInputs(task, job) {
  if (task === "image_generation") return Array.from({ length: 12 }, (_, seed) => ({ seed }));
  const { data } = await get(query(`${API}/datasets/${job.dataset}/preview`, { split: "test", limit: 3 }));
  if (task === "speech_synthesis") return data.map((row) => row.input);
  const beginnings = data.map((row) => row.input.prompt || String(row.target ?? "").split(/\s+/).slice(0, 4).join(" "));
  return beginnings.map((prompt, seed) => ({ prompt, seed, max_new_tokens: 60 }));
}

async function samples() {
  const place = byId("samples");
  try {
    const job = await get(`${API}/jobs/${id}`);
    if (!job.model) throw new Error("The model of this job was deleted.");
    const inputs = await sampleInputs(place.dataset.task, job);
    const { outputs } = await post(`/predict/${job.model.name}@${job.model.version}`, { inputs });
    byId("samples-text").textContent = "Made by the model now.";
    place.classList.toggle("texts", place.dataset.task !== "image_generation");
    place.replaceChildren(...outputs.map((output, index) => h("li", { class: "card" },
      place.dataset.task === "image_generation" ? "" : input({ ...inputs[index], seed: null }),
      output.image ? [answer({ image: output.image }), h("p", { class: "sub" }, output.label ?? `seed ${output.seed}`)].flat() : answer(output))));
    markTiny(place);
  } catch (error) {
    byId("samples-text").textContent = `No samples: ${error.message}`;
  }
  place.removeAttribute("aria-busy");
}

if (byId("samples")) samples();

byId("print").addEventListener("click", () => print());
byId("report").addEventListener("click", (event) => {
  const { true: truth, predicted } = event.target.dataset;
  if (event.target.tagName !== "BUTTON" || truth === undefined || !list) return;
  filter(truth, predicted);
  byId("mistakes-title").focus();
});
byId("show-all")?.addEventListener("click", () => filter(null));

/** Enlarge the image of a mistake, at its box where it has one. */
function look(event) {
  const card = event.target.closest(".mistake");
  if (!card || !event.target.closest(".row-image, .row-detail")) return;
  const rowImage = card.querySelector(".row-image");
  const drawing = rowImage.cloneNode(true);
  drawing.setAttribute("class", "media");
  drawing.querySelector("image").removeAttribute("id");
  for (const name of ["width", "height"]) drawing.removeAttribute(name);
  const { width, height } = rowImage.viewBox.baseVal;
  openCloser({ title: card.querySelector(".name")?.textContent ?? rowImage.getAttribute("aria-label"), drawing, width, height });
}

list?.addEventListener("click", look);
if (list) {
  try {
    const text = await request("GET", `/jobs/${id}/report/mistakes`, undefined, { headers: { Accept: "text/html" } });
    list.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
  } catch (error) {
    list.replaceChildren(h("p", { class: "notice warn" }, error.message));
  }
  for (const rowImage of list.querySelectorAll(".row-image")) {
    rowImage.after(h("button", { type: "button", class: "visually-hidden" }, "Enlarge"));
    rowImage.nextSibling.addEventListener("click", () => rowImage.dispatchEvent(new MouseEvent("click", { bubbles: true })));
  }
  list.removeAttribute("aria-busy");
}
