// Numbers, times and states in words.

const KINDS = { finetune: "fine-tune", pretrain: "pretrain", import: "import", export: "export", sweep: "search", validate: "data check" };

export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "-";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(2);
  return value.toLocaleString("en", { maximumSignificantDigits: digits });
}

export function bytes(value) {
  if (value === null || value === undefined) return "-";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${value.toLocaleString("en", { maximumSignificantDigits: 3 })} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "-";
  if (seconds < 1) return "under 1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${Math.round(seconds / 86400)} days`;
}

export function ago(time) {
  if (!time) return "-";
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  return seconds < 10 ? "just now" : `${duration(seconds)} ago`;
}

/** A number of things: `count(2, "class")` is "2 classes". */
export function count(value, noun) {
  const plural = /[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}${/(s|x|ch)$/.test(noun) ? "es" : "s"}`;
  return `${number(value)} ${value === 1 ? noun : plural}`;
}

const SUFFIXES = { one: "st", two: "nd", few: "rd", other: "th" };
const rules = new Intl.PluralRules("en", { type: "ordinal" });

/** A place in an order: "2nd", "11th". */
export const ordinal = (value) => `${number(value)}${SUFFIXES[rules.select(value)]}`;

const COMMAND = /`(plinth|python|make|pip|PLINTH_\w+=) ?|\b(GET|POST|PUT|PATCH|DELETE) \/|\{"|\bcurl\b/;

function withoutCommand(sentence) {
  const match = COMMAND.exec(sentence);
  if (!match) return sentence;
  const clause = sentence.slice(0, match.index).match(/^(.*\S)\s*[,:;(]/s);
  return clause ? `${clause[1]}.` : "";
}

/** A text of the API without what is for terminals and programs: a page has buttons for it. */
export function plain(text) {
  if (typeof text !== "string") return text;
  return text.split(/(?<=[.!?])\s+(?=[A-Z"'`])/).map(withoutCommand).filter(Boolean).join(" ").replaceAll("`", "");
}

export const kind = (name) => KINDS[name] ?? name;
/** A name in words; also of a choice such as `{ name, config }`. */
export const words = (name) => String(name?.name ?? name ?? "").replaceAll("_", " ");

/** The state of a job as its badge names it: a paused job is queued in the API. */
export function state(job) {
  if (job.requested === "pause") return job.state === "queued" ? "paused" : "pausing";
  if (job.requested === "cancel") return "cancelling";
  if (job.requested === "stop" && job.state === "running") return "stopping";
  return job.state;
}

/** A reference such as "tickets@2" beside one of another kind: "data tickets, version 2". */
export function versionOf(noun, reference) {
  const [name, version] = String(reference).split("@");
  return version ? `${noun} ${name}, version ${version}` : `${noun} ${name}`;
}

/** What a job makes or works on. */
export function jobName(job) {
  const { spec } = job;
  if (job.model) return `${job.model.name}@${job.model.version}`;
  if (job.parent) return `trial ${job.trial}`;
  return spec.model ?? spec.job?.model ?? spec.name ?? spec.dataset ?? job.id;
}
