/**
 * The last question before a batch. It repeats action, filter and number; a large number is to be typed; it is counted
 * again first, and asked again where the number has changed by more than a tenth.
 */

import { Component, h } from "../vendor/preact-10.29.8.js";
import { inWords, toFilter } from "../lib/filter.js";
import { count, exact, number } from "../lib/format.js";
import { dryRun, hasMoved } from "../lib/preview.js";
import { buttonOf, capital, DID } from "../lib/words.js";
import { Button, Dialog, Input, Trouble } from "./basics.js";

const TYPED_ABOVE = 10_000;
const FRESH_MS = 2_000;
const PATIENCE_MS = 10_000;

export class Confirmation extends Component {
  constructor(props) {
    super(props);
    this.state = { typed: "", number: props.found?.run.done ?? null, busy: null, problem: null, moved: null };
    this.leaving = new AbortController();
  }

  componentWillUnmount() {
    this.leaving.abort();
  }

  /** Count again, unless that was just done or nothing was counted at all; then send. */
  async go() {
    this.setState({ problem: null, busy: "counting again" });
    try {
      if (!(await this.stillSo())) return;
      this.setState({ busy: "sending" });
      await this.props.send();
    } catch (problem) {
      if (problem.name !== "AbortError") this.setState({ problem, busy: null });
    }
  }

  async stillSo() {
    const { found, draft, recount } = this.props;
    if (!found || this.state.unsure || Date.now() - found.at < FRESH_MS) return true;
    const signal = AbortSignal.any([this.leaving.signal, AbortSignal.timeout(PATIENCE_MS)]);
    let run;
    try {
      run = await dryRun(draft, signal);
    } catch (problem) {
      if (this.leaving.signal.aborted || problem.status) throw problem;
      this.setState({ busy: null, unsure: true });
      return false;
    }
    const then = this.state.number;
    recount(run);
    if (!hasMoved(then, run.done)) return true;
    this.setState({ busy: null, number: run.done, moved: [then, run.done], typed: "" });
    return false;
  }

  why() {
    const { number: many, busy, typed } = this.state;
    if (busy) return `it is ${busy}`;
    if (many === 0 && !this.props.draft.standing_until) return "nothing matches any longer";
    if (many > TYPED_ABOVE && typed.replaceAll(/[\s,.]/g, "") !== String(many)) return "type the number first";
    return null;
  }

  render({ draft, close }, { typed, number: many, busy, problem, moved, unsure }) {
    const why = this.why();
    const word = capital(draft.action);
    const submit = (event) => {
      event.preventDefault();
      if (!why) this.go();
    };
    return h(
      Dialog,
      { title: many === null ? `${word} an unknown number of invocations?` : `${word} ${count(many, "invocation")}?`, onClose: close },
      h(
        "form",
        { onSubmit: submit },
        moved && h("p", { class: "notice bad", role: "alert" }, `The number has changed from ${number(moved[0])} to ${number(moved[1])} since you were asked. Is it still what you mean?`),
        unsure && h("p", { class: "notice bad", role: "alert" }, "Counting again takes long. Once more starts it without: the number may have changed."),
        many === null && h("p", { class: "notice bad" }, "It was not counted: you do not know how many it will be."),
        h("p", { class: "told" }, inWords(toFilter(draft.conditions, draft.all))),
        h("ul", null, terms(draft).map((each) => h("li", { key: each }, each))),
        many > TYPED_ABOVE &&
          h(Input, { label: `Type ${number(many)} to confirm`, value: typed, inputmode: "numeric", autofocus: true, onInput: (text) => this.setState({ typed: text }) }),
        h(Trouble, { problem }),
        h(
          "div",
          { class: "buttons" },
          h(Button, { onClick: close, autofocus: !(many > TYPED_ABOVE) }, "Leave them"),
          h(Button, { type: "submit", class: buttonOf(draft.action), why }, busy ? `${capital(busy)} ...` : many === null ? `${word} them` : `${word} ${number(many)}`),
        ),
      ),
    );
  }
}

/** What else the batch does, a sentence each. */
function terms(draft) {
  const said = [];
  if (draft.action === "CANCEL") {
    said.push(`What has not ended within ${draft.grace || "30s"} is ${draft.on_timeout === "LEAVE" ? "left" : "killed"}.`);
  }
  if (draft.action === "PURGE") said.push("They are removed for good, payloads included.");
  if (draft.limit) said.push(`At most ${number(Number(draft.limit))} of them.`);
  if (draft.max_rate) said.push(`At most ${number(Number(draft.max_rate))} a second.`);
  if (draft.standing_until) said.push(`What else matches and arrives until ${exact(draft.standing_until)} is ${DID[draft.action]}, too.`);
  if (draft.expires_at) said.push(`It is aborted at ${exact(draft.expires_at)} if it is still at work.`);
  said.push(draft.reason ? `Because: ${draft.reason}` : "Without a reason: nobody will know later why.");
  return said;
}
