// A small graph from left to right: what each node was made with stands above it, what it leads to at the right.

import { s } from "./dom.js";

const WIDTH = 168;
const HEIGHT = 54;
const GAP = 44;
const LEVEL = 96;
const MAX_CHARACTERS = 20;

const cut = (text) => (text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS - 1)}…` : text);

function box({ title, note, href, isCurrent }, x, y) {
  const content = [s("rect", { x, y, width: WIDTH, height: HEIGHT, rx: 10 }),
    s("text", { class: "node-title", x: x + 14, y: y + 23 }, cut(title), s("title", null, title)), s("text", { class: "node-note", x: x + 14, y: y + 42 }, note)];
  const look = `node${isCurrent ? " current" : ""}`;
  return href ? s("a", { class: look, href, "aria-label": `${title}, ${note}` }, content) : s("g", { class: look }, content);
}

const arrow = (fromX, fromY, toX, toY) => s("path", { class: "edge", d: `M${fromX} ${fromY}L${toX} ${toY}`, "marker-end": "url(#arrow)" });

/** Draw columns of `{ node, above }`, and `ends` behind the last; a node has `title`, `note`, and perhaps `href` and `isCurrent`. */
export function graph(columns, ends) {
  const hasAbove = columns.some(({ above }) => above);
  const top = hasAbove ? LEVEL : 0;
  const step = WIDTH + GAP;
  const width = step * (columns.length + (ends.length ? 1 : 0)) - GAP;
  const height = Math.max(top + HEIGHT, ends.length * (HEIGHT + 14) - 14) + 4;
  const root = s("svg", { class: "lineage", viewBox: `-2 -2 ${width + 4} ${height}`, width: width + 4, height, role: "group", "aria-label": "Origin of this version" },
    s("defs", null, s("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, s("path", { d: "M0 0L8 4L0 8Z" }))));
  columns.forEach(({ node, above }, index) => {
    const x = index * step;
    if (above) root.append(arrow(x + WIDTH / 2, HEIGHT, x + WIDTH / 2, top - 2), box(above, x, 0));
    if (index > 0) root.append(arrow(x - GAP, top + HEIGHT / 2, x - 2, top + HEIGHT / 2));
    root.append(box(node, x, top));
  });
  const last = columns.length * step;
  ends.forEach((end, index) => {
    const y = ends.length === 1 ? top : index * (HEIGHT + 14);
    root.append(arrow(last - GAP, top + HEIGHT / 2, last - 2, y + HEIGHT / 2), box(end, last, y));
  });
  return root;
}
