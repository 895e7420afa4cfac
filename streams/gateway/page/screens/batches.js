/** All batches, newest first, with their controls. */

import { Component, h } from "../vendor/preact-10.29.8.js";
import { get } from "../lib/api.js";
import { inWords, isTime } from "../lib/filter.js";
import { ms, zone } from "../lib/format.js";
import { one, replace, to } from "../lib/route.js";
import { Screen } from "../lib/screen.js";
import { store } from "../lib/store.js";
import { ACTIONS, AT_WORK, BATCH_STATES, capital, stands, toneOf } from "../lib/words.js";
import { BatchBar, speed } from "../parts/bar.js";
import { Button, Chip, Choice, Heading, LateInput, Time, Trouble } from "../parts/basics.js";
import { Controls } from "../parts/controls.js";
import { TimeInput } from "../parts/filter-form.js";

const PAGE = 50;
const UNDER_WAY = "under way";

export class Batches extends Screen {
  enter() {
    this.ask();
  }

  componentDidUpdate(before) {
    if (JSON.stringify(before.query) !== JSON.stringify(this.props.query)) this.ask();
  }

  wanted() {
    const { query } = this.props;
    const names = ["state", "action", "actor", "from", "until", "previews"];
    return Object.fromEntries(names.map((name) => [name, one(query, name)]));
  }

  /** Load the newest batches that are wanted, or those behind `cursor`. */
  ask(cursor = null) {
    const { state, action, actor, from, until, previews } = this.wanted();
    const query = [
      ...(state === UNDER_WAY ? AT_WORK.map((each) => ["state", each]) : [["state", state]]),
      ["action", action],
      ["actor", actor],
      ["created_from", from],
      ["created_until", until],
      ["dry_run", previews ? "" : "false"],
      ["limit", PAGE],
      ["cursor", cursor],
    ];
    this.load(async (signal) => {
      const { items, next_cursor: next } = await get("/batches", query, signal);
      store.take("batch", items);
      return { next: next ?? null, oldest: next && items.length ? ms(items.at(-1).created_at) : null, asked: true };
    });
  }

  /** What is wanted of all that is known, down to the oldest that was loaded. */
  shown() {
    const { state, action, actor, from, until, previews } = this.wanted();
    const oldest = this.state.oldest ?? 0;
    const fits = (batch) =>
      (previews || !batch.dry_run) &&
      (!state || (state === UNDER_WAY ? AT_WORK.includes(batch.state) : batch.state === state)) &&
      (!action || batch.action === action) &&
      (!actor || batch.actor === actor) &&
      (!from || ms(batch.created_at) >= ms(from)) &&
      (!until || ms(batch.created_at) < ms(until)) &&
      ms(batch.created_at) >= oldest;
    return [...store.batches.values()].filter(fits).sort((one_, two) => ms(two.created_at) - ms(one_.created_at));
  }

  render(_, { problem, busy, next, asked }) {
    const batches = this.shown();
    const wanted = this.wanted();
    const narrowed = Object.values(wanted).some(Boolean);
    return h(
      "section",
      null,
      h(Heading, { aside: h("a", { class: "button primary", href: to("new") }, "New batch") }, "Batches"),
      h(Narrow, { wanted }),
      h(Trouble, { problem, again: () => this.ask() }),
      asked && !batches.length && h(Empty, { narrowed }),
      !asked && !problem && !batches.length && h("p", { class: "muted" }, "Loading ..."),
      h("ol", { class: "batches" }, batches.map((batch) => h(BatchRow, { key: batch.batch_id, batch, asked: store.asked.get(batch.batch_id), me: store.me, utc: zone.utc }))),
      next && h("div", { class: "buttons start" }, h(Button, { why: busy ? "they are being loaded" : null, onClick: () => this.ask(next) }, "Older batches")),
    );
  }
}

function Empty({ narrowed }) {
  if (narrowed) return h("p", { class: "empty" }, "No batch fits. ", h("a", { href: to("batches") }, "Show all"));
  return h(
    "p",
    { class: "empty" },
    "No batch yet. A batch is one action on all invocations that a filter matches. ",
    h("a", { href: to("new") }, "Start the first"),
  );
}

const isShown = (time) => time === "" || isTime(time);

/** Which batches are shown; kept in the address. */
function Narrow({ wanted }) {
  const put = (change) => replace(to("batches", "", Object.entries({ ...wanted, ...change })));
  const any = (words, values) => [["", words], ...values.map((each) => [each, capital(each)])];
  return h(
    "form",
    { class: "narrow", onSubmit: (event) => event.preventDefault(), "aria-label": "Which batches" },
    h(Choice, { label: "State", value: wanted.state, options: any("any", [UNDER_WAY, ...BATCH_STATES]), onChange: (state) => put({ state }) }),
    h(Choice, { label: "Action", value: wanted.action, options: any("any", ACTIONS), onChange: (action) => put({ action }) }),
    h(LateInput, { label: "Who", value: wanted.actor, placeholder: "anybody", onChange: (actor) => put({ actor }) }),
    h(TimeInput, { label: "Asked from", value: wanted.from, onChange: (from) => isShown(from) && put({ from }) }),
    h(TimeInput, { label: "Asked before", value: wanted.until, onChange: (until) => isShown(until) && put({ until }) }),
    h(
      "label",
      { class: "tick" },
      h("input", { type: "checkbox", checked: Boolean(wanted.previews), onChange: (event) => put({ previews: event.target.checked ? "1" : "" }) }),
      "previews, too",
    ),
  );
}

/** One batch in the list; drawn again only if it has changed. */
class BatchRow extends Component {
  shouldComponentUpdate({ batch, asked, me, utc }) {
    const { props } = this;
    return batch !== props.batch || asked !== props.asked || me !== props.me || utc !== props.utc;
  }

  render({ batch }) {
    return h(Row, { batch });
  }
}

function Row({ batch }) {
  const told = inWords(batch.filter, batch.invocation_ids_count);
  return h(
    "li",
    { class: `batch row ${toneOf(batch.state)}` },
    h(
      "div",
      { class: "what" },
      h("a", { class: "title", href: to("batch", batch.batch_id) }, h("b", null, capital(batch.action)), batch.dry_run && " (preview)", " ", h("span", { class: "told" }, told)),
      h(
        "p",
        { class: "muted who" },
        h(Time, { at: batch.created_at }),
        batch.actor && [" by ", h("b", null, batch.actor)],
        batch.reason && [": ", h("q", null, batch.reason)],
      ),
      stands(batch) && h("p", { class: "muted" }, "stands until ", h(Time, { at: batch.standing_until })),
      batch.error && h("p", { class: "error" }, batch.error),
    ),
    h("div", { class: "how" }, h("p", { class: "state" }, h(Chip, { word: batch.state }), h("span", { class: "muted" }, speed(batch))), h(BatchBar, { batch })),
    batch.dry_run ? h("div", { class: "controls" }) : h(Controls, { batch }),
  );
}
