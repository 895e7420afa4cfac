/** One invocation: where it stands, its history as far as its row tells it, what may be done with it. */

import { Component, h } from "../vendor/preact-10.29.8.js";
import { getOne, post } from "../lib/api.js";
import { graceFault, graceOf } from "../lib/draft.js";
import { duration, ms, number } from "../lib/format.js";
import { to } from "../lib/route.js";
import { Screen } from "../lib/screen.js";
import { store } from "../lib/store.js";
import { ACTIONS, buttonOf, capital, ENDED, plain, WAITS, whyNotAct } from "../lib/words.js";
import { About, Button, Chip, Copy, Dialog, Grace, Heading, Input, Time, Trouble } from "../parts/basics.js";
import { FlowBar } from "../parts/bar.js";

const EACH_MS = 2_000;
const ASKED_EACH_MS = 500;
const ASKED_FOR_MS = 15_000;

export class OneInvocation extends Screen {
  enter() {
    this.ask();
    this.every(EACH_MS, () => !this.state.asked && this.again());
    this.every(ASKED_EACH_MS, () => this.state.asked && this.again());
  }

  again() {
    const { row, busy, asked } = this.state;
    if (busy) return;
    if (asked && Date.now() - asked.at > ASKED_FOR_MS) {
      this.setState({ asked: null });
      store.say(`${capital(asked.action)} is in the log, but shows no effect: no worker runs, or there was nothing to do.`);
    }
    if (!row || asked || !ENDED.includes(row.status)) this.ask();
  }

  ask() {
    this.load(async (signal) => {
      const found = await getOne("invocations", this.props.id, [], signal).catch((problem) => {
        if (problem.status === 404 && this.state.asked?.action === "PURGE") return { gone: true };
        throw problem;
      });
      const row = found;
      const { asked } = this.state;
      const answered = asked && (found.gone || row.modified_at !== asked.modified_at || row.attempt !== asked.attempt || row.seq !== asked.seq);
      return { row: found.gone ? null : row, gone: Boolean(found.gone), asked: answered ? null : asked };
    });
  }

  /** Ask for an action; `more`: fields of the act besides. */
  async act(action, more = {}) {
    const { row } = this.state;
    this.setState({ open: null, asked: { action, at: Date.now(), modified_at: row.modified_at, attempt: row.attempt, seq: row.seq } });
    try {
      await post("/acts", { invocation_id: row.invocation_id, action, ...more });
    } catch (problem) {
      this.setState({ asked: null });
      store.say(problem.message);
    }
  }

  async showPayload() {
    try {
      const found = await getOne("invocations", this.props.id, [["payload", "true"]], this.leaving.signal);
      this.setState({ payload: found.payload ?? null });
    } catch (problem) {
      store.say(problem.message);
    }
  }

  render({ id }, { row, gone, problem, open, asked, payload }) {
    if (!row) {
      return h(
        "section",
        null,
        h(Heading, null, "Invocation"),
        h("p", null, h("code", null, id)),
        gone ? h("p", { class: "empty" }, "It is removed for good.") : problem ? h(Trouble, { problem, again: () => this.ask() }) : h("p", { class: "muted" }, "Loading ..."),
      );
    }
    return h(
      "section",
      null,
      h(Heading, { aside: h(Copy, { text: row.invocation_id, label: "Copy id" }) }, h("code", null, row.invocation_id)),
      h("p", { class: "state" }, h(Chip, { word: row.status, more: row.held ? " (held)" : "" }), h("span", null, "since ", h(Time, { at: row.modified_at })), row.due_at && !ENDED.includes(row.status) && h("span", { class: "muted" }, "due ", h(Time, { at: row.due_at }))),
      h(Trouble, { problem }),
      h(Acts, { row, asked, choose: (action) => this.setState({ open: action }) }),
      h("div", { class: "halves" }, h(About, { of: factsOf(row) }), h("div", { class: "panel" }, h("h2", null, "What happened"), h(History, { row }))),
      h(Children, { of: row }),
      h(Family, { row }),
      h(Payload, { payload, show: () => this.showPayload() }),
      open && h(ActDialog, { action: open, row, send: (more) => this.act(open, more), close: () => this.setState({ open: null }) }),
    );
  }
}

function Acts({ row, asked, choose }) {
  return h(
    "div",
    { class: "buttons start", role: "group", "aria-label": "Act on this invocation" },
    ACTIONS.map((action) => {
      const waits = asked?.action === action;
      const why = waits ? WAITS : whyNotAct(row, action, store.me);
      return h(Button, { key: action, why, class: waits ? "asked" : "", onClick: () => choose(action) }, waits ? `${capital(action)}: asked` : capital(action));
    }),
  );
}

function factsOf(row) {
  const labels = Object.entries(row.labels ?? {});
  return [
    ["service", row.service],
    ["handler", row.handler],
    ["object", row.object_key],
    ["deployment", row.deployment_id],
    ["flow", row.flow_id && h("a", { href: to("flow", row.flow_id) }, row.flow_id)],
    ["parent", row.parent_id && h("a", { href: to("invocation", row.parent_id) }, row.parent_id)],
    ["labels", labels.length > 0 && labels.map(([key, value]) => h("span", { key, class: "value" }, `${key}=${value}`))],
    ["attempt", number(row.attempt)],
    ["lease", row.lease_ms && duration(row.lease_ms)],
    ["paused from", row.paused_from && plain(row.paused_from)],
    ["held by", heldBy(row)],
    ["adopted", row.adopted && "it ran elsewhere when it came"],
    ["partition, seq", `${row.partition}, ${number(row.seq)}`],
  ];
}

function heldBy({ held_by: by }) {
  if (!by) return null;
  if (by.batch_id) return h("a", { href: to("batch", by.batch_id) }, `batch ${by.batch_id}`);
  if (by.flow_id) return h("a", { href: to("flow", by.flow_id) }, `flow ${by.flow_id}`);
  const id = by.invocation_id ?? by.parent_id;
  return h("a", { href: to("invocation", id) }, by.invocation_id ? `${id}, which is started` : `the cancelled children of ${id}`);
}

/** What the row tells of its past, in order. */
function History({ row }) {
  const { ending } = row;
  const ended = ENDED.includes(row.status);
  const steps = [
    [row.created_at, "invoked"],
    row.scheduled_at && [row.scheduled_at, "its time to start"],
    row.started_seq !== undefined && row.started_seq !== null && [null, `first started by record ${number(row.started_seq)} of the log, now attempt ${number(row.attempt)}`],
    row.last_report_no > 0 && [null, "its executor has reported"],
    !ended && ending && [row.modified_at, ["asked to end", by(ending)]],
    !ended && !ending && row.modified_at !== row.created_at && [row.modified_at, `${plain(row.status)}`],
    !ended && ending?.grace_until && [ending.grace_until, `its grace ends; then it is ${ending.on_timeout === "LEAVE" ? "left" : "killed"}`],
    ended && [row.modified_at, [plain(row.status), ending && by(ending)]],
    ending?.error && [null, h("span", { class: "error" }, ending.error)],
  ].filter(Boolean);
  const placed = steps.map(([at, words]) => ({ at: at ? ms(at) : null, words }));
  return h("ol", { class: "history" }, placed.map(({ at, words }, place) => h("li", { key: place }, h("span", { class: "when" }, at === null ? "" : h(Time, { at })), h("span", null, words))));
}

function by(ending) {
  const cause = ending.cause ?? {};
  const told = [];
  if (cause.actor) told.push(" by ", h("b", null, cause.actor));
  if (cause.batch_id) told.push(" in batch ", h("a", { href: to("batch", cause.batch_id) }, cause.batch_id));
  if (cause.flow_id) told.push(" with flow ", h("a", { href: to("flow", cause.flow_id) }, cause.flow_id));
  if (cause.reason) told.push(": ", h("q", null, cause.reason));
  if (ending.repeat > 0) told.push(`, asked ${number(ending.repeat + 1)} times`);
  return told;
}

function Family({ row }) {
  return h(
    "p",
    { class: "buttons start" },
    h("a", { class: "button small", href: to("invocations", "", [["parent_id", row.invocation_id]]) }, "Its children"),
    row.object_key && h("a", { class: "button small", href: to("invocations", "", [["service", row.service], ["object_key", row.object_key]]) }, "All of its object"),
    row.flow_id && h("a", { class: "button small", href: to("invocations", "", [["flow_id", row.flow_id]]) }, "All of its flow"),
    h("a", { class: "button small", href: to("invocations", "", [["service", row.service], ["handler", row.handler]]) }, "All of its handler"),
  );
}

function Children({ of: row }) {
  if (!row.children) return null;
  return h("div", { class: "panel" }, h("h2", null, "Its children"), h(FlowBar, { flow: row.children, who: "children", label: `Children of ${row.invocation_id}` }));
}

function Payload({ payload, show }) {
  const why = store.me?.role === "operator" ? null : "payloads need the role operator";
  if (payload === undefined) return h("div", { class: "buttons start" }, h(Button, { class: "small", why, onClick: show }, "Show its payload"));
  return h("div", { class: "panel" }, h("h2", null, "Payload"), h("pre", { tabindex: 0, "aria-label": "Payload" }, payload === null ? "none" : readable(payload)));
}

/** Text where the bytes are UTF-8, else base64. */
function readable(base64) {
  const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return `base64: ${base64}`;
  }
}

class ActDialog extends Component {
  render({ action, row, send, close }, { grace = "", on_timeout = "KILL", reason = "" }) {
    const wrong = graceFault({ action, grace });
    const submit = (event) => {
      event.preventDefault();
      if (wrong) return;
      send({ ...graceOf({ action, grace, on_timeout }), ...(reason ? { reason } : {}) });
    };
    return h(
      Dialog,
      { title: `${capital(action)} this invocation?`, onClose: close },
      h(
        "form",
        { onSubmit: submit },
        h("p", { class: "told" }, row.invocation_id),
        action === "PURGE" && h("p", null, "It is removed for good, with its payload."),
        action === "RESTART" && h("p", null, "It starts again from its payload, as its next attempt."),
        action === "CANCEL" && h("div", { class: "fields" }, h(Grace, { grace, on_timeout, wrong, put: (change) => this.setState(change) })),
        h(Input, { label: "Why", wide: true, value: reason, maxlength: 1000, autofocus: true, onInput: (text) => this.setState({ reason: text }) }),
        h("div", { class: "buttons" }, h(Button, { onClick: close }, "Leave it"), h(Button, { type: "submit", class: buttonOf(action), why: wrong }, `${capital(action)} it`)),
      ),
    );
  }
}
