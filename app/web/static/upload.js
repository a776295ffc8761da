// Resumable uploads (tus 1.0). A file that was sent before a reload continues where it stopped.

import { API, Problem } from "./api.js";

const PART = 8 << 20;
const PARALLEL = 4;
const VERSION = { "Tus-Resumable": "1.0.0" };

const encode = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const pathOf = (file) => file.webkitRelativePath || file.path || file.name;
const keyOf = (file) => `plinth-upload:${pathOf(file)}:${file.size}:${file.lastModified}`;
const wait = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });

/** Fetch with retries while there is no connection or the service is busy. */
async function send(url, options) {
  for (let delay = 0.5; ; delay = Math.min(delay * 2, 8)) {
    try {
      const response = await fetch(url, options);
      if (response.ok || (response.status < 500 && response.status !== 429)) return response;
    } catch (error) {
      if (options.signal?.aborted) throw error;
    }
    await wait(delay);
  }
}

async function refuse(response) {
  throw new Problem(response.status, await response.json().catch(() => ({})));
}

async function offsetOf(id) {
  const response = await send(`${API}/uploads/${id}`, { method: "HEAD", headers: VERSION });
  return response.ok ? Number(response.headers.get("Upload-Offset")) : null;
}

async function begin(file) {
  const metadata = [`filename ${encode(file.name)}`];
  if (pathOf(file) !== file.name) metadata.push(`relativePath ${encode(pathOf(file))}`);
  const first = file.slice(0, PART);
  const response = await send(`${API}/uploads`, {
    method: "POST",
    headers: { ...VERSION, "Upload-Length": String(file.size), "Upload-Metadata": metadata.join(","), "Content-Type": "application/offset+octet-stream" },
    body: first,
  });
  if (!response.ok) await refuse(response);
  const id = response.headers.get("Location").split("/").pop();
  return [id, Number(response.headers.get("Upload-Offset") ?? first.size)];
}

/** Send a file, and return the id of its upload. */
async function sendFile(file, onBytes) {
  const key = keyOf(file);
  let id = localStorage.getItem(key);
  let offset = id === null ? null : await offsetOf(id);
  if (offset === null) {
    [id, offset] = await begin(file);
    if (file.size > PART) localStorage.setItem(key, id);
  }
  onBytes(offset);
  while (offset < file.size) {
    const response = await send(`${API}/uploads/${id}`, {
      method: "PATCH",
      headers: { ...VERSION, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" },
      body: file.slice(offset, offset + PART),
    });
    if (response.status === 409) {
      offset = await offsetOf(id);
      continue;
    }
    if (!response.ok) await refuse(response);
    const next = Number(response.headers.get("Upload-Offset"));
    onBytes(next - offset);
    offset = next;
  }
  localStorage.removeItem(key);
  return id;
}

/** Send files beside each other; `onProgress` gets the bytes sent and all bytes. Returns the ids in order. */
export async function sendFiles(files, onProgress) {
  const total = files.reduce((sum, file) => sum + file.size, 0);
  const ids = new Array(files.length);
  let sent = 0;
  let next = 0;
  async function work() {
    while (next < files.length) {
      const index = next;
      next += 1;
      ids[index] = await sendFile(files[index], (bytes) => { sent += bytes; onProgress(sent, total); });
    }
  }
  await Promise.all(Array.from({ length: Math.min(PARALLEL, files.length) }, work));
  return ids;
}

async function filesOf(entry, folder) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    Object.defineProperty(file, "path", { value: folder + file.name });
    return [file];
  }
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!entries.length) return files;
    for (const inner of entries) files.push(...await filesOf(inner, `${folder}${entry.name}/`));
  }
}

const isVisible = (file) => !pathOf(file).split("/").some((part) => part.startsWith(".")) && !["Thumbs.db", "desktop.ini"].includes(file.name);

/** All files of a drop, those in folders with their paths. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].filter(isVisible);
  const files = [];
  for (const entry of entries) files.push(...await filesOf(entry, ""));
  return files.filter(isVisible);
}

export const chosenFiles = (field) => [...field.files].filter(isVisible);
export const sizeOf = (files) => files.reduce((sum, file) => sum + file.size, 0);

/** A name for a dataset, from the folder or the first file. */
export function nameOf(files) {
  const path = pathOf(files[0]);
  const base = path.includes("/") ? path.split("/")[0] : path.replace(/(\.[a-z0-9]{1,7}){1,2}$/i, "");
  return base.toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "").slice(0, 60) || "data";
}
