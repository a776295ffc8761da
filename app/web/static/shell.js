// What all pages do: the entry of the navigation for the current page is in view.

document.querySelector("nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
