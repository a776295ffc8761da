// What all pages do: the entry of the navigation for the current page is in view.

const entry = document.querySelector("nav a[aria-current]");
const list = entry?.closest("ul");
// Not `scrollIntoView`: Chromium 150 continues the Tab order from what that shows, past the link to the content.
if (list) list.scrollLeft += entry.getBoundingClientRect().left - list.getBoundingClientRect().left - (list.clientWidth - entry.offsetWidth) / 2;
