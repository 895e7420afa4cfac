/** The system: partitions and their workers, rows by status, dead letters. */

import { h } from "../vendor/preact-10.29.8.js";
import { get, post } from "../lib/api.js";
import { count, number } from "../lib/format.js";
import { Screen } from "../lib/screen.js";
import { store } from "../lib/store.js";
import { plain, STATUSES, toneOf, whyRole } from "../lib/words.js";
import { Button, Dialog, Heading, Time, Trouble } from "../parts/basics.js";

const EACH_MS = 5_000;
const LETTERS = 100;

export class System extends Screen {
  enter() {
    this.ask();
    this.every(EACH_MS, () => this.state.busy || this.ask());
  }

  ask() {
    this.load(async (signal) => {
      const [partitions, letters] = await Promise.allSettled([get("/partitions", [], signal), get("/dead-letters", [["limit", LETTERS]], signal)]);
      if (partitions.status === "rejected" && letters.status === "rejected") throw partitions.reason;
      return {
        served: partitions.value ?? null,
        letters: letters.value ?? null,
        troubles: [partitions.reason, letters.reason].filter(Boolean),
        at: Date.now(),
      };
    });
  }

  render(_, { served, letters, problem, troubles = [], at }) {
    return h(
      "section",
      null,
      h(Heading, { aside: at && h("span", { class: "muted" }, "as of ", h(Time, { at })) }, "System"),
      h(Trouble, { problem, again: () => this.ask() }),
      !problem && troubles.map((each) => h(Trouble, { key: each.message, problem: each })),
      !at && !problem && h("p", { class: "muted" }, "Loading ..."),
      served && h(Partitions, { served }),
      served && h(Statuses, { items: served.items }),
      letters && h(Letters, { found: letters, sent: () => this.ask() }),
      h("p", { class: "muted" }, "Engine version ", number(store.me?.engine_version), " · ", h("a", { href: "/docs" }, "HTTP API"), " · ", h("a", { href: "/metrics" }, "metrics"), " · ", h("a", { href: "/health/ready" }, "health")),
    );
  }
}

const rowsOf = (each) => Object.values(each.rows ?? {}).reduce((sum, value) => sum + value, 0);

function Partitions({ served }) {
  const missing = served.missing_partitions ?? [];
  const names = ["partition", "worker", "since", "engine", "behind", "clock", "rows"];
  return h(
    "div",
    { class: "panel" },
    h("h2", null, "Partitions"),
    missing.length > 0 && h("p", { class: "notice bad" }, `Nobody serves ${count(missing.length, "partition")} now: ${missing.join(", ")}. What concerns them waits in the log.`),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Partitions" },
      h(
        "table",
        { class: "rows" },
        h("thead", null, h("tr", null, names.map((name) => h("th", { key: name, scope: "col", class: name === "worker" || name === "since" || name === "clock" ? "" : "num" }, name)))),
        h(
          "tbody",
          null,
          served.items.map((each) =>
            h(
              "tr",
              { key: each.partition, class: missing.includes(each.partition) ? "missing" : "" },
              h("th", { scope: "row", class: "num", "data-name": "partition" }, each.partition),
              h("td", { "data-name": "worker" }, each.worker_id ? h("span", null, h("b", null, each.worker_id), " ", h("span", { class: "muted" }, each.url)) : "nobody"),
              h("td", { "data-name": "since" }, h(Time, { at: each.since })),
              h("td", { class: "num", "data-name": "engine" }, number(each.engine_version)),
              h("td", { class: "num", "data-name": "behind" }, each.lag === undefined || each.lag === null ? "-" : count(each.lag, "record")),
              h("td", { "data-name": "clock" }, h(Time, { at: each.clock || null })),
              h("td", { class: "num", "data-name": "rows" }, each.rows ? number(rowsOf(each)) : "-"),
            ),
          ),
        ),
      ),
    ),
  );
}

function Statuses({ items }) {
  const sums = STATUSES.map((status) => [status, items.reduce((sum, each) => sum + (each.rows?.[status] ?? 0), 0)]);
  const most = Math.max(1, ...sums.map(([, value]) => value));
  return h(
    "div",
    { class: "panel" },
    h("h2", null, "Rows by status"),
    h(
      "ul",
      { class: "levels" },
      sums.map(([status, value]) =>
        h("li", { key: status }, h("a", { href: `#/invocations?status=${status}` }, plain(status)), h("span", { class: "level" }, h("i", { class: toneOf(status), style: { width: `${(value / most) * 100}%` } })), h("b", null, number(value))),
      ),
    ),
  );
}

class Letters extends Screen {
  async send(body) {
    this.setState({ open: null });
    try {
      const told = await post("/dead-letters/replay", body);
      const refused = Object.entries(told.refused ?? {});
      store.say(`${count((told.sent ?? []).length, "record")} sent again${refused.length ? `, ${refused.length} refused: ${refused[0][1]}` : ""}.`, refused.length > 0);
      this.props.sent();
    } catch (problem) {
      store.say(problem.message);
    }
  }

  render({ found }, { open }) {
    const letters = found.items;
    const role = whyRole(store.me);
    return h(
      "div",
      { class: "panel" },
      h("h2", null, "Dead letters"),
      letters.length === 0 && h("p", { class: "empty" }, "None: every record of the log was applied."),
      letters.length > 0 &&
        h(
          "div",
          { class: "scroll", tabindex: 0, role: "region", "aria-label": "Dead letters" },
          h(
            "table",
            { class: "rows" },
            h("thead", null, h("tr", null, ["place", "at", "code", "key", "why", ""].map((name) => h("th", { key: name, scope: "col" }, name || h("span", { class: "unseen" }, "again"))))),
            h("tbody", null, letters.map((each) => h("tr", { key: each.place }, h("th", { scope: "row", "data-name": "place" }, each.place), h("td", { "data-name": "at" }, h(Time, { at: each.timestamp })), h("td", { "data-name": "code" }, h("code", null, each.code)), h("td", { "data-name": "key" }, each.key && h("code", null, each.key.base64 ?? each.key)), h("td", { class: "wide", "data-name": "why" }, each.message), h("td", null, h(Button, { class: "small", why: role ?? (each.not_sent_again || null), onClick: () => this.setState({ open: each }) }, "Send again"))))),
          ),
        ),
      found.total > letters.length && h("p", { class: "muted" }, `The newest ${number(letters.length)} of ${number(found.total)}; the command line lists all: streams dead-letters list.`),
      open &&
        h(
          Dialog,
          { title: "Send this record again?", onClose: () => this.setState({ open: null }) },
          h("p", { class: "told" }, `${open.place}: ${open.code}`),
          h("p", null, "Where its cause is not gone, it becomes another dead letter."),
          h("div", { class: "buttons" }, h(Button, { onClick: () => this.setState({ open: null }), autofocus: true }, "Leave it"), h(Button, { class: "primary", onClick: () => this.send({ places: [open.place] }) }, "Send again")),
        ),
    );
  }
}
