// Home: the state of the three steps, samples, what runs now, the device.

import { API, get, poll, post, query } from "../api.js";
import { byId, h, show } from "../dom.js";
import { ago, jobName, kind, count } from "../format.js";
import { badge, progressOf } from "../job_parts.js";

const step = (name) => document.querySelector(`[data-step="${name}"]`);

function mark(name, text, isDone, isNext) {
  const item = step(name);
  item.querySelector("[data-state]").textContent = text;
  item.classList.toggle("done", isDone);
  item.classList.toggle("next", isNext);
  item.querySelector("[data-action]")?.classList.toggle("primary", isNext);
}

const some = (page, noun) => `${page.has_more ? "many" : page.data.length} ${noun}${page.data.length === 1 ? "" : "s"}`;

async function steps() {
  const [datasets, models, running] = await Promise.all([
    get(query(`${API}/datasets`, { limit: 100 })),
    get(query(`${API}/models`, { limit: 100 })),
    get(query(`${API}/jobs`, { limit: 5, state: ["running", "queued"] })),
  ]);
  const hasData = datasets.data.some((item) => item.state === "ready");
  const usable = { ...datasets, data: datasets.data.filter((item) => item.state !== "rejected") };
  const hasModels = models.data.length > 0;
  mark("data", usable.data.length ? some(usable, "dataset") : "No data yet", hasData, !hasData);
  mark("train", running.data.length ? "A job is running" : hasModels ? some(models, "model") : hasData ? "Ready to train" : "Needs data first", hasModels, hasData && !hasModels);
  mark("use", hasModels ? `Newest: ${models.data[0].name}` : "Needs a model first", false, hasModels);
  await now(running.data);
}

async function now(running) {
  const recent = running.length ? running : (await get(query(`${API}/jobs`, { limit: 3 }))).data;
  if (!recent.length) {
    show(byId("now"), h("p", { class: "empty" }, "Nothing runs. The samples above train in a minute or a few."));
    return;
  }
  byId("now-title").textContent = running.length ? "Now" : "Latest jobs";
  const items = recent.map((job) => h("li", { class: "card" },
    h("div", { class: "row spread" }, h("a", { class: "name", href: `/jobs/${job.id}` }, jobName(job)), badge(job)),
    h("span", { class: "sub" }, kind(job.kind), " ", ago(job.started_at ?? job.created_at)),
    progressOf(job)));
  show(byId("now"), h("ul", { class: "list" }, items), h("p", null, h("a", { href: "/jobs" }, "All jobs")));
}

async function device() {
  const system = await get(`${API}/system`);
  const chosen = system.device;
  show(byId("device"),
    h("p", { class: "name" }, chosen ? (chosen.device === "cpu" ? "CPU" : chosen.device.toUpperCase()) : "No PyTorch"),
    h("p", { class: "hint" }, chosen ? chosen.why : `Training needs the server extra: ${byId("device").dataset.install}`),
    h("p", { class: "hint" }, system.workers.length ? `${count(system.workers.length, "worker")}, ${count(system.workers.reduce((sum, worker) => sum + worker.slots, 0), "job")} at a time` : "No worker runs: jobs wait."),
    h("p", null, h("a", { href: "/system" }, "More about this system")));
}

const wait = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });

async function start(card) {
  const { sample: name, task } = card.dataset;
  const button = card.querySelector("[data-start]");
  const tell = (text) => { card.querySelector("[data-progress]").textContent = text; };
  button.disabled = true;
  try {
    tell("Making the data ...");
    const response = await fetch(`/samples/${name}.zip`);
    if (!response.ok) throw new Error("The sample could not be made.");
    const form = new FormData();
    form.append("file", await response.blob(), `${name}.zip`);
    form.append("name", name);
    form.append("task", task);
    tell("Uploading ...");
    let dataset = await post(`${API}/datasets`, form);
    while (["importing", "validating"].includes(dataset.state)) {
      tell("Checking the rows ...");
      await wait(0.5);
      dataset = await get(`${API}/datasets/${dataset.id}`);
    }
    if (dataset.state !== "ready") throw new Error(dataset.error?.message ?? "The data was refused.");
    tell("Starting the job ...");
    const job = await post(`${API}/jobs`, { kind: "finetune", dataset: `${dataset.name}@${dataset.version}`, task, model: name });
    location.assign(`/jobs/${job.id}`);
  } catch (error) {
    tell(error.message);
    button.disabled = false;
  }
}

byId("samples").addEventListener("click", (event) => {
  if (event.target.matches("[data-start]")) start(event.target.closest("[data-sample]"));
});
poll(steps, 2);
poll(device, 30);
