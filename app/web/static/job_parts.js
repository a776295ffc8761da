// Parts of the page that show a job: badge, progress, result.

import { h } from "./dom.js";
import { duration, number, ordinal, state, words } from "./format.js";

export function badge(job) {
  const name = typeof job === "string" ? job : state(job);
  return h("span", { class: `badge ${name}` }, name);
}

/** Percent of a job, or null where it is unknown. */
export function percent(job) {
  const { progress } = job;
  if (typeof progress.percent === "number") return progress.percent;
  return progress.steps ? (100 * progress.step) / progress.steps : null;
}

/** The bar of a running job, the position of a queued one, the time of one that has ended. */
export function progressOf(job) {
  const name = state(job);
  if (job.state === "running") {
    const done = percent(job);
    const phase = words(job.progress.phase ?? "starting");
    const left = job.progress.eta_seconds;
    return h("div", null,
      h("progress", { max: "100", value: done === null ? null : done.toFixed(1), "aria-label": `Progress of job ${job.id}` }),
      h("span", { class: "sub" }, phase, done === null ? "" : `, ${Math.round(done)} %`, left ? `, ${duration(left)} left` : ""));
  }
  if (name === "queued") {
    const position = job.queue_position;
    return h("span", { class: "sub" }, position ? (position === 1 ? "next in the queue" : `${ordinal(position)} in the queue`) : "waits for a worker");
  }
  if (name === "paused") return h("span", { class: "sub" }, "waits until it is resumed");
  const seconds = job.started_at && job.finished_at ? (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000 : null;
  return h("span", { class: "sub" }, seconds === null ? "did not start" : `took ${duration(seconds)}`);
}

/** The most telling metric of a job, in words and as a number; null without any. */
export const headline = ({ headline: best }) => (best ? [best.label, best.value] : null);

export function resultOf(job) {
  if (job.state === "failed" && job.error) return h("span", { class: "sub" }, job.error.message);
  const best = headline(job);
  if (!best && job.error) return h("span", { class: "sub" }, `${job.error.message}. ${job.error.hint ?? ""}`);
  return best ? h("span", null, number(best[1]), h("span", { class: "sub" }, best[0])) : "";
}
