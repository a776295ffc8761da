// Inputs, targets and answers as people see them: images with boxes, players, texts, bars.

import { h } from "../dom.js";
import { count, number, words } from "../format.js";
import { image, objectList } from "./images.js";

const SIGNATURES = [
  [/^\x89PNG/, "image/png"], [/^\xff\xd8\xff/, "image/jpeg"], [/^GIF8/, "image/gif"], [/^RIFF....WEBP/s, "image/webp"],
  [/^RIFF....WAVE/s, "audio/wav"], [/^fLaC/, "audio/flac"], [/^OggS/, "audio/ogg"], [/^ID3|^\xff[\xf2\xf3\xfb]/, "audio/mpeg"],
];

/** The media type of base64 data by its first bytes, or null for a text. */
export function mediaType(text) {
  if (typeof text !== "string" || text.length < 16 || !/^[A-Za-z0-9+/]{16}/.test(text)) return null;
  const start = atob(text.slice(0, 16));
  return SIGNATURES.find(([pattern]) => pattern.test(start))?.[1] ?? null;
}

export function toBlob(base64, type) {
  const text = atob(base64);
  return new Blob([Uint8Array.from(text, (character) => character.charCodeAt(0))], { type });
}

export async function toBase64(blob) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
  return url.slice(url.indexOf(",") + 1);
}

function media(text, objects, name, classes = null) {
  const type = mediaType(text);
  if (type === null) return null;
  if (type.startsWith("image/")) return image(`data:${type};base64,${text}`, objects, name, classes);
  return h("audio", { controls: true, src: URL.createObjectURL(toBlob(text, type)), "aria-label": name });
}

const isShown = (name, value) => value !== null && value !== undefined && !["confidence", "max_objects", "max_new_tokens", "temperature", "stop", "count", "seed", "portrait"].includes(name);

/** An item by its title, with its id beside it; the id alone where there is no title. */
export const itemName = (item, title) => (title ? [h("span", null, title), " ", h("span", { class: "sub inline-id" }, item)] : [String(item)]);

function value(name, content, objects, classes, titles) {
  const player = media(content, objects, words(name), classes);
  if (player) return player;
  if (Array.isArray(content) && content.every((item) => typeof item !== "object")) return h("ul", { class: "chips", "aria-label": words(name) }, content.map((item) => h("li", null, itemName(String(item), titles[item]))));
  return h("p", { class: "text" }, typeof content === "object" ? JSON.stringify(content) : String(content));
}

/** An input of /predict, columns by their names; boxes of the target are drawn on its image, in the colors of their class among `classes`; `titles` are those of items. */
export function input(fields, target = null, classes = null, titles = {}) {
  const entries = Object.entries(fields).filter(([name, content]) => isShown(name, content));
  const columns = entries.length > 1 && entries.every(([, content]) => mediaType(content) === null && typeof content !== "object");
  if (columns) return h("dl", { class: "facts" }, entries.map(([name, content]) => [h("dt", null, words(name)), h("dd", null, String(content))]));
  return entries.map(([name, content]) => value(name, content, target?.objects ?? [], classes, titles));
}

/** Draw images of few pixels with sharp edges. */
export function markTiny(place) {
  for (const image of place.querySelectorAll("img")) image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth < 64));
}

/** The classes of objects with their numbers: "nodule (3), ring". */
function labelCounts(objects) {
  const counts = new Map();
  for (const { label } of objects) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, times]) => (times > 1 ? `${label} (${times})` : label)).join(", ");
}

/** What an input should be answered with. */
export function target(content, titles = {}) {
  if (content === null || content === undefined) return h("span", { class: "sub" }, "no target");
  if (content.objects) return h("span", { class: "sub" }, labelCounts(content.objects) || "nothing in it");
  if (typeof content === "object") return answer(content);
  if (titles[content]) return h("p", { class: "text" }, itemName(String(content), titles[content]));
  return media(content, [], "target") ?? h("p", { class: "text" }, String(content));
}

export function bars(probabilities, limit = 10) {
  const entries = Object.entries(probabilities).sort((a, b) => b[1] - a[1]).slice(0, limit);
  return h("ul", { class: "bars" }, entries.map(([label, probability]) => h("li", null,
    h("span", { class: "bar-label" }, label),
    h("progress", { max: "1", value: String(probability), "aria-label": label }),
    h("span", { class: "bar-value" }, `${(100 * probability).toFixed(1)} %`))));
}

/** An answer of /predict; `source` is the image that boxes belong to. */
export function answer(output, source = null) {
  const parts = [];
  if (output.label !== undefined) parts.push(h("p", { class: "verdict" }, String(output.label)));
  if (output.value !== undefined) parts.push(h("p", { class: "verdict" }, number(output.value)));
  if (output.probabilities) parts.push(bars(output.probabilities));
  if (output.objects) {
    if (source) parts.push(image(source, output.objects, "your image"));
    if (output.objects.length) parts.push(objectList(output.objects));
    parts.push(h("p", { class: "hint" }, output.objects.length ? `${count(output.objects.length, "object")}. A click on the image enlarges it.` : "Nothing was detected. Lower the confidence to see weaker detections."));
  }
  if (output.items) parts.push(h("ol", { class: "ranking" }, output.items.map(({ item, title, score }) => h("li", null, h("span", { class: "name" }, itemName(String(item), title)), h("span", { class: "sub" }, `${(100 * score).toFixed(1)} %`)))));
  if (typeof output.image === "string") parts.push(media(output.image, [], "drawn image"));
  if (typeof output.audio === "string") parts.push(media(output.audio, [], "spoken text"));
  if (output.text !== undefined) parts.push(h("p", { class: "text verdict-text" }, output.text || "(no text)"));
  if (output.scores) parts.push(bars(Object.fromEntries([output.scores].flat().map((score, index) => [String(score.candidate ?? index + 1), score.score ?? score]))));
  if (output.truncated) parts.push(h("p", { class: "notice warn" }, `Only ${output.truncated.kept} of ${output.truncated.of} tokens were read: the text is longer than the model reads.`));
  return parts.length ? parts : h("pre", null, h("code", null, JSON.stringify(output, null, 1).slice(0, 4000)));
}
