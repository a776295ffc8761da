// A closer look: a image in a dialog, larger and smaller, moved to one of its boxes.

import { h } from "../dom.js";

const STEP = 1.5;
const MAX_SCALE = 24;
/** Size on the screen of the box that was picked. */
const PICKED_PIXELS = 140;

/** Open the SVG `drawing` of `width` by `height` pixels in a dialog; `list(onPick)` is what stands below it. */
export function openCloser({ title, drawing, width, height, list = () => null }) {
  const frame = h("div", { class: "closer-frame", tabIndex: 0, role: "group", "aria-label": "Image, which scrolls when it is larger" }, drawing);
  const dialog = h("dialog", { class: "closer", "aria-label": title });
  let scale = 1;
  const fitting = () => Math.min((frame.clientWidth || innerWidth) / width, (innerHeight * 0.62) / height);
  function setScale(next) {
    const [x, y] = [(frame.scrollLeft + frame.clientWidth / 2) / scale, (frame.scrollTop + frame.clientHeight / 2) / scale];
    scale = Math.min(Math.max(next, fitting()), Math.max(MAX_SCALE, fitting()));
    drawing.style.width = `${width * scale}px`;
    drawing.style.height = `${height * scale}px`;
    moveTo(x, y);
  }
  function moveTo(x, y) {
    frame.scrollLeft = x * scale - frame.clientWidth / 2;
    frame.scrollTop = y * scale - frame.clientHeight / 2;
  }
  function pick([left, top, right, bottom]) {
    setScale(PICKED_PIXELS / Math.max(right - left, bottom - top, 1));
    moveTo((left + right) / 2, (top + bottom) / 2);
    frame.focus();
  }
  const button = (text, action) => h("button", { type: "button", onclick: action }, text);
  const content = list(pick);
  dialog.append(h("div", { class: "row spread" }, h("h2", { class: "first" }, title),
    h("div", { class: "row" }, button("Larger", () => setScale(scale * STEP)), button("Smaller", () => setScale(scale / STEP)), button("Close", () => dialog.close()))),
  frame, ...(content ? [content] : []));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  setScale(fitting());
  frame.focus();
}
