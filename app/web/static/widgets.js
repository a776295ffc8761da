// Widgets that make an input: a drawing, a file, a recording, a text, a list. Each returns its element and its value.

import { h } from "./dom.js";
import { words } from "./format.js";
import { image, mediaType, toBase64, toBlob } from "./values.js";

const PEN = 1 / 11;

/** A square to draw on, black on white; its value is a PNG, or null while it is empty. */
function drawing(onChange) {
  const canvas = h("canvas", { class: "canvas", width: 280, height: 280, tabIndex: 0, role: "img", "aria-label": "Draw here with a pointer" });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  let isEmpty = true;
  let last = null;
  function clear() {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    isEmpty = true;
  }
  function point(event) {
    const frame = canvas.getBoundingClientRect();
    return [((event.clientX - frame.left) / frame.width) * canvas.width, ((event.clientY - frame.top) / frame.height) * canvas.height];
  }
  function line(event) {
    const next = point(event);
    pen.lineWidth = canvas.width * PEN;
    pen.lineCap = "round";
    pen.strokeStyle = "#000";
    pen.beginPath();
    pen.moveTo(...(last ?? next));
    pen.lineTo(...next);
    pen.stroke();
    last = next;
    isEmpty = false;
  }
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); last = null; line(event); });
  canvas.addEventListener("pointermove", (event) => { if (event.buttons && last) line(event); });
  canvas.addEventListener("pointerup", () => { last = null; onChange(); });
  clear();
  return { canvas, clear, isEmpty: () => isEmpty, blob: () => new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); }) };
}

/** Turn the colors around: training images of digits are often white on black. */
function inverted(canvas) {
  const copy = h("canvas", { width: canvas.width, height: canvas.height });
  const pen = copy.getContext("2d");
  pen.drawImage(canvas, 0, 0);
  const pixels = pen.getImageData(0, 0, copy.width, copy.height);
  for (let index = 0; index < pixels.data.length; index += 4) for (let channel = 0; channel < 3; channel += 1) pixels.data[index + channel] = 255 - pixels.data[index + channel];
  pen.putImageData(pixels, 0, 0);
  return new Promise((resolve) => { copy.toBlob(resolve, "image/png"); });
}

/** Crop a drawing to its strokes, centered with a margin as the images of a digit data set are. */
function centered(canvas) {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (data[4 * (y * width + x)] < 200) { left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y); }
    }
  }
  const side = Math.max(right - left, bottom - top) * 1.15;
  const copy = h("canvas", { width: 224, height: 224 });
  const pen = copy.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, 224, 224);
  const [middleX, middleY] = [(left + right) / 2, (top + bottom) / 2];
  pen.drawImage(canvas, middleX - side / 2, middleY - side / 2, side, side, 0, 0, 224, 224);
  return copy;
}

function imageWidget(name, onChange) {
  let base64 = null;
  let usesDrawing = false;
  const preview = h("div", null);
  const pad = drawing(async () => {
    usesDrawing = true;
    preview.replaceChildren();
    onChange();
  });
  async function set(blob) {
    base64 = await toBase64(blob);
    usesDrawing = false;
    preview.replaceChildren(image(`data:${blob.type || mediaType(base64)};base64,${base64}`, [], "your image"));
    onChange();
  }
  const field = h("input", { type: "file", accept: "image/*", "aria-label": `Choose a file for ${words(name)}`, onchange: (event) => event.target.files[0] && set(event.target.files[0]) });
  const dark = h("input", { type: "checkbox", id: `dark-${name}`, checked: true, onchange: () => usesDrawing && onChange() });
  const element = h("div", { class: "stack" },
    h("div", { class: "drop",
      ondragover: (event) => event.preventDefault(),
      ondrop: (event) => { event.preventDefault(); const file = event.dataTransfer.files[0]; if (file) set(file); } },
    h("p", { class: "hint" }, "Drop an image, paste one, choose a file, or draw below."),
    h("span", { class: "button file-button" }, "Choose a file", field), preview),
    h("details", { open: true }, h("summary", null, "Draw"), pad.canvas,
      h("p", { class: "row" }, h("button", { type: "button", onclick: () => { pad.clear(); usesDrawing = false; onChange(); } }, "Clear"), dark, h("label", { for: `dark-${name}` }, "white on black, as digits are"))));
  document.addEventListener("paste", (event) => { const file = [...event.clipboardData.files].find((item) => item.type.startsWith("image/")); if (file) set(file); });
  return {
    element,
    async value() {
      if (!usesDrawing) return base64;
      if (pad.isEmpty()) return null;
      const square = centered(pad.canvas);
      return toBase64(dark.checked ? await inverted(square) : await new Promise((resolve) => { square.toBlob(resolve, "image/png"); }));
    },
    fill: (text) => set(toBlob(text, mediaType(text) ?? "image/png")),
  };
}

/** Samples in -1..1 as a WAV file of 16 bits, one channel. */
export function toWav(samples, rate) {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const write = (offset, text) => [...text].forEach((character, index) => bytes.setUint8(offset + index, character.charCodeAt(0)));
  write(0, "RIFF");
  bytes.setUint32(4, 36 + 2 * samples.length, true);
  write(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true);
  bytes.setUint16(22, 1, true);
  bytes.setUint32(24, rate, true);
  bytes.setUint32(28, 2 * rate, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  write(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, index) => bytes.setInt16(44 + 2 * index, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true));
  return new Blob([bytes], { type: "audio/wav" });
}

async function wavOf(blob) {
  const context = new AudioContext();
  try {
    const buffer = await context.decodeAudioData(await blob.arrayBuffer());
    return toWav(buffer.getChannelData(0), buffer.sampleRate);
  } finally {
    context.close();
  }
}

function audioWidget(name, onChange) {
  let base64 = null;
  let recorder = null;
  const player = h("div", null);
  const state = h("span", { class: "hint", role: "status" });
  async function set(blob) {
    base64 = await toBase64(blob);
    player.replaceChildren(h("audio", { controls: true, src: URL.createObjectURL(blob), "aria-label": "your recording" }));
    onChange();
  }
  const button = h("button", { type: "button" }, "Record");
  button.addEventListener("click", async () => {
    if (recorder) { recorder.stop(); return; }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const parts = [];
      recorder = new MediaRecorder(stream);
      recorder.ondataavailable = (event) => parts.push(event.data);
      recorder.onstop = async () => {
        stream.getTracks().forEach((track) => track.stop());
        recorder = null;
        button.textContent = "Record";
        state.textContent = "";
        await set(await wavOf(new Blob(parts)));
      };
      recorder.start();
      button.textContent = "Stop";
      state.textContent = "Recording ...";
    } catch (error) {
      state.textContent = `The microphone cannot be used: ${error.message}`;
    }
  });
  const field = h("input", { type: "file", accept: "audio/*", "aria-label": `Choose a file for ${words(name)}`, onchange: (event) => event.target.files[0] && set(event.target.files[0]) });
  return {
    element: h("div", { class: "drop" }, h("div", { class: "row" }, button, h("span", { class: "button file-button" }, "Choose a file", field), state), player),
    value: async () => base64,
    fill: (text) => set(toBlob(text, mediaType(text) ?? "audio/wav")),
  };
}

const labeled = (name, field, hint) => h("label", { class: "stack" }, words(name), hint ? h("span", { class: "hint" }, hint) : "", field);

function textWidget(name, schema, onChange) {
  const field = h("textarea", { rows: 6, oninput: onChange, id: `input-${name}` });
  return { element: labeled(name, field), value: async () => field.value || null, fill: (text) => { field.value = text; } };
}

function listWidget(name, onChange) {
  const field = h("textarea", { rows: 4, oninput: onChange });
  const items = () => field.value.split("\n").map((item) => item.trim()).filter(Boolean);
  return { element: labeled(name, field, "one on each line, the latest last"), value: async () => (items().length ? items() : null), fill: (list) => { field.value = list.join("\n"); } };
}

function choiceWidget(name, options, onChange) {
  const field = h("select", { onchange: onChange }, h("option", { value: "" }, "any"), options.map((option) => h("option", { value: option }, option)));
  return { element: labeled(name, field), value: async () => field.value || null, fill: (text) => { field.value = text; } };
}

function numberWidget(name, schema, onChange) {
  const type = schema.type ?? schema.anyOf?.find((item) => item.type !== "null")?.type;
  const field = h("input", { type: "number", step: type === "integer" ? "1" : "any", value: schema.default ?? "", oninput: onChange });
  return { element: labeled(name, field), value: async () => (field.value === "" ? null : Number(field.value)), fill: (value) => { field.value = value; } };
}

const isOf = (schema, type) => schema.type === type || (schema.anyOf ?? []).some((item) => item.type === type);

/** The widget for one field of an input schema; null for a field that the page leaves out. */
export function widgetFor(name, schema, onChange) {
  if (name === "image") return imageWidget(name, onChange);
  if (name === "audio") return audioWidget(name, onChange);
  if (name === "pixels") return null;
  const options = schema.enum ?? schema.anyOf?.find((item) => item.enum)?.enum;
  if (options) return choiceWidget(name, options, onChange);
  if (isOf(schema, "array")) return listWidget(name, onChange);
  if (isOf(schema, "number") || isOf(schema, "integer")) return numberWidget(name, schema, onChange);
  if (isOf(schema, "string")) return textWidget(name, schema, onChange);
  return null;
}
