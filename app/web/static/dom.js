// Elements without markup in strings: every text becomes a text node.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string" && element.namespaceURI !== SVG) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Create an HTML element: `h("a", { href: "/", class: "button" }, "Home")`. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Create an SVG element. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace the content of an element only where it differs, so that focus and selection stay. */
export function show(element, ...children) {
  const next = fill(element.cloneNode(false), {}, children);
  if (next.innerHTML !== element.innerHTML) element.replaceChildren(...next.childNodes);
  element.removeAttribute("aria-busy");
}

export const byId = (id) => document.getElementById(id);
