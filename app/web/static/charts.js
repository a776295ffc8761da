// Line charts as SVG: axes with round ticks, a logarithmic scale, smoothing, and a reading under the pointer.

import { h, s } from "./dom.js";
import { number } from "./format.js";

const MARGIN = { left: 58, right: 14, top: 12, bottom: 36 };

/** Round values between two bounds, about `count` of them. */
export function ticks(low, high, count = 5) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const values = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) values.push(Math.abs(value) < step * 1e-6 ? 0 : value);
  return values;
}

function logTicks(low, high) {
  const values = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) values.push(power);
  const every = Math.ceil(values.length / 6);
  return values.filter((value, index) => index % every === 0 && value >= low - 1e-9 && value <= high + 1e-9);
}

/** Exponential moving average, corrected for its start; `weight` from 0 to 1. */
export function smooth(points, weight) {
  if (!weight) return points;
  let sum = 0;
  let mass = 0;
  return points.map(([x, y]) => {
    sum = sum * weight + (1 - weight) * y;
    mass = mass * weight + (1 - weight);
    return [x, sum / mass];
  });
}

function bounds(series, log) {
  const all = series.flatMap((item) => item.points);
  const ys = all.map(([, y]) => (log ? Math.log10(y) : y));
  let [low, high] = [Math.min(...ys), Math.max(...ys)];
  if (!(high > low)) [low, high] = [low - (Math.abs(low) * 0.1 || 0.5), high + (Math.abs(high) * 0.1 || 0.5)];
  const pad = (high - low) * 0.06;
  const xs = all.map(([x]) => x);
  const first = Math.min(...xs);
  const last = Math.max(...xs);
  const floor = !log && low >= 0 && low - pad < 0 ? 0 : low - pad;
  // Fractions end at 1: an axis beyond it would promise values that cannot be.
  const ceiling = !log && low >= 0 && high <= 1 && high + pad > 1 ? 1 : high + pad;
  return { x: [first, last > first ? last : first + 1], y: [floor, ceiling] };
}

/** The change of a curve in words, for readers of the label. */
function describe(title, series) {
  const parts = series.filter((item) => item.points.length).map((item) => {
    const [start, end] = [item.points[0][1], item.points.at(-1)[1]];
    return `${item.name} from ${number(start)} to ${number(end)}`;
  });
  return `${title}: ${parts.join("; ") || "no values yet"}`;
}

/**
 * Draw curves.
 *
 * `series` has `name`, `className` and `points` as pairs of x and y; `raw` curves are drawn faintly behind.
 * `options`: `title`, `xLabel`, `formatX`, `log`, `weight` of the smoothing, `width` and `height` in pixels.
 */
export function lineChart(series, options) {
  const { title, xLabel, formatX = number, log = false, weight = 0, width = 560, height = 240 } = options;
  const usable = series.map((item) => ({ ...item, points: item.points.filter(([, y]) => Number.isFinite(y) && (!log || y > 0)) }))
    .filter((item) => item.points.length);
  const label = describe(title, series);
  if (!usable.length) return h("p", { class: "empty" }, "No values yet. They appear with the first steps.");
  const { x: [x0, x1], y: [y0, y1] } = bounds(usable, log);
  const px = (x) => MARGIN.left + ((x - x0) / (x1 - x0)) * (width - MARGIN.left - MARGIN.right);
  const py = (y) => height - MARGIN.bottom - (((log ? Math.log10(y) : y) - y0) / (y1 - y0)) * (height - MARGIN.top - MARGIN.bottom);
  const path = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
  const rows = log ? logTicks(y0, y1).map((power) => 10 ** power) : ticks(y0, y1);
  const root = s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const value of rows) {
    root.append(s("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: py(value), y2: py(value) }),
      s("text", { class: "tick", x: MARGIN.left - 8, y: py(value) + 4, "text-anchor": "end" }, number(value, 3)));
  }
  for (const value of ticks(x0, x1, width > 500 ? 8 : 4)) {
    root.append(s("line", { class: "mark", x1: px(value), x2: px(value), y1: height - MARGIN.bottom, y2: height - MARGIN.bottom + 4 }),
      s("text", { class: "tick", x: px(value), y: height - MARGIN.bottom + 18, "text-anchor": "middle" }, formatX(value)));
  }
  root.append(s("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: height - MARGIN.bottom, y2: height - MARGIN.bottom }),
    s("text", { class: "axis-label", x: width - MARGIN.right, y: height - 3, "text-anchor": "end" }, xLabel));
  for (const item of usable) {
    const isPoint = item.points.length === 1;
    if (weight && !isPoint) root.append(s("path", { class: `curve raw ${item.className}`, d: path(item.points) }));
    const smoothed = smooth(item.points, weight);
    if (isPoint) root.append(s("circle", { class: `dot ${item.className}`, cx: px(item.points[0][0]), cy: py(item.points[0][1]), r: 3.5 }));
    else root.append(s("path", { class: `curve ${item.className}`, d: path(smoothed) }));
  }
  const reading = h("p", { class: "reading hint", "aria-hidden": "true" }, " ");
  addPointer(root, usable, { width, x0, x1, px, py, height, formatX, xLabel, reading });
  return h("figure", { class: "figure" }, h("figcaption", null, h("span", { class: "name" }, title), legend(usable)), root, reading);
}

function legend(series) {
  return h("span", { class: "legend" }, series.map((item) => h("span", { class: "key" },
    s("svg", { viewBox: "0 0 22 8", width: 22, height: 8, "aria-hidden": "true" }, s("path", { class: `curve ${item.className}`, d: "M1 4H21" })), item.name)));
}

function nearest(points, x) {
  return points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));
}

function addPointer(root, series, { width, x0, x1, px, py, height, formatX, xLabel, reading }) {
  const line = s("line", { class: "pointer", y1: MARGIN.top, y2: height - MARGIN.bottom, visibility: "hidden" });
  const dots = series.map((item) => s("circle", { class: `dot ${item.className}`, r: 3.5, visibility: "hidden" }));
  root.append(line, ...dots);
  root.addEventListener("pointermove", (event) => {
    const box = root.getBoundingClientRect();
    const ratio = (((event.clientX - box.left) / box.width) * width - MARGIN.left) / (width - MARGIN.left - MARGIN.right);
    const x = x0 + Math.min(1, Math.max(0, ratio)) * (x1 - x0);
    const near = series.map((item) => nearest(item.points, x));
    const at = nearest(near, x)[0];
    line.setAttribute("x1", px(at));
    line.setAttribute("x2", px(at));
    for (const mark of [line, ...dots]) mark.setAttribute("visibility", "visible");
    near.forEach(([nx, ny], index) => { dots[index].setAttribute("cx", px(nx)); dots[index].setAttribute("cy", py(ny)); });
    reading.textContent = `${xLabel} ${formatX(at)}: ${near.map(([, y], index) => `${series[index].name} ${number(y)}`).join(", ")}`;
  });
  root.addEventListener("pointerleave", () => {
    for (const mark of [line, ...dots]) mark.setAttribute("visibility", "hidden");
    reading.textContent = " ";
  });
}
