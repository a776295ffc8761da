// Requests to the public API with the session cookie, event streams, and what the page says of a lost connection.

import { byId } from "./dom.js";
import { plain } from "./format.js";

export const API = "/api/v1";

/** A problem document; `message` is its detail. */
export class Problem extends Error {
  constructor(status, body) {
    super(plain(body.detail) ?? `The service answered with status ${status}.`);
    this.status = status;
    this.code = body.code;
    /** Findings in words that the message does not have yet. */
    this.details = (body.errors ?? []).map((item) => [item.message ?? item.path, item.found ? `found ${item.found}` : "", plain(item.hint)]
      .filter((part) => part && !this.message.includes(part)).join(": ")).filter(Boolean);
  }
}

let lost = false;

function tell(isLost) {
  if (isLost === lost) return;
  lost = isLost;
  const banner = byId("connection");
  banner.hidden = !isLost;
  banner.textContent = isLost ? "The connection to Plinth is lost. Jobs continue, and this page tries again by itself." : "";
}

/** Send a request; returns the parsed body. Throws `Problem` for an error, `TypeError` without a connection. */
export async function request(method, path, body, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  const isForm = body instanceof FormData || body instanceof Blob;
  if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined || isForm ? body : JSON.stringify(body), signal: options.signal });
  } catch (error) {
    if (error.name !== "AbortError") tell(true);
    throw error;
  }
  tell(false);
  if (response.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  if (response.status === 204) return null;
  const isJson = (response.headers.get("Content-Type") ?? "").includes("json");
  const content = isJson ? await response.json() : await response.text();
  if (!response.ok) throw new Problem(response.status, isJson ? content : {});
  return content;
}

export const get = (path, options) => request("GET", path, undefined, options);
export const post = (path, body, options) => request("POST", path, body, options);

/** Build a path with parameters; empty ones are left out. */
export function query(path, parameters) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const item of [value].flat()) if (item !== "" && item !== null && item !== undefined) search.append(name, item);
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

/** Call `update` now and every `seconds` while the page is visible. It continues after a lost connection. */
export function poll(update, seconds) {
  let timer = 0;
  let isRunning = false;
  async function round() {
    clearTimeout(timer);
    if (isRunning) return;
    isRunning = true;
    try {
      if (!document.hidden) await update();
    } catch (error) {
      if (error instanceof Problem && error.status < 500) console.warn(error.message);
    } finally {
      isRunning = false;
      timer = setTimeout(round, seconds * 1000);
    }
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) round(); });
  round();
  return round;
}

/** Follow an event stream until `event: end`. After a lost connection it continues where it was. */
export function follow(path, kinds, onEvent, onEnd = () => {}) {
  let last = 0;
  let source;
  let delay = 500;
  let isOver = false;
  function open() {
    source = new EventSource(last ? query(path, { cursor: last }) : path);
    source.onopen = () => { delay = 500; tell(false); };
    for (const kind of kinds) {
      source.addEventListener(kind, (message) => {
        const event = JSON.parse(message.data);
        last = event.id;
        onEvent(event);
      });
    }
    source.addEventListener("end", (message) => {
      isOver = true;
      source.close();
      onEnd(JSON.parse(message.data));
    });
    source.onerror = () => {
      if (isOver) return;
      source.close();
      tell(true);
      setTimeout(open, delay);
      delay = Math.min(delay * 2, 8000);
    };
  }
  open();
  return () => { isOver = true; source.close(); };
}
