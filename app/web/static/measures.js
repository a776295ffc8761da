// Measurements of a dataset in words: sizes of images, lengths of texts and clips, columns of tables.

import { count, duration, number, words } from "./format.js";

const range = (low, high) => (low === high ? number(high, 3) : `${number(low, 3)} to ${number(high, 3)}`);

function ofImages({ min_width: minWidth, max_width: maxWidth, min_height: minHeight, max_height: maxHeight, channels }) {
  const sizes = minWidth === maxWidth && minHeight === maxHeight ? `${maxWidth} × ${maxHeight} pixels`
    : `${range(minWidth, maxWidth)} pixels wide, ${range(minHeight, maxHeight)} high`;
  return [["images", sizes], ["color", channels === 1 ? "gray" : "in color"]];
}

const ofTexts = ({ mean_characters: mean, max_characters: most }) => [["length", `${number(mean, 3)} characters on average, at most ${number(most)}`]];

const ofClips = ({ rate_hz: rate, seconds, min_seconds: shortest, max_seconds: longest }) => [
  ["clips", `${range(shortest, longest)} s`], ["all together", duration(seconds)], ["sampling rate", `${number(rate / 1000)} kHz`]];

const ofObjects = ({ objects, max_in_image: most }) => [["objects", `${number(objects)}, at most ${number(most)} in an image`]];

const ofHistories = ({ items, mean_items: mean, max_items: most }) => [["items", number(items)], ["history", `${number(mean, 2)} on average, at most ${number(most)}`]];

function ofColumns({ columns }) {
  return Object.entries(columns).map(([name, { kind, missing }]) => [name, missing ? `${kind}, ${count(missing, "row")} without it` : kind]);
}

const KINDS = [["max_width", ofImages], ["max_characters", ofTexts], ["max_seconds", ofClips], ["max_in_image", ofObjects], ["max_items", ofHistories], ["columns", ofColumns]];

const others = (values) => Object.entries(values).filter(([, value]) => typeof value !== "object").map(([name, value]) => [words(name), number(value)]);

/** Facts of a report as pairs of a name and a text; of several texts, each is named. */
export function measures(facts) {
  const columns = Object.entries(facts ?? {});
  const isNamed = columns.filter(([, values]) => "max_characters" in values).length > 1;
  return columns.flatMap(([column, values]) => {
    const lines = (KINDS.find(([key]) => key in values)?.[1] ?? others)(values);
    return isNamed ? lines.map(([name, text]) => [`${column}: ${name}`, text]) : lines;
  });
}
