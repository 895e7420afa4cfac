/** The result of a preview: how many, which for example, by status and by service. */

import { Component, h } from "../vendor/preact-10.29.8.js";
import { count, duration, number } from "../lib/format.js";
import { to } from "../lib/route.js";
import { buttonOf, capital, DID, plain } from "../lib/words.js";
import { Button, Time } from "./basics.js";

const SAMPLES = 10;
const SLOW_MS = 3_000;
const GROUPS = 8;

/** Shown while it is being counted. When that is slow one may go on without. */
export class Counting extends Component {
  componentDidMount() {
    this.timer = setInterval(() => this.setState({}), 500);
  }

  componentWillUnmount() {
    clearInterval(this.timer);
  }

  render({ since, stop, goOn }) {
    const took = Date.now() - since;
    return h(
      "div",
      { class: "panel", role: "status" },
      h("p", null, `Counting, for ${duration(took)} now ...`),
      took > SLOW_MS && h("p", null, "It is slow: many rows, a busy worker, or none. You may go on without a number; you then do not know how many it will be."),
      h(
        "div",
        { class: "buttons start" },
        h(Button, { onClick: stop }, "Stop counting"),
        took > SLOW_MS && h(Button, { onClick: goOn }, "Go on without counting"),
      ),
    );
  }
}

export function Found({ draft, found, confirm }) {
  const { run, table } = found;
  if (run.state !== "COMPLETED") {
    return h("div", { class: "notice bad", role: "alert" }, `The preview is ${plain(run.state)}: ${run.error ?? "it was stopped"}.`);
  }
  const acts = run.done > 0;
  const word = plain(draft.action);
  const whole = draft.limit === "" ? "" : ", all that match";
  return h(
    "div",
    { class: "panel found" },
    h("h2", null, headline(draft, run)),
    run.skipped > 0 && h("p", { class: "muted" }, `${number(run.matched)} match, ${number(run.skipped)} of them with nothing to ${word}.`),
    !acts && h("p", null, draft.standing_until ? "Nothing matches now; it would stand, and end what arrives." : `Nothing to ${word}: change the filter. Only what is there now counts.`),
    h("div", { class: "columns" }, h(Groups, { name: `By status${whole}`, pairs: table?.status, plainly: true }), h(Groups, { name: `By service${whole}`, pairs: table?.service }), h(Samples, { run })),
    table && !table.exact && h("p", { class: "muted" }, "Not every worker answered: the numbers by status and service are too low."),
    h("p", { class: "muted" }, "Counted ", h(Time, { at: found.at }), "."),
    (acts || draft.standing_until) && h(Button, { class: buttonOf(draft.action), onClick: confirm }, acts ? `${capital(draft.action)} ${count(run.done, "invocation")} ...` : "Start it ..."),
  );
}

function headline(draft, run) {
  if (run.done === 0) return "0 invocations";
  return `${count(run.done, "invocation")} would be ${DID[draft.action]}`;
}

function Groups({ name, pairs, plainly = false }) {
  if (!pairs?.length) return null;
  const more = pairs.length - GROUPS;
  return h(
    "div",
    null,
    h("h3", null, name),
    h("ul", { class: "tally" }, pairs.slice(0, GROUPS).map(([each, value]) => h("li", { key: each }, h("span", null, plainly ? plain(each) : each), h("b", null, number(value))))),
    more > 0 && h("p", { class: "muted" }, `and ${number(more)} more`),
  );
}

export function Samples({ run, name = "For example" }) {
  const samples = run.samples ?? [];
  if (!samples.length) return null;
  return h(
    "div",
    null,
    h("h3", null, name),
    h("ul", { class: "ids" }, samples.slice(0, SAMPLES).map((id) => h("li", { key: id }, h("a", { href: to("invocation", id) }, id)))),
  );
}
