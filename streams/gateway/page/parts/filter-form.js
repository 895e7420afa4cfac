/** The filter builder: one line a condition, with completion from what exists. */

import { Component, h } from "../vendor/preact-10.29.8.js";
import { exact, iso, parseTime } from "../lib/format.js";
import { FIELDS, isTime } from "../lib/filter.js";
import { known } from "../lib/known.js";
import { capital, STATUSES } from "../lib/words.js";
import { Button, Choice } from "./basics.js";

export const fresh = (field, not) => ({ field, not, ...(FIELDS[field].range ? { from: "", until: "" } : { values: [] }) });

/** `conditions`, and `onChange(conditions)`. `statuses`: those that make sense here. */
export function FilterForm({ conditions, onChange, statuses = STATUSES }) {
  const put = (place, condition) => onChange(conditions.map((each, at) => (at === place ? condition : each)));
  const drop = (place) => onChange(conditions.filter((_, at) => at !== place));
  const next = Object.keys(FIELDS).find((field) => !conditions.some((each) => each.field === field)) ?? "label";
  return h(
    "div",
    { class: "filter" },
    conditions.map((condition, place) =>
      h(Condition, { key: place, condition, statuses, put: (each) => put(place, each), drop: () => drop(place), first: place === 0 }),
    ),
    h(Button, { class: "small", onClick: () => onChange([...conditions, fresh(next, false)]) }, "+ condition"),
    Object.entries(FIELDS).map(([name]) => h(Completion, { key: name, name })),
  );
}

function Completion({ name }) {
  const values = known.of(name);
  return values.length > 0 && h("datalist", { id: `known-${name}` }, values.map((each) => h("option", { key: each, value: each })));
}

function Condition({ condition, statuses, put, drop, first }) {
  const field = FIELDS[condition.field];
  const names = Object.entries(FIELDS).map(([name, each]) => [name, each.words]);
  const choose = (name) => put(fresh(name, condition.not && !FIELDS[name].once));
  return h(
    "div",
    { class: "condition", role: "group", "aria-label": `Condition on ${field.words}` },
    h("span", { class: "joint", "aria-hidden": "true" }, first ? "where" : condition.not ? "but" : "and"),
    h(Choice, { label: "Field", value: condition.field, options: names, onChange: choose }),
    h(Choice, {
      label: "How",
      value: condition.not ? "not" : "is",
      options: field.once ? [["is", "is"]] : [["is", "is"], ["not", "is not"]],
      onChange: (how) => put({ ...condition, not: how === "not" }),
    }),
    field.range
      ? h(Range, { condition, put })
      : condition.field === "status"
        ? h(Statuses, { condition, put, statuses })
        : h(Values, { condition, put, words: field.words }),
    h(Button, { class: "small quiet", "aria-label": `Remove the condition on ${field.words}`, onClick: drop }, "×"),
  );
}

function Statuses({ condition, put, statuses }) {
  const shown = STATUSES.filter((each) => statuses.includes(each) || condition.values.includes(each));
  const turn = (status) => {
    const values = condition.values.includes(status)
      ? condition.values.filter((each) => each !== status)
      : [...condition.values, status];
    put({ ...condition, values });
  };
  return h(
    "div",
    { class: "values statuses" },
    shown.map((status) =>
      h(
        "label",
        { key: status, class: "tick" },
        h("input", { type: "checkbox", checked: condition.values.includes(status), onChange: () => turn(status) }),
        capital(status),
      ),
    ),
  );
}

/** Any number of values: Enter, or leaving the input, adds what is typed; pasted lines are several. */
class Values extends Component {
  render({ condition, put, words }, { text = "" }) {
    const add = (typed) => {
      const values = typed.split(/[\r\n]+/).map((each) => each.trim()).filter(Boolean);
      this.setState({ text: "" });
      if (values.length) put({ ...condition, values: [...new Set([...condition.values, ...values])] });
    };
    const onKey = (event) => {
      if (event.key === "Enter" && text.trim()) {
        event.preventDefault();
        add(text);
      } else if (event.key === "Backspace" && text === "" && condition.values.length) {
        put({ ...condition, values: condition.values.slice(0, -1) });
      }
    };
    const onPaste = (event) => {
      const pasted = event.clipboardData.getData("text");
      if (!/[\r\n]/.test(pasted.trim())) return;
      event.preventDefault();
      add(pasted);
    };
    return h(
      "div",
      { class: "values" },
      condition.values.slice(0, 50).map((value) => h(Value, { key: value, value, drop: () => put({ ...condition, values: condition.values.filter((each) => each !== value) }) })),
      condition.values.length > 50 && h("span", { class: "muted" }, `and ${condition.values.length - 50} more`),
      h("input", {
        type: "text",
        class: "grow",
        list: `known-${condition.field}`,
        "aria-label": `Add a value of ${words}`,
        placeholder: condition.field === "label" ? "key=value" : condition.values.length ? "or ..." : words,
        autocomplete: "off",
        spellcheck: false,
        value: text,
        onInput: (event) => this.setState({ text: event.target.value }),
        onKeyDown: onKey,
        onBlur: () => add(text),
        onPaste,
      }),
    );
  }
}

function Value({ value, drop }) {
  return h("span", { class: "value" }, value, h("button", { type: "button", "aria-label": `Remove ${value}`, onClick: drop }, "×"));
}

function Range({ condition, put }) {
  return h(
    "div",
    { class: "values times" },
    h(TimeInput, { label: "from", value: condition.from, onChange: (from) => put({ ...condition, from }) }),
    h(TimeInput, { label: "before", value: condition.until, onChange: (until) => put({ ...condition, until }) }),
  );
}

/** A time, typed as 2h, 14:30, a date, or ISO. `onChange` gets RFC 3339, "", or what cannot be read as it was typed. */
export class TimeInput extends Component {
  render({ label, value, onChange, ahead = false, placeholder = "any time, like 2h" }, { text }) {
    const known = value && isTime(value);
    const shown = text ?? (known ? exact(value) : value);
    const read = shown.trim() === "" ? null : text === undefined && known ? value : parseTime(shown, ahead);
    const wrong = shown.trim() !== "" && read === null;
    const take = () => {
      if (text === undefined) return;
      if (!wrong) this.setState({ text: undefined });
      onChange(wrong || read === null ? shown.trim() : iso(read));
    };
    const hint = wrong
      ? `not a time: write 2h, 14:30, 2026-11-29 14:30 or ISO`
      : read !== null && iso(read);
    return h(
      "label",
      { class: `field time ${wrong ? "wrong" : ""}` },
      h("span", { class: "label" }, label),
      h("input", {
        type: "text",
        autocomplete: "off",
        placeholder,
        value: shown,
        "aria-invalid": wrong ? "true" : undefined,
        onInput: (event) => this.setState({ text: event.target.value }),
        onChange: take,
        onKeyDown: (event) => event.key === "Enter" && take(),
      }),
      hint && h("span", { class: "hint" }, hint),
    );
  }
}
