/** Invocations that a filter matches, newest first. Filter and columns stand in the address. */

import { h } from "../vendor/preact-10.29.8.js";
import { get } from "../lib/api.js";
import { fitting, fromAddress, toAddress } from "../lib/draft.js";
import { fault, fromQuery, isSaid, toQuery } from "../lib/filter.js";
import { count, keep, kept, number } from "../lib/format.js";
import { one, replace, to } from "../lib/route.js";
import { tally } from "../lib/preview.js";
import { Screen } from "../lib/screen.js";
import { ACTIONS, capital } from "../lib/words.js";
import { Button, Chip, Heading, Menu, Time, Trouble } from "../parts/basics.js";
import { FilterForm } from "../parts/filter-form.js";
import { FewCounts } from "../parts/tallies.js";

const PAGE = 100;
const MOST_EMPTY_PAGES = 20;
const EACH_MS = 5_000;
/** Counting looks at every row: while the list is followed it is done less often. */
const COUNTED_EACH_MS = 60_000;

const COLUMNS = {
  id: ["id", (row) => h("a", { class: "id", href: to("invocation", row.invocation_id) }, row.invocation_id)],
  service: ["service", (row) => row.service],
  handler: ["handler", (row) => row.handler],
  status: ["status", (row) => h(Chip, { word: row.status, more: row.held ? " (held)" : "" })],
  modified: ["since", (row) => h(Time, { at: row.modified_at })],
  created: ["created", (row) => h(Time, { at: row.created_at })],
  attempt: ["attempt", (row) => number(row.attempt)],
  by: ["ended by", (row) => endedBy(row.ending)],
  labels: ["labels", (row) => labelsOf(Object.entries(row.labels ?? {}))],
  deployment: ["deployment", (row) => row.deployment_id],
  object: ["object", (row) => row.object_key],
  flow: ["flow", (row) => row.flow_id && h("a", { href: to("flow", row.flow_id) }, row.flow_id)],
  parent: ["parent", (row) => row.parent_id && h("a", { href: to("invocation", row.parent_id) }, row.parent_id)],
  scheduled: ["scheduled", (row) => row.scheduled_at && h(Time, { at: row.scheduled_at })],
  partition: ["partition", (row) => row.partition],
};
const USUAL = ["id", "service", "handler", "status", "modified", "created", "labels", "by"];

function labelsOf(labels) {
  return labels.length > 0 && h("span", { class: "labels" }, labels.map(([key, value]) => h("span", { key, class: "value" }, `${key}=${value}`)));
}

function endedBy(ending) {
  const cause = ending?.cause ?? {};
  if (cause.batch_id) return h("a", { href: to("batch", cause.batch_id) }, cause.actor ?? "a batch");
  if (cause.flow_id) return h("a", { href: to("flow", cause.flow_id) }, `flow ${cause.flow_id}`);
  return cause.actor;
}

export class Invocations extends Screen {
  constructor(props) {
    super(props);
    this.state = { conditions: fromQuery(props.query), rows: [] };
  }

  enter() {
    this.ask();
    this.every(EACH_MS, () => this.state.follows && !this.state.busy && this.ask());
  }

  componentDidUpdate(before) {
    const [then, now] = [before, this.props].map(({ query }) => JSON.stringify(toQuery(fromQuery(query))));
    if (then === now) return;
    this.setState({ conditions: fromQuery(this.props.query), rows: [], next: null });
    this.ask();
  }

  /** Ask for the newest rows, or for those behind `cursor`; a page may be empty while there are more. */
  ask(cursor = null) {
    const filter = toQuery(fromQuery(this.props.query));
    const before = cursor ? this.state.rows : [];
    this.load(async (signal) => {
      if (!cursor) this.count(filter);
      const found = [];
      let [next, page] = [cursor, null];
      for (let pages = 0; pages < MOST_EMPTY_PAGES && found.length < PAGE / 2; pages += 1) {
        page = await get("/invocations", [...filter, ["limit", PAGE], ["cursor", next]], signal);
        found.push(...page.items);
        next = page.next_cursor ?? null;
        if (!next) break;
      }
      return { rows: [...before, ...found], next, asOf: page.as_of, missing: page.missing_partitions ?? [], asked: true };
    });
  }

  /** Count the rows by status, beside their list, which does not wait for it. */
  count(filter) {
    const address = JSON.stringify(filter);
    if (this.counted === address && Date.now() - this.countedAt < COUNTED_EACH_MS) return;
    [this.counted, this.countedAt] = [address, Date.now()];
    const show = (counts) => this.counted === address && this.setState({ counts });
    get("/invocation-counts", filter, this.leaving.signal).then((found) => show(tally(found)), () => show(null));
  }

  /** All of it once more, counted, too. */
  refresh() {
    this.countedAt = 0;
    this.ask();
  }

  columns() {
    const chosen = (one(this.props.query, "columns") || kept("columns") || "").split(",").filter((name) => Object.hasOwn(COLUMNS, name));
    return chosen.length ? chosen : USUAL;
  }

  /** Put filter and columns into the address. */
  put(conditions, columns = one(this.props.query, "columns")) {
    this.setState({ conditions });
    replace(to("invocations", "", [...toQuery(conditions), ["columns", columns]]));
  }

  render(_, { conditions, rows, next, asOf, busy, problem, missing = [], asked, counts, follows }) {
    const columns = this.columns();
    const wrong = fault(conditions);
    return h(
      "section",
      null,
      h(Heading, { aside: h(Acts, { conditions }) }, "Invocations"),
      h("div", { class: "panel" }, h(FilterForm, { conditions, onChange: (changed) => (fault(changed) ? this.setState({ conditions: changed }) : this.put(changed)) }), h("p", { class: "error" }, wrong)),
      h(
        "div",
        { class: "toolbar" },
        h(Columns, { columns, onChange: (chosen) => (keep("columns", chosen.join(",")), this.put(conditions, chosen.join(","))) }),
        h("label", { class: "tick" }, h("input", { type: "checkbox", checked: follows, onChange: (event) => this.setState({ follows: event.target.checked }) }), "follow"),
        h(Button, { class: "small", why: busy ? "it is being loaded" : null, onClick: () => this.refresh() }, "Refresh"),
        asOf && h("span", { class: "muted" }, "as of ", h(Time, { at: asOf })),
        h(FewCounts, { counts }),
      ),
      h(Trouble, { problem, again: () => this.ask() }),
      missing.length > 0 && h("p", { class: "notice bad" }, `No answer from ${count(missing.length, "partition")} (${missing.join(", ")}): rows are missing here. No worker serves them now, or it is slow.`),
      rows.length > 0 && h(Rows, { rows, columns }),
      asked && !rows.length && !next && h("p", { class: "empty" }, conditions.some(isSaid) ? "None matches." : "There are no invocations."),
      !asked && !problem && h("p", { class: "muted" }, "Loading ..."),
      next && h("div", { class: "buttons start" }, h(Button, { why: busy ? "they are being loaded" : null, onClick: () => this.ask(next) }, busy ? "Loading ..." : "More")),
    );
  }
}

/** Start a batch on what is shown; not one on more than that, because its action looks at none of the statuses. */
function Acts({ conditions }) {
  const said = conditions.filter((each) => isSaid(each) && !each.not);
  const act = (action) => {
    const words = `${capital(action)} ...`;
    if (!fitting(action, said).every(isSaid)) return h(Button, { class: "quiet", why: "none of these statuses is one that it looks at" }, words);
    const draft = { ...fromAddress([]), action, conditions: fitting(action, conditions), all: !said.length };
    return h("a", { href: toAddress(draft) }, words);
  };
  return h(Menu, { name: "Act on all of these" }, ACTIONS.map((action) => h("li", { key: action }, act(action))));
}

function Columns({ columns, onChange }) {
  const turn = (name) => onChange(Object.keys(COLUMNS).filter((each) => (each === name ? !columns.includes(name) : columns.includes(each))));
  return h(
    Menu,
    { name: "Columns", class: "small" },
    Object.entries(COLUMNS).map(([name, [words]]) =>
      h("li", { key: name }, h("label", { class: "tick" }, h("input", { type: "checkbox", checked: columns.includes(name), disabled: name === "id", onChange: () => turn(name) }), words)),
    ),
  );
}

function Rows({ rows, columns }) {
  return h(
    "div",
    { class: "scroll panel flush", tabindex: 0, role: "region", "aria-label": "Invocations" },
    h(
      "table",
      { class: "rows" },
      h("thead", null, h("tr", null, columns.map((name) => h("th", { key: name, scope: "col" }, COLUMNS[name][0])))),
      h("tbody", null, rows.map((row) => h("tr", { key: row.invocation_id }, columns.map((name) => h("td", { key: name, "data-name": COLUMNS[name][0] }, COLUMNS[name][1](row)))))),
    ),
  );
}
