/** All flows, latest change first. */

import { h } from "../vendor/preact-10.29.8.js";
import { get } from "../lib/api.js";
import { ms } from "../lib/format.js";
import { one, replace, to } from "../lib/route.js";
import { Screen } from "../lib/screen.js";
import { store } from "../lib/store.js";
import { capital, FLOW_STATES, plain, toneOf } from "../lib/words.js";
import { FlowBar } from "../parts/bar.js";
import { Button, Chip, Choice, Heading, Time, Trouble } from "../parts/basics.js";

const PAGE = 50;

export class Flows extends Screen {
  enter() {
    this.ask();
  }

  componentDidUpdate(before) {
    if (JSON.stringify(before.query) !== JSON.stringify(this.props.query)) this.ask();
  }

  ask(cursor = null) {
    this.load(async (signal) => {
      const found = await get("/flows", [["state", one(this.props.query, "state")], ["limit", PAGE], ["cursor", cursor]], signal);
      store.take("flow", found.items);
      const last = found.items.at(-1);
      return { next: found.next_cursor ?? null, oldest: found.next_cursor && last ? ms(last.created_at) : 0, asked: true };
    });
  }

  render({ query }, { problem, next, busy, asked, oldest = 0 }) {
    const state = one(query, "state");
    const fits = (flow) => (!state || flow.state === state) && ms(flow.created_at) >= oldest;
    const flows = [...store.flows.values()].filter(fits).sort((a, b) => ms(b.created_at) - ms(a.created_at));
    const put = (chosen) => replace(to("flows", "", [["state", chosen]]));
    return h(
      "section",
      null,
      h(Heading, null, "Flows"),
      h("form", { class: "narrow", "aria-label": "Which flows", onSubmit: (event) => event.preventDefault() }, h(Choice, { label: "State", value: state, options: [["", "any"], ...FLOW_STATES.map((each) => [each, capital(each)])], onChange: put })),
      h(Trouble, { problem, again: () => this.ask() }),
      asked && !flows.length && h("p", { class: "empty" }, state ? "No flow is in this state." : "No flow yet. A flow is a group of invocations that is cancelled together; an invocation names it when it is made."),
      !asked && !problem && !flows.length && h("p", { class: "muted" }, "Loading ..."),
      h("ol", { class: "batches" }, flows.map((flow) => h(FlowRow, { key: flow.flow_id, flow }))),
      next && h("div", { class: "buttons start" }, h(Button, { why: busy ? "they are being loaded" : null, onClick: () => this.ask(next) }, "Older flows")),
    );
  }
}

function FlowRow({ flow }) {
  return h(
    "li",
    { class: `row batch flow ${toneOf(flow.state)}` },
    h(
      "div",
      { class: "what" },
      h("a", { class: "title", href: to("flow", flow.flow_id) }, h("b", null, flow.flow_id)),
      h("p", { class: "muted who" }, "changed ", h(Time, { at: flow.updated_at }), flow.actor && [", cancelled by ", h("b", null, flow.actor)], flow.reason && [": ", h("q", null, flow.reason)]),
    ),
    h("div", { class: "how" }, h("p", { class: "state" }, h(Chip, { word: flow.state }), flow.policy && h("span", { class: "muted" }, plain(flow.policy))), h(FlowBar, { flow })),
  );
}
