/** One batch: all that it is, what it does on each partition, what it ended, what to do next. */

import { h } from "../vendor/preact-10.29.8.js";
import { getOne } from "../lib/api.js";
import { fromAddress, likeBatch, toAddress } from "../lib/draft.js";
import { fault, inWords } from "../lib/filter.js";
import { count, duration, ms, number } from "../lib/format.js";
import { to } from "../lib/route.js";
import { Screen } from "../lib/screen.js";
import { store } from "../lib/store.js";
import { capital, COUNTERS, DID, isFinal, MEANINGS, plain, stands, whyRole } from "../lib/words.js";
import { BatchBar, speed, Stack } from "../parts/bar.js";
import { About, Button, Chip, Copy, Heading, Time, Trouble } from "../parts/basics.js";
import { Chart } from "../parts/chart.js";
import { Commands } from "../parts/commands.js";
import { Controls } from "../parts/controls.js";
import { Samples } from "../parts/found.js";

const EACH_MS = 1_000;
const PATIENCE_MS = 20_000;

export class OneBatch extends Screen {
  enter() {
    this.since = Date.now();
    this.ask();
    this.every(EACH_MS, () => this.isStale() && this.ask());
  }

  /** True if the stream knows more than the last answer, which has the partitions. */
  isStale() {
    const { whole, busy, problem } = this.state;
    const batch = store.batches.get(this.props.id);
    if (busy) return false;
    if (problem) return problem.status === 404 && this.isYoung();
    return !whole || (batch && batch.revision > whole.revision) || (!isFinal(whole.state) && !store.connection.open);
  }

  /** True if this page has just sent it: the log answers soon. */
  isYoung() {
    return store.sent.has(this.props.id) && Date.now() - this.since < PATIENCE_MS;
  }

  ask() {
    this.load(async (signal) => {
      const whole = await getOne("batches", this.props.id, [], signal);
      store.take("batch", [whole]);
      return { whole };
    });
  }

  render({ id }, { whole, problem }) {
    const batch = store.batches.get(id) ?? whole;
    const young = problem?.status === 404 && this.isYoung();
    if (!batch) {
      return h(
        "section",
        null,
        h(Heading, null, "Batch"),
        problem && !young ? h(Trouble, { problem, again: () => this.ask() }) : h("p", { class: "muted", role: "status" }, `Asked: waiting for the log to answer for ${id} ...`),
      );
    }
    const filter = whole?.filter ?? batch.filter;
    const draft = likeBatch(batch, filter);
    return h(
      "section",
      null,
      h(Heading, { aside: h(Copy, { text: location.href, label: "Copy link" }) }, `${capital(batch.action)}${batch.dry_run ? " (preview)" : ""}`),
      h("p", { class: "told large" }, inWords(filter, batch.invocation_ids_count)),
      h(
        "div",
        { class: "panel" },
        h("p", { class: "state" }, h(Chip, { word: batch.state }), h("span", { class: "muted" }, [MEANINGS[batch.state], speed(batch)].filter(Boolean).join(" · "))),
        batch.error && h("p", { class: "error" }, batch.error),
        h(BatchBar, { batch }),
        !batch.dry_run && h(Controls, { batch }),
      ),
      problem && !young && h(Trouble, { problem, again: () => this.ask() }),
      h(Conflicts, { conflicts: whole?.conflicts ?? [] }),
      h(Next, { batch, filter }),
      h("div", { class: "halves" }, h(About, { of: factsOf(batch) }), !batch.dry_run && h("div", { class: "panel" }, h("h2", null, `${capital(DID[batch.action])} a second`), h(Chart, { points: store.points.get(id) ?? [] }))),
      h(Slices, { slices: whole?.slices ?? [] }),
      h("div", { class: "halves" }, h(Ids, { batch, name: "For example", ids: batch.samples }), h(Ids, { batch, name: "Left when their grace was over", ids: batch.failures })),
      !batch.dry_run && !batch.invocation_ids_count && !fault(draft.conditions) && h(Commands, { draft }),
    );
  }
}

/** What one does after a batch, each as one click. */
function Next({ batch, filter }) {
  if (batch.dry_run && batch.state !== "COMPLETED") return null;
  const ended = batch.action === "CANCEL" || batch.action === "KILL";
  const mine = [["batch_id", batch.batch_id]];
  const role = whyRole(store.me);
  const lost = batch.invocation_ids_count && !filter.invocation_ids ? "its ids are no longer kept" : null;
  const left = batch.failed > 0 || batch.state === "ABORTED" || batch.error === "expired";
  const again = role ?? lost ?? (!isFinal(batch.state) ? "it is not over" : !left ? "nothing is left" : null);
  const nothing = batch.done + batch.pending === 0 ? "it has ended none" : null;
  const restart = { ...fromAddress([["action", "RESTART"], ...mine]), reason: `undo ${batch.batch_id}` };
  const follow = (name, href, why, kind = "") => (why ? h(Button, { key: name, why }, name) : h("a", { key: name, class: `button ${kind}`, href }, name));
  const preview = [["preview", "1"]];
  return h(
    "div",
    { class: "buttons start next" },
    ended && !batch.dry_run && [
      follow("What it ended", to("invocations", "", mine), nothing),
      follow("Restart what it ended", toAddress(restart, preview), role ?? (batch.done === 0 ? "it has ended none" : null)),
      follow("Retry what is left", toAddress(likeBatch(batch, filter), preview), again),
    ],
    follow(batch.dry_run ? "Start it" : "Use as a template", toAddress(likeBatch(batch, filter)), role ?? lost),
  );
}

function factsOf(batch) {
  const over = batch.finished_at;
  return [
    ["id", h("code", null, batch.batch_id)],
    ["who", batch.actor],
    ["why", batch.reason],
    ["asked", h(Time, { at: batch.created_at, whole: true })],
    ["over", over && [h(Time, { at: over, whole: true }), `, after ${duration(ms(over) - ms(batch.created_at))}`]],
    ["changed", !over && h(Time, { at: batch.updated_at, whole: true })],
    ["partitions", `${number(batch.partitions_done)} of ${number(batch.partitions_total)} done`],
    ["looked at", `${number(batch.scanned)} of ${number(batch.scan_total)} rows`],
    ["at most", batch.limit && count(batch.limit, "invocation")],
    ["rate", batch.max_rate && `at most ${number(batch.max_rate)} a second`],
    ["grace", batch.action === "CANCEL" && `${duration(batch.grace_ms ?? 30_000)}, then ${batch.on_timeout === "LEAVE" ? "left" : "killed"}`],
    [stands(batch) ? "stands until" : "stood until", batch.standing_until && h(Time, { at: batch.standing_until, whole: true })],
    ["aborted at", batch.expires_at && h(Time, { at: batch.expires_at, whole: true })],
    ["held", batch.held > 0 && `${number(batch.held)} wait, and are not started meanwhile`],
  ];
}

/** Starts that were refused, as this batch has their id. */
function Conflicts({ conflicts }) {
  if (!conflicts.length) return null;
  const told = (each) => [h(Time, { at: each.timestamp }), each.actor && [" by ", h("b", null, each.actor)], each.differs?.length > 0 && `, with another ${each.differs.join(", ")}`];
  return h(
    "div",
    { class: "notice bad" },
    h("p", null, "Another batch was asked for under this id, and refused. It changed nothing; send it again with an id of its own."),
    h("ul", null, conflicts.map((each) => h("li", { key: each.dead_letter }, told(each)))),
  );
}

function Slices({ slices }) {
  if (!slices.length) return null;
  return h(
    "div",
    { class: "panel" },
    h("h2", null, "Partition by partition"),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Partition by partition" },
      h(
        "table",
        { class: "rows" },
        h("thead", null, h("tr", null, ["partition", "state", "progress", "looked at", "matched", ...COUNTERS, "held"].map((name, place) => h("th", { key: name, scope: "col", class: place > 2 || place === 0 ? "num" : "" }, name)))),
        h("tbody", null, slices.map((slice) => h(Slice, { key: slice.partition, slice }))),
      ),
    ),
  );
}

function Slice({ slice }) {
  const over = ["DRAINING", "COMPLETED"].includes(slice.state);
  const filled = over ? 1 : slice.scan_total ? slice.scanned / slice.scan_total : 0;
  const parts = COUNTERS.map((name) => [name, slice[name] ?? 0]);
  const numbers = [["looked at", `${number(slice.scanned)} of ${number(slice.scan_total)}`], ...["matched", ...COUNTERS, "held"].map((name) => [name, number(slice[name] ?? 0)])];
  return h(
    "tr",
    null,
    h("th", { scope: "row", class: "num", "data-name": "partition" }, slice.partition),
    h("td", { "data-name": "state" }, h(Chip, { word: slice.state })),
    h("td", { class: "wide", "data-name": "progress" }, h(Stack, { parts, filled: Math.min(1, filled), label: `Partition ${slice.partition}` })),
    numbers.map(([name, each]) => h("td", { key: name, class: "num", "data-name": name }, each)),
  );
}

function Ids({ batch, name, ids }) {
  if (!ids?.length) return null;
  const said = name === "For example" ? `For example, ${plain(DID[batch.action])}` : name;
  return h("div", { class: "panel" }, h(Samples, { run: { samples: ids }, name: batch.dry_run ? name : said }));
}
