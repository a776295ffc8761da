// Images with boxes: labels that cover no object, and a list of the objects.

import { openCloser } from "./closer.js";
import { h, s } from "../dom.js";
import { number } from "../format.js";
import { placeLabels } from "./labels.js";

const FONT_PIXELS = 12;
/** Boxes that would be drawn smaller are drawn around their object at this size. */
const MIN_BOX_PIXELS = 10;

const color = (index) => `series-${(Math.max(index, 0) % 8) + 1}`;
const percent = (confidence) => `${Math.round(100 * confidence)} %`;
const labelOf = ({ label, confidence }) => (confidence === undefined ? label : `${label} ${percent(confidence)}`);
const classesOf = (objects, classes) => classes ?? [...new Set(objects.map((item) => item.label))].sort();

/** The rectangle that is drawn for a box: not smaller than `side`, and around the same middle. */
function frameOf([left, top, right, bottom], side) {
  const [x, y] = [Math.max(0, side - (right - left)) / 2, Math.max(0, side - (bottom - top)) / 2];
  return { left: left - x, top: top - y, right: right + x, bottom: bottom + y };
}

/** Boxes and labels for a image that is drawn with `unit` pixels of its own to a pixel of the screen. */
function marks(objects, classes, { width, height }, unit) {
  const size = FONT_PIXELS * unit;
  const frames = objects.map(({ box }) => frameOf(box, MIN_BOX_PIXELS * unit));
  const texts = objects.map(labelOf);
  const places = placeLabels(frames, texts.map((text) => 0.62 * size * text.length + size / 2), 1.3 * size, { width, height });
  return objects.map(({ label }, index) => {
    const [frame, place] = [frames[index], places[index]];
    const middle = (frame.left + frame.right) / 2;
    return s("g", { class: color(classes.indexOf(label)) },
      s("rect", { class: "box", x: frame.left, y: frame.top, width: frame.right - frame.left, height: frame.bottom - frame.top, "vector-effect": "non-scaling-stroke" }),
      place?.isFar ? s("line", { class: "box-line", x1: middle, y1: place.top > frame.bottom ? frame.bottom : frame.top, x2: Math.max(place.left, middle - size), y2: place.top > frame.bottom ? place.top : place.top + 1.3 * size, "vector-effect": "non-scaling-stroke" }) : null,
      place ? s("text", { class: "box-label", x: place.left + size / 4, y: place.top + size, "font-size": size }, texts[index]) : null);
  });
}

/** An SVG of a image whose boxes are drawn anew when its size on the screen changes. */
function drawingOf(source, objects, name, classes, { width, height }) {
  const layer = s("g", null);
  const drawing = s("svg", { class: "media", role: "img", viewBox: `0 0 ${width} ${height}`, "aria-label": `${name} with ${objects.length} boxes` }, s("image", { href: source, width, height }), layer);
  new ResizeObserver(() => {
    const scale = Math.min(drawing.clientWidth / width, drawing.clientHeight / height);
    if (scale > 0) layer.replaceChildren(...marks(objects, classes, { width, height }, 1 / scale));
  }).observe(drawing);
  return drawing;
}

function sizeOf(source) {
  const pixels = new Image();
  return new Promise((resolve, reject) => {
    pixels.onload = () => resolve({ width: pixels.naturalWidth, height: pixels.naturalHeight });
    pixels.onerror = reject;
    pixels.src = source;
  });
}

/** A table of objects with class, confidence and place in pixels; a click on a row calls `onPick` with its box. */
export function objectList(objects, classes = null, onPick = null) {
  const labels = classesOf(objects, classes);
  const hasConfidence = objects.some(({ confidence }) => confidence !== undefined);
  const span = (low, high) => `${number(Math.round(low))} to ${number(Math.round(high))}`;
  return h("div", { class: "table-frame objects", role: "group", "aria-label": "Objects", tabIndex: 0 }, h("table", null,
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Object"), hasConfidence ? h("th", { scope: "col", class: "number-cell" }, "Confidence") : null, h("th", { scope: "col" }, "Place in pixels"))),
    h("tbody", null, objects.map(({ label, confidence, box }, index) => h("tr", null,
      h("th", { scope: "row" }, h("span", { class: `swatch ${color(labels.indexOf(label))}`, "aria-hidden": "true" }), " ",
        onPick ? h("button", { type: "button", class: "link", onclick: () => onPick(box) }, label, h("span", { class: "visually-hidden" }, ` ${index + 1}: look closer`)) : label),
      hasConfidence ? h("td", { class: "number-cell" }, confidence === undefined ? "-" : percent(confidence)) : null,
      h("td", null, h("span", { class: "nowrap" }, `${span(box[0], box[2])} from left,`), " ", h("span", { class: "nowrap" }, `${span(box[1], box[3])} from top`)))))));
}

function closerLook(source, objects, name, classes, size) {
  const drawing = objects.length ? drawingOf(source, objects, name, classes, size)
    : s("svg", { class: "media", role: "img", viewBox: `0 0 ${size.width} ${size.height}`, "aria-label": name }, s("image", { href: source, ...size }));
  openCloser({ title: name, drawing, ...size, list: (onPick) => (objects.length ? objectList(objects, classes, onPick) : null) });
}

/** Replace what a browser cannot show, such as HEIC, by a sentence. */
function cannotShow(frame, text) {
  frame.replaceChildren(h("p", { class: "hint" }, text));
  frame.classList.add("blank");
}

/**
 * A image that a click enlarges, with boxes [x1, y1, x2, y2] in its pixels; `classes` decide about their colors.
 *
 * `unreadable` is the sentence for a file that the browser cannot show.
 */
export function image(source, objects = [], name = "image", classes = null, unreadable = "This browser cannot show this image.") {
  const labels = classesOf(objects, classes);
  const button = h("button", { type: "button", class: "enlarge", "aria-label": `Enlarge ${name}`, title: "Enlarge" }, "\u2922");
  const frame = h("span", { class: "image" });
  frame.addEventListener("click", async (event) => {
    if (!event.target.closest("svg.media, img, .enlarge")) return;
    closerLook(source, objects, name, labels, await sizeOf(source));
  });
  if (objects.length) sizeOf(source).then((size) => frame.append(drawingOf(source, objects, name, labels, size), button)).catch(() => cannotShow(frame, unreadable));
  else frame.append(h("img", { class: "media", src: source, alt: name, loading: "lazy", onerror: () => cannotShow(frame, unreadable) }), button);
  return frame;
}
