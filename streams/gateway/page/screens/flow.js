/** One flow: its numbers, its cancel, its failed members. */

import { Component, h } from "../vendor/preact-10.29.8.js";
import { getOne, post } from "../lib/api.js";
import { graceFault, graceOf } from "../lib/draft.js";
import { duration, number } from "../lib/format.js";
import { to } from "../lib/route.js";
import { Screen } from "../lib/screen.js";
import { store } from "../lib/store.js";
import { plain, WAITS, whyRole } from "../lib/words.js";
import { FlowBar } from "../parts/bar.js";
import { About, Button, Chip, Choice, Copy, Dialog, Grace, Heading, Input, Time, Trouble } from "../parts/basics.js";
import { Samples } from "../parts/found.js";

const ASKED_FOR_MS = 15_000;
const POLICIES = [
  ["CANCEL_ALL", "all members"],
  ["CANCEL_PENDING", "only those that have not started"],
  ["FLOW_ONLY", "none: only mark the flow"],
];

export class OneFlow extends Screen {
  enter() {
    this.ask();
    this.every(1_000, () => this.answered());
  }

  ask() {
    this.load(async (signal) => {
      store.take("flow", [await getOne("flows", this.props.id, [], signal)]);
      return {};
    });
  }

  /** The log has answered once the flow shows a newer revision. */
  answered() {
    const { asked } = this.state;
    const flow = store.flows.get(this.props.id);
    if (!asked || !flow) return;
    if (flow.revision > asked.revision || Date.now() - asked.at > ASKED_FOR_MS) this.setState({ asked: null });
  }

  async cancel(body) {
    const flow = store.flows.get(this.props.id);
    this.setState({ open: false, asked: { revision: flow?.revision ?? -1, at: Date.now() } });
    try {
      await post("/flow-cancels", { flow_id: this.props.id, ...body });
    } catch (problem) {
      this.setState({ asked: null });
      store.say(problem.message);
    }
  }

  render({ id }, { problem, open, asked }) {
    const flow = store.flows.get(id);
    if (!flow) return h("section", null, h(Heading, null, "Flow"), h("p", null, h("code", null, id)), problem ? h(Trouble, { problem, again: () => this.ask() }) : h("p", { class: "muted" }, "Loading ..."));
    const why = asked ? WAITS : whyRole(store.me);
    const again = why ?? (flow.failed ? null : "no member has failed");
    const same = { action: flow.action, policy: flow.policy, ...(flow.grace_ms === undefined ? {} : { grace_ms: flow.grace_ms }), ...(flow.on_timeout ? { on_timeout: flow.on_timeout } : {}) };
    return h(
      "section",
      null,
      h(Heading, { aside: h(Copy, { text: location.href, label: "Copy link" }) }, "Flow ", h("code", null, id)),
      h("div", { class: "panel" }, h("p", { class: "state" }, h(Chip, { word: flow.state }), asked && h("span", { class: "asked" }, "cancel: asked")), h(FlowBar, { flow })),
      h(
        "div",
        { class: "buttons start" },
        h(Button, { class: "danger", why, onClick: () => this.setState({ open: true }) }, flow.action ? "Cancel again, or further ..." : "Cancel the flow ..."),
        h(Button, { why: again, onClick: () => this.cancel(same) }, "Try failed members again"),
        h("a", { class: "button", href: to("invocations", "", [["flow_id", id]]) }, "Its members"),
      ),
      h(Trouble, { problem, again: () => this.ask() }),
      h("div", { class: "halves" }, h(About, { of: factsOf(flow) }), flow.failures?.length > 0 && h("div", { class: "panel" }, h(Samples, { run: { samples: flow.failures }, name: "Failed: left when their grace was over" }))),
      open && h(CancelDialog, { flow, send: (body) => this.cancel(body), close: () => this.setState({ open: false }) }),
    );
  }
}

function factsOf(flow) {
  return [
    ["members", number(flow.members)],
    ["asked", flow.action && `${plain(flow.action)} ${POLICIES.find(([name]) => name === flow.policy)?.[1] ?? ""}`],
    ["who", flow.actor],
    ["why", flow.reason],
    ["made stronger by", flow.escalated_by],
    ["grace", flow.action === "CANCEL" && flow.grace_ms !== undefined && `${duration(flow.grace_ms)}, then ${flow.on_timeout === "LEAVE" ? "left" : "killed"}`],
    ["looked after", flow.backlog && ["by the reconciler", flow.next_due_at && [", next at ", h(Time, { at: flow.next_due_at })]]],
    ["since", h(Time, { at: flow.created_at, whole: true })],
    ["changed", h(Time, { at: flow.updated_at, whole: true })],
  ];
}

class CancelDialog extends Component {
  render({ flow, send, close }, { action = flow.action ?? "CANCEL", policy = flow.policy ?? "CANCEL_ALL", grace = "", on_timeout = "KILL", reason = "" }) {
    const wrong = graceFault({ action, grace });
    const submit = (event) => {
      event.preventDefault();
      if (wrong) return;
      send({ action, policy, ...graceOf({ action, grace, on_timeout }), ...(reason ? { reason } : {}) });
    };
    return h(
      Dialog,
      { title: "Cancel this flow?", onClose: close },
      h(
        "form",
        { onSubmit: submit },
        h("p", { class: "told" }, `${flow.flow_id}: ${number(flow.live)} live of ${number(flow.members)} members`),
        flow.action && h("p", { class: "muted" }, "It is cancelled already: a stronger cancel is taken over, failed members are asked once more, nothing is weakened."),
        h(
          "div",
          { class: "fields" },
          h(Choice, { label: "How", value: action, options: [["CANCEL", "ask them to end"], ["KILL", "end them at once"]], onChange: (value) => this.setState({ action: value }) }),
          h(Choice, { label: "Whom", value: policy, options: POLICIES, onChange: (value) => this.setState({ policy: value }) }),
          action === "CANCEL" && h(Grace, { grace, on_timeout, wrong, put: (change) => this.setState(change) }),
          h(Input, { label: "Why", wide: true, value: reason, maxlength: 1000, onInput: (text) => this.setState({ reason: text }) }),
        ),
        h("div", { class: "buttons" }, h(Button, { onClick: close, autofocus: true }, "Leave it"), h(Button, { type: "submit", class: "danger", why: wrong }, action === "KILL" ? "Kill them" : "Cancel them")),
      ),
    );
  }
}
