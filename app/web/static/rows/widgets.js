// Widgets that make an input: a drawing, a file, an audio clip, a text, a list. Each returns its element and its value.

import { h } from "../dom.js";
import { plain, words } from "../format.js";
import { image } from "./images.js";
import { itemName, mediaType, toBase64, toBlob } from "./values.js";

const PEN = 1 / 11;
const MAX_MATCHES = 8;

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

/** Crop a drawing to its strokes, centered with a margin as the images of a digit dataset are. */
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

/** Switch between panels by a row of buttons; `panels` are pairs of a name and an element. */
function tabs(label, panels, first) {
  const buttons = panels.map(([name]) => h("button", { type: "button", onclick: () => open(name) }, name));
  function open(name) {
    panels.forEach(([panel, element], index) => {
      element.hidden = panel !== name;
      buttons[index].setAttribute("aria-pressed", String(panel === name));
    });
  }
  open(first);
  return { element: h("div", { class: "stack" }, h("div", { class: "tabs", role: "group", "aria-label": label }, buttons), panels.map(([, element]) => element)), open };
}

/** A photo of the camera, by two clicks; `onBlob` gets it as a JPEG. */
function camera(onBlob) {
  const state = h("span", { class: "hint", role: "status" });
  const video = h("video", { class: "media", autoplay: true, muted: true, playsInline: true, hidden: true, "aria-label": "camera" });
  const button = h("button", { type: "button" }, "Take a photo");
  function stop() {
    for (const track of video.srcObject.getTracks()) track.stop();
    video.srcObject = null;
    video.hidden = true;
    button.textContent = "Take a photo";
  }
  button.addEventListener("click", async () => {
    if (video.srcObject) {
      const copy = h("canvas", { width: video.videoWidth, height: video.videoHeight });
      copy.getContext("2d").drawImage(video, 0, 0);
      stop();
      copy.toBlob(onBlob, "image/jpeg", 0.92);
      return;
    }
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.hidden = false;
      await video.play();
      button.textContent = "Use this photo";
      state.textContent = "";
    } catch (error) {
      state.textContent = `The camera cannot be used: ${error.message}`;
    }
  });
  return { button, video, state };
}

function imageWidget(name, { encoder }, onChange) {
  const isDrawn = encoder?.channels === 1;
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
    preview.replaceChildren(image(`data:${blob.type || mediaType(base64)};base64,${base64}`, [], "your image", null, `${blob.name || "The image"} is read, but this browser cannot show it.`));
    panels.open("Image");
    onChange();
  }
  const field = h("input", { type: "file", accept: "image/*", "aria-label": `Choose a file for ${words(name)}`, onchange: (event) => event.target.files[0] && set(event.target.files[0]) });
  const dark = h("input", { type: "checkbox", id: `dark-${name}`, checked: isDrawn, onchange: () => usesDrawing && onChange() });
  const lens = camera(set);
  const drop = h("div", { class: "drop",
    ondragover: (event) => event.preventDefault(),
    ondrop: (event) => { event.preventDefault(); const file = event.dataTransfer.files[0]; if (file) set(file); } },
  h("p", { class: "hint" }, "Drop an image here, or paste one."),
  h("div", { class: "row" }, h("span", { class: "button file-button" }, "Choose a file", field), lens.button), lens.state, lens.video, preview);
  const draw = h("div", { class: "card stack" }, pad.canvas,
    h("p", { class: "row" }, h("button", { type: "button", onclick: () => { pad.clear(); usesDrawing = false; onChange(); } }, "Clear"),
      h("label", { class: "inline", for: `dark-${name}` }, dark, "send white on black")));
  const panels = tabs(words(name), [["Image", drop], ["Draw", draw]], isDrawn ? "Draw" : "Image");
  document.addEventListener("paste", (event) => { const file = [...event.clipboardData.files].find((item) => item.type.startsWith("image/")); if (file) set(file); });
  return {
    element: panels.element,
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

/** A user of the training data by id, in place of a history or before it. */
function userWidget(onChange) {
  const field = h("input", { oninput: onChange, autocomplete: "off", id: "input-user" });
  return { element: labeled("user", field, "id of a user of the training data; the history may then stay empty"), value: async () => field.value.trim() || null, fill: (text) => { field.value = text; } };
}

function listWidget(name, onChange) {
  const field = h("textarea", { rows: 4, oninput: onChange });
  const items = () => field.value.split("\n").map((item) => item.trim()).filter(Boolean);
  return { element: labeled(name, field, "one on each line, the latest last"), value: async () => (items().length ? items() : null), fill: (list) => { field.value = list.join("\n"); } };
}

/** Known items are searched by a part of their title or id, and kept in the order in which they were picked. */
function itemsWidget(name, { items, titles = {} }, onChange) {
  let picked = [];
  const chips = h("ol", { class: "chips", "aria-label": words(name) });
  const matches = h("ul", { class: "chips", "aria-label": "Matching items" });
  const search = h("input", { type: "search", autocomplete: "off", placeholder: Object.keys(titles).length ? "a part of its title or id" : "a part of its id" });
  function draw() {
    chips.replaceChildren(...picked.map((item, index) => h("li", null, itemName(item, titles[item]), h("button", { type: "button", class: "remove", "aria-label": `Remove ${titles[item] ?? item}`, onclick: () => set(picked.filter((_, place) => place !== index)) }, "\u00d7"))));
    const text = search.value.trim().toLowerCase();
    const fitting = [];
    for (const item of items) if (fitting.length < MAX_MATCHES && !picked.includes(item) && `${titles[item] ?? ""} ${item}`.toLowerCase().includes(text)) fitting.push(item);
    matches.replaceChildren(...fitting.map((item) => h("li", { class: "plain" }, h("button", { type: "button", class: "chip", onclick: () => set([...picked, item]) }, itemName(item, titles[item])))));
    if (!fitting.length) matches.replaceChildren(h("li", { class: "plain hint" }, "No other item has this in its title or id."));
  }
  function set(next) {
    picked = next;
    search.value = "";
    draw();
    onChange();
  }
  search.addEventListener("input", draw);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    matches.querySelector("button")?.click();
  });
  draw();
  return {
    element: h("div", { class: "card stack" }, h("h3", null, words(name)), h("p", { class: "hint" }, "The latest last."), chips,
      h("label", { class: "stack" }, "Find an item", search), matches),
    value: async () => (picked.length ? picked : null),
    fill: set,
  };
}

function choiceWidget(name, options, hint, onChange) {
  const field = h("select", { onchange: onChange }, h("option", { value: "" }, "as usual"), options.map((option) => h("option", { value: option }, option)));
  return { element: labeled(name, field, hint), value: async () => field.value || null, fill: (text) => { field.value = text; } };
}

function numberWidget(name, schema, onChange) {
  const type = schema.type ?? schema.anyOf?.find((item) => item.type !== "null")?.type;
  const field = h("input", { type: "number", step: type === "integer" ? "1" : "any", value: schema.default ?? "", oninput: onChange });
  return { element: labeled(name, field, plain(schema.description)), value: async () => (field.value === "" ? null : Number(field.value)), fill: (value) => { field.value = value; } };
}

const isOf = (schema, type) => schema.type === type || (schema.anyOf ?? []).some((item) => item.type === type);

/**
 * The widget for one field of an input schema; null for a field that the page leaves out.
 *
 * `knowledge` is what the model knows of the field: `encoder` has its settings, `items` the names of all items.
 */
export function widgetFor(name, schema, knowledge, onChange) {
  if (name === "image") return imageWidget(name, knowledge, onChange);
  if (name === "audio") return audioWidget(name, onChange);
  if (name === "pixels") return null;
  const options = schema.enum ?? schema.anyOf?.find((item) => item.enum)?.enum;
  if (options) return choiceWidget(name, options, plain(schema.description), onChange);
  if (name === "user") return userWidget(onChange);
  if (knowledge.items) return itemsWidget(name, knowledge, onChange);
  if ([schema, ...(schema.anyOf ?? [])].some((item) => item.type === "array" && (item.items?.$ref || item.items?.type === "object"))) return null;
  if (isOf(schema, "array")) return listWidget(name, onChange);
  if (isOf(schema, "number") || isOf(schema, "integer")) return numberWidget(name, schema, onChange);
  if (isOf(schema, "string")) return textWidget(name, schema, onChange);
  return null;
}
