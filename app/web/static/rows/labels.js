// Places for labels of boxes: beside the box, inside the image, over no box and no other label.

const RINGS = 6;

const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** Candidate places of a label of `width` and `height`, the nearest first; `gap` is the distance to the box. */
function candidates(box, width, height, gap) {
  const middle = (box.top + box.bottom - height) / 2;
  return Array.from({ length: RINGS }, (_, ring) => {
    const far = gap + ring * height;
    return [[box.left, box.top - height - far], [box.left, box.bottom + far], [box.right + far, middle], [box.left - width - far, middle],
      [box.right - width, box.top - height - far], [box.right - width, box.bottom + far]].map(([left, top]) => ({ left, top, ring }));
  }).flat();
}

/**
 * Place labels beside boxes, all in the same unit.
 *
 * `boxes` have `left`, `top`, `right` and `bottom`; `widths` are those of their labels. Returns for each box a place
 * with `isFar` where a line should lead to the box, or null where no place is free.
 */
export function placeLabels(boxes, widths, height, area) {
  const placed = [];
  const gap = height / 4;
  return boxes.map((box, index) => {
    const width = widths[index];
    for (const { left, top, ring } of candidates(box, width, height, gap)) {
      const start = Math.min(Math.max(left, 0), area.width - width);
      const label = { left: start, top, right: start + width, bottom: top + height };
      const isInside = start >= 0 && top >= 0 && label.bottom <= area.height;
      if (!isInside || [...boxes, ...placed].some((item) => overlap(label, item))) continue;
      placed.push(label);
      return { left: start, top, isFar: ring > 1 };
    }
    return null;
  });
}
