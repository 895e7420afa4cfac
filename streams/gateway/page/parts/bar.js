/** The bar of a batch or flow: its numbers in one bar, each also by name. */

import { h } from "../vendor/preact-10.29.8.js";
import { duration, number, rate } from "../lib/format.js";
import { COUNTERS, FLOW_NUMBERS, isFinal, share, stands } from "../lib/words.js";

/** `parts`: [[name, number], ...]. `filled`: 0 to 1, the share of the whole that they fill; null: unknown. */
export function Stack({ parts, filled, label }) {
  const whole = parts.reduce((sum, [, value]) => sum + value, 0);
  const percent = filled === null ? null : Math.floor(filled * 100);
  const numbers = parts.map(([name, value]) => `${name} ${number(value)}`).join(", ");
  return h(
    "div",
    {
      class: `bar ${filled === null ? "unknown" : ""}`,
      role: "progressbar",
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": percent,
      "aria-valuetext": `${percent === null ? "" : `${percent}% looked at, `}${numbers}`,
    },
    h(
      "div",
      { class: `filled ${whole ? "" : "nothing"}`, style: { width: `${(filled ?? 1) * 100}%` } },
      parts.map(([name, value]) =>
        value > 0 && h("div", { key: name, class: `part of-${name}`, style: { flexGrow: value / whole } }),
      ),
    ),
  );
}

/** The same numbers by name, so that nobody has to tell colours apart. */
export function Legend({ parts, whole }) {
  return h(
    "ul",
    { class: "legend" },
    whole && h("li", { class: "whole" }, `${whole[0]} `, h("b", null, number(whole[1]))),
    parts.map(([name, value]) =>
      h("li", { key: name, class: value ? "" : "none" }, h("i", { class: `of-${name}` }), `${name} `, h("b", null, number(value))),
    ),
  );
}

export function BatchBar({ batch }) {
  const parts = COUNTERS.map((name) => [name, batch[name] ?? 0]);
  const held = batch.held ? [["held", batch.held]] : [];
  return h(
    "div",
    { class: "progress" },
    h(Stack, { parts, filled: share(batch), label: `Progress of batch ${batch.batch_id}` }),
    h(Legend, { parts: [...parts, ...held], whole: ["matched", batch.matched ?? 0] }),
  );
}

/** The members of a flow, or the children of an invocation: `who` says which, `label` of whom. */
export function FlowBar({ flow, who = "members", label = `Members of flow ${flow.flow_id}` }) {
  const parts = FLOW_NUMBERS.map((name) => [name, flow[name] ?? 0]);
  return h(
    "div",
    { class: "progress" },
    h(Stack, { parts, filled: 1, label }),
    h(Legend, { parts, whole: [who, flow.members ?? 0] }),
  );
}

/** The speed of a batch and the time that it still needs, in words. */
export function speed(batch) {
  const words = [];
  const part = share(batch);
  if (!isFinal(batch.state) && batch.state !== "DRAINING" && part !== null && !stands(batch)) {
    words.push(`${Math.floor(part * 100)}% looked at`);
  }
  if (batch.state === "COMPLETED" && !batch.matched) words.push("nothing matched");
  if (batch.rate) words.push(`${rate(batch.rate)} a second`);
  if (batch.max_rate) words.push(`at most ${number(batch.max_rate)}`);
  if (!isFinal(batch.state) && batch.eta_ms !== undefined && batch.eta_ms !== null) {
    words.push(`${duration(batch.eta_ms)} left`);
  }
  return words.join(" · ");
}
