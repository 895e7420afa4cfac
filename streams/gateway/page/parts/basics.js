/** Small parts that every screen uses. All text goes into the page as text. */

import { Component, createRef, h } from "../vendor/preact-10.29.8.js";
import { brief, exact, iso } from "../lib/format.js";
import { store } from "../lib/store.js";
import { capital, MEANINGS, toneOf } from "../lib/words.js";

/** A button. With `why` it cannot be used, says why when asked, and stays reachable by keyboard. */
export function Button({ why, onClick, children, class: kind = "", ...rest }) {
  const props = { type: "button", class: `button ${kind}`, ...rest };
  if (!why) return h("button", { ...props, onClick }, children);
  const say = (event) => {
    event.preventDefault();
    store.say(`Not possible: ${why}.`);
  };
  return h(
    "button",
    { ...props, "aria-disabled": "true", title: why, onClick: say },
    children,
    h("span", { class: "unseen" }, ` (not possible: ${why})`),
  );
}

/** A moment in the viewer's zone, with UTC at hand. */
export function Time({ at, whole = false }) {
  if (at === undefined || at === null) return "-";
  return h("time", { datetime: iso(at), title: `${exact(at)}\n${iso(at)} (UTC)` }, whole ? exact(at) : brief(at));
}

/** A state or status as a coloured word. */
export function Chip({ word, more = "" }) {
  return h("span", { class: `chip ${toneOf(word)}`, title: MEANINGS[word] }, capital(word), more);
}

/** What went wrong, with each fault by its field. */
export function Trouble({ problem, again }) {
  if (!problem) return null;
  const faults = problem.faults ?? [];
  const several = faults.length > 1;
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    h("p", null, several ? "It is refused, for more than one reason:" : problem.field ? problem.message : sentence(problem.message)),
    several && h("ul", null, faults.map((each) => h("li", null, named(each)))),
    again && h(Button, { onClick: again }, "Try again"),
  );
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function named(fault) {
  const name = fault.rule.startsWith(fault.field) ? "" : `${fault.field} `;
  return name + fault.rule;
}

/** A button that opens a list. It closes by Escape, by a click elsewhere, and when a link in it is followed. */
export class Menu extends Component {
  constructor(props) {
    super(props);
    this.element = createRef();
    this.close = (event) => {
      const menu = this.element.current;
      if (event.type === "keydown" ? event.key !== "Escape" : menu.contains(event.target) && !event.target.closest("a")) return;
      if (event.type === "keydown" && menu.open) menu.querySelector("summary").focus();
      menu.open = false;
    };
  }

  componentDidMount() {
    for (const kind of ["click", "keydown"]) document.addEventListener(kind, this.close);
  }

  componentWillUnmount() {
    for (const kind of ["click", "keydown"]) document.removeEventListener(kind, this.close);
  }

  render({ name, class: kind = "", children }) {
    return h("details", { ref: this.element, class: "menu" }, h("summary", { class: `button ${kind}` }, name), h("ul", null, children));
  }
}

/** A modal dialog; Escape or the cancel button closes it. */
export class Dialog extends Component {
  constructor(props) {
    super(props);
    this.element = createRef();
  }

  componentDidMount() {
    this.opener = document.activeElement;
    this.element.current.showModal();
  }

  componentWillUnmount() {
    this.opener?.focus();
  }

  render({ title, onClose, children }) {
    return h(
      "dialog",
      { ref: this.element, class: "dialog", "aria-labelledby": "dialog-title", onClose },
      h("h2", { id: "dialog-title" }, title),
      children,
    );
  }
}

/** A value to copy, in one click. */
export class Copy extends Component {
  render({ text, label = "Copy", class: kind = "" }, { copied }) {
    const copy = async () => {
      if (!(await toClipboard(text))) {
        store.say("This browser does not let the page copy: select the text and copy it by hand.");
        return;
      }
      this.setState({ copied: true });
      setTimeout(() => this.setState({ copied: false }), 1_500);
    };
    return h(Button, { class: `small ${kind}`, onClick: copy }, copied ? "Copied" : label);
  }
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS there is no clipboard but on this machine; the older way still works there.
    const area = document.createElement("textarea");
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Messages that come and go, read out by screen readers. */
export function Messages() {
  return h(
    "div",
    { class: "messages", role: "status", "aria-live": "polite" },
    store.messages.map((each) =>
      h(
        "p",
        { key: each, class: `notice ${each.bad ? "bad" : "good"}` },
        each.text,
        h("button", { type: "button", class: "close", "aria-label": "Close", onClick: () => store.unsay(each) }, "×"),
      ),
    ),
  );
}

/** The panel that tells of one thing: names and values, one pair a line. Pairs without a value are left out. */
export function About({ of }) {
  const given = of.filter(([, value]) => value !== null && value !== undefined && value !== false && value !== "");
  return h(
    "div",
    { class: "panel" },
    h("h2", null, "About it"),
    h("dl", { class: "facts" }, given.map(([name, value]) => h("div", { key: name }, h("dt", null, name), h("dd", null, value)))),
  );
}

/** A labelled input. `value` and `onInput(text)`; `wrong`: what is wrong with the value, told instead of the hint. */
export function Field({ label, hint, wrong, children, wide = false }) {
  return h(
    "label",
    { class: `field ${wide ? "wide" : ""} ${wrong ? "wrong" : ""}` },
    h("span", { class: "label" }, label),
    children,
    (wrong || hint) && h("span", { class: "hint" }, wrong || hint),
  );
}

export function Choice({ label, value, options, onChange, hint }) {
  const pairs = options.map((each) => (Array.isArray(each) ? each : [each, capital(each)]));
  return h(
    Field,
    { label, hint },
    h(
      "select",
      { value, onChange: (event) => onChange(event.target.value) },
      pairs.map(([name, words]) => h("option", { key: name, value: name, selected: name === value }, words)),
    ),
  );
}

export function Input({ label, value, onInput, hint, wrong, wide, ...rest }) {
  return h(
    Field,
    { label, hint, wrong, wide },
    h("input", { type: "text", autocomplete: "off", spellcheck: false, "aria-invalid": wrong ? "true" : undefined, ...rest, value, onInput: (event) => onInput(event.target.value) }),
  );
}

/** What a cancel says besides; `put(change)` of `grace` or `on_timeout`. */
export function Grace({ grace, on_timeout, put, hint, wrong }) {
  return [
    h(Input, { key: "grace", label: "Grace", value: grace, placeholder: "30s", hint, wrong, onInput: (text) => put({ grace: text }) }),
    h(Choice, { key: "then", label: "Then", value: on_timeout || "KILL", options: [["KILL", "kill it"], ["LEAVE", "leave it"]], onChange: (value) => put({ on_timeout: value }) }),
  ];
}

/** An input whose text counts once it is left, or by Enter. */
export class LateInput extends Component {
  render({ value, onChange, ...rest }, { text }) {
    const take = () => {
      this.setState({ text: undefined });
      if (text !== undefined && text.trim() !== value) onChange(text.trim());
    };
    const onKeyDown = (event) => event.key === "Enter" && take();
    return h(Input, { ...rest, value: text ?? value, onInput: (typed) => this.setState({ text: typed }), onBlur: take, onKeyDown });
  }
}

/** The heading of a screen. It takes the focus when the screen is entered. */
export function Heading({ children, aside }) {
  return h("header", { class: "heading" }, h("h1", { tabindex: -1 }, children), h("div", { class: "aside" }, aside));
}
