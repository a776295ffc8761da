// A request to /predict as programs write it.

export const LANGUAGES = {
  curl: (url, model) => `curl -sS -H "Authorization: Bearer $PLINTH_API_KEY" -H "Content-Type: application/json" \\
  "${url}/predict/${model}" -d @input.json`,
  Python: (url, model) => `import json
import os

from plinth import Plinth

with Plinth("${url}", os.environ["PLINTH_API_KEY"]) as plinth, open("input.json") as file:
    print(plinth.predict("${model}", *json.load(file)["inputs"]))`,
  JavaScript: (url, model) => `import { readFile } from "node:fs/promises";

const response = await fetch("${url}/predict/${model}", {
  method: "POST",
  headers: { Authorization: \`Bearer \${process.env.PLINTH_API_KEY}\`, "Content-Type": "application/json" },
  body: await readFile("input.json", "utf8"),
});
console.log(await response.json());`,
};
