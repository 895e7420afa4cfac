/** The controls of a batch. A click shows "asked" until the log has answered. */

import { Component, h } from "../vendor/preact-10.29.8.js";
import { post } from "../lib/api.js";
import { number } from "../lib/format.js";
import { store } from "../lib/store.js";
import { plain, WAITS, whyNot } from "../lib/words.js";
import { Button, Dialog, Input } from "./basics.js";

/** Ask for a control of a batch; a refusal is told as a message. */
export async function control(batch, operation, maxRate = undefined) {
  const asked = { operation, max_rate: maxRate };
  store.ask(batch.batch_id, asked);
  try {
    await post("/batch-controls", {
      batch_id: batch.batch_id,
      operation,
      ...(maxRate === undefined ? {} : { max_rate: maxRate }),
    });
  } catch (problem) {
    if (store.asked.get(batch.batch_id) === asked) store.unask(batch.batch_id);
    store.say(problem.message);
  }
}

const WORDS = { PAUSE: "Pause", RESUME: "Resume", SET_RATE: "Rate", ABORT: "Abort" };

export class Controls extends Component {
  render({ batch }, { open }) {
    const asked = store.asked.get(batch.batch_id);
    const close = () => this.setState({ open: null });
    const does = {
      PAUSE: () => control(batch, "PAUSE"),
      RESUME: () => control(batch, "RESUME"),
      SET_RATE: () => this.setState({ open: "SET_RATE" }),
      ABORT: () => this.setState({ open: "ABORT" }),
    };
    const first = batch.state === "PAUSED" ? "RESUME" : "PAUSE";
    return h(
      "div",
      { class: "controls", role: "group", "aria-label": `Controls of batch ${batch.batch_id}` },
      [first, "SET_RATE", "ABORT"].map((operation) => {
        const waits = asked?.operation === operation;
        const why = waits ? WAITS : whyNot(batch, operation, store.me);
        const props = { key: operation, why, onClick: does[operation], class: `small ${waits ? "asked" : ""}` };
        return h(Button, props, waits ? `${WORDS[operation]}: asked` : WORDS[operation]);
      }),
      open === "SET_RATE" && h(RateDialog, { batch, close }),
      open === "ABORT" && h(AbortDialog, { batch, close }),
    );
  }
}

class RateDialog extends Component {
  render({ batch, close }, { text = String(batch.max_rate ?? "") }) {
    const rate = Number(text);
    const valid = text.trim() !== "" && Number.isFinite(rate) && rate > 0;
    const send = (event) => {
      event.preventDefault();
      if (!valid) return;
      close();
      control(batch, "SET_RATE", rate);
    };
    return h(
      Dialog,
      { title: "Change the rate", onClose: close },
      h(
        "form",
        { onSubmit: send },
        h("p", null, batch.max_rate ? `Now at most ${number(batch.max_rate)} a second.` : "Now without a limit."),
        h(Input, {
          label: "At most this many invocations a second, over all partitions",
          value: text,
          inputmode: "decimal",
          autofocus: true,
          onInput: (typed) => this.setState({ text: typed }),
        }),
        h(
          "div",
          { class: "buttons" },
          h(Button, { onClick: close }, "Leave it"),
          h(Button, { type: "submit", class: "primary", why: valid ? null : "it takes a number above 0" }, "Set the rate"),
        ),
      ),
    );
  }
}

function AbortDialog({ batch, close }) {
  const abort = () => {
    close();
    control(batch, "ABORT");
  };
  return h(
    Dialog,
    { title: "Abort this batch for good?", onClose: close },
    h("p", null, `What it has done stays done: ${number(batch.done)} so far. What it has asked to end is awaited. It cannot go on later; pause it for that.`),
    h(
      "div",
      { class: "buttons" },
      h(Button, { onClick: close, autofocus: true }, "Leave it"),
      h(Button, { class: "danger", onClick: abort }, `Abort the ${plain(batch.action)}`),
    ),
  );
}
