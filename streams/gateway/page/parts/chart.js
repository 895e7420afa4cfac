/** How many a second, as a small chart. */

import { h } from "../vendor/preact-10.29.8.js";
import { brief, rate } from "../lib/format.js";

const [WIDTH, HEIGHT, COLUMNS] = [480, 72, 60];

/** Mean numbers a second in up to 60 equal spans; `points`: [[ms, number in all], ...], rising. */
export function perSecond(points) {
  if (points.length < 2) return [];
  const [begin, end] = [points[0][0], points.at(-1)[0]];
  const columns = Math.max(1, Math.min(COLUMNS, Math.ceil((end - begin) / 250)));
  const span = (end - begin) / columns;
  return Array.from({ length: columns }, (_, place) => {
    const from = begin + place * span;
    return Math.max(0, ((valueAt(points, from + span) - valueAt(points, from)) * 1_000) / span);
  });
}

function valueAt(points, at) {
  const next = points.findIndex(([time]) => time >= at);
  if (next <= 0) return next === 0 ? points[0][1] : points.at(-1)[1];
  const [[before, low], [after, high]] = [points[next - 1], points[next]];
  return low + ((high - low) * (at - before)) / (after - before);
}

export function Chart({ points }) {
  const columns = perSecond(points);
  if (!columns.length) return h("p", { class: "muted" }, "No numbers yet.");
  const most = Math.max(...columns);
  if (most === 0) return h("p", { class: "muted" }, "None so far.");
  const width = WIDTH / columns.length;
  const told = `A second, from ${brief(points[0][0])} to ${brief(points.at(-1)[0])}: at most ${rate(most)}`;
  return h(
    "figure",
    { class: "chart" },
    h(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": told },
      columns.map((value, place) => {
        const height = Math.max(value > 0 ? 1.5 : 0.5, (value / most) * HEIGHT);
        const x = place * width;
        return h("rect", { key: place, x, y: HEIGHT - height, width: Math.max(1, width - 1), height });
      }),
    ),
    h("figcaption", null, h("span", null, brief(points[0][0])), h("span", null, `at most ${rate(most)} a second`), h("span", null, brief(points.at(-1)[0]))),
  );
}
