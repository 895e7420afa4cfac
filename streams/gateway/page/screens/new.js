/** A new batch: filter builder, preview, confirmation. All of it stands in the address. */

import { h } from "../vendor/preact-10.29.8.js";
import { newBatchId, post } from "../lib/api.js";
import { canStand, draftFault, fieldFaults, fitting, fromAddress, toAddress, toBody } from "../lib/draft.js";
import { fault, isSaid } from "../lib/filter.js";
import { go, one, replace, to } from "../lib/route.js";
import { breakdown, dryRun } from "../lib/preview.js";
import { Screen } from "../lib/screen.js";
import { store } from "../lib/store.js";
import { ACTIONS, capital, lookedAt, whyRole } from "../lib/words.js";
import { Button, Grace, Heading, Input, Trouble } from "../parts/basics.js";
import { Commands } from "../parts/commands.js";
import { Confirmation } from "../parts/confirmation.js";
import { FilterForm, fresh, TimeInput } from "../parts/filter-form.js";
import { Counting, Found } from "../parts/found.js";

const EXPLAINED = {
  CANCEL: "Asks executors to end them; what has not ended within the grace is killed, or left. What never started ends at once.",
  KILL: "Ends them at once, whatever their executors do.",
  PAUSE: "Holds them where they stand, until they are resumed, cancelled or killed.",
  RESUME: "Lets paused ones go on: what was started starts again, from its beginning, as its next attempt.",
  RESTART: "Starts ended ones again, from the payload kept, under the same id, as their next attempt.",
  PURGE: "Removes ended ones for good, with their payloads, before their retention is over.",
};

export class NewBatch extends Screen {
  constructor(props) {
    super(props);
    const draft = fromAddress(props.query);
    if (!draft.conditions.length && !draft.all) draft.conditions = [fresh("service", false)];
    this.state = { draft };
    // Kept from the first try on, so that a click again after a lost answer is still one batch.
    this.batchId = newBatchId();
  }

  enter() {
    if (one(this.props.query, "preview") && !this.why()) this.preview();
  }

  componentDidUpdate(before) {
    const address = JSON.stringify(this.props.query);
    if (address === JSON.stringify(before.query)) return;
    const draft = fromAddress(this.props.query);
    // The address lags behind what is typed: a condition without a value is not in it.
    if (toAddress(draft) !== toAddress(this.state.draft)) this.setState({ draft, found: null });
  }

  put(change) {
    const draft = { ...this.state.draft, ...change };
    if (change.action) draft.conditions = fitting(draft.action, draft.conditions);
    this.counting?.abort();
    this.batchId = newBatchId();
    this.setState({ draft, found: null, counting: false, problem: null, confirming: false });
    replace(toAddress(draft));
  }

  why() {
    return whyRole(store.me) ?? draftFault(this.state.draft);
  }

  async preview() {
    const { draft } = this.state;
    this.counting?.abort();
    const counting = new AbortController();
    this.counting = counting;
    const signal = AbortSignal.any([counting.signal, this.leaving.signal]);
    this.setState({ counting: Date.now(), found: null, problem: null });
    try {
      const run = await dryRun(draft, signal);
      if (signal.aborted) return;
      this.setState({ counting: false, found: { run, table: null, at: Date.now() } });
      const table = await breakdown(draft, signal).catch(() => null);
      if (!signal.aborted) this.setState(({ found }) => ({ found: found && { ...found, table } }));
    } catch (problem) {
      if (!signal.aborted) this.setState({ counting: false, problem });
    }
  }

  /** Send the batch; a Problem is thrown to the confirmation, which shows it. */
  async send() {
    await post("/batches", toBody(this.state.draft, this.batchId), { "Idempotency-Key": this.batchId });
    store.sent.add(this.batchId);
    go(to("batch", this.batchId));
  }

  render(_, { draft, found, counting, problem, confirming }) {
    const why = this.why();
    const stop = (change = {}) => {
      this.counting?.abort();
      this.setState({ counting: false, ...change });
    };
    return h(
      "section",
      null,
      h(Heading, null, "New batch"),
      h(Which, { draft, put: (change) => this.put(change) }),
      h(HowMuch, { draft, put: (change) => this.put(change) }),
      h(
        "div",
        { class: "buttons start" },
        h(Button, { class: "primary", why: counting ? "it is being counted" : why, onClick: () => this.preview() }, found ? "Preview again" : "Preview"),
        h("span", { class: "muted" }, why ? `Not yet: ${why}.` : "A dry run counts what matches; nothing is touched."),
      ),
      h(Trouble, { problem }),
      counting && h(Counting, { since: counting, stop: () => stop(), goOn: () => stop({ confirming: true }) }),
      found && h(Found, { draft, found, confirm: () => this.setState({ confirming: true }) }),
      confirming &&
        h(Confirmation, { draft, found, send: () => this.send(), close: () => this.setState({ confirming: false }), recount: (run) => this.setState({ found: { ...found, run, at: Date.now() } }) }),
      !draftFault(draft) && h(Commands, { draft }),
    );
  }
}

function Which({ draft, put }) {
  const said = draft.conditions.some((each) => isSaid(each) && !each.not);
  return h(
    "fieldset",
    { class: "panel" },
    h("legend", null, "What, and which"),
    h(
      "div",
      { class: "actions", role: "radiogroup", "aria-label": "Action" },
      ACTIONS.map((action) =>
        h(
          "label",
          { key: action, class: `option ${draft.action === action ? "chosen" : ""}` },
          h("input", { type: "radio", name: "action", value: action, checked: draft.action === action, onChange: () => put({ action }) }),
          capital(action),
        ),
      ),
    ),
    h("p", { class: "muted" }, EXPLAINED[draft.action]),
    h(FilterForm, { conditions: draft.conditions, statuses: lookedAt(draft.action), onChange: (conditions) => put({ conditions }) }),
    (!said || draft.all) &&
      h(
        "label",
        { class: "tick" },
        h("input", { type: "checkbox", checked: draft.all, onChange: (event) => put({ all: event.target.checked, conditions: draft.conditions.filter(isSaid) }) }),
        "all invocations, but those that the conditions leave out",
      ),
    h("p", { class: "error" }, fault(draft.conditions)),
  );
}

function HowMuch({ draft, put }) {
  const wrong = fieldFaults(draft);
  return h(
    "fieldset",
    { class: "panel" },
    h("legend", null, "How"),
    h(
      "div",
      { class: "fields" },
      draft.action === "CANCEL" && h(Grace, { ...draft, put, hint: "how long executors have to end it", wrong: wrong.grace }),
      h(Input, { label: "At most", value: draft.limit, placeholder: "all that match", inputmode: "numeric", wrong: wrong.limit, onInput: (limit) => put({ limit: limit.trim() }) }),
      h(Input, { label: "A second", value: draft.max_rate, placeholder: "as fast as it goes", inputmode: "decimal", wrong: wrong.max_rate, onInput: (max_rate) => put({ max_rate: max_rate.trim() }) }),
      canStand(draft) &&
        h(TimeInput, { label: "Also what arrives until", ahead: true, placeholder: "nothing, or 2h", value: draft.standing_until, onChange: (standing_until) => put({ standing_until }) }),
      h(TimeInput, { label: "Abort it at", ahead: true, placeholder: "never, or 2h", value: draft.expires_at, onChange: (expires_at) => put({ expires_at }) }),
      h(Input, { label: "Why", wide: true, value: draft.reason, maxlength: 1000, placeholder: "kept with all that it ends", onInput: (reason) => put({ reason }) }),
    ),
  );
}
