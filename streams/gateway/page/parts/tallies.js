/** Numbers by status, small. */

import { h } from "../vendor/preact-10.29.8.js";
import { count, number } from "../lib/format.js";
import { plain, toneOf } from "../lib/words.js";

/** `counts`: as `tally` gives them. */
export function FewCounts({ counts }) {
  if (!counts) return null;
  const all = counts.status.reduce((sum, [, value]) => sum + value, 0);
  return h("ul", { class: "legend" }, h("li", null, h("b", null, count(all, "row"))), counts.status.map(([status, value]) => h("li", { key: status }, h("i", { class: toneOf(status) }), `${plain(status)} `, h("b", null, number(value)))));
}
