/** All that the page knows: who looks, batches and flows, what was asked and not answered yet. */

import { AT_WORK, hasTakenEffect, isFinal } from "./words.js";
import { ms } from "./format.js";
import { note } from "./stream.js";

const DRAW_AFTER_MS = 50;
const ASKED_FOR_MS = 15_000;

/** True if `next` is to be shown in place of `known`: newer, and no way back from a final state. */
export function isNewer(known, next) {
  if (!known) return true;
  if (next.created_at !== known.created_at) return ms(next.created_at) > ms(known.created_at);
  if (isFinal(known.state) && !isFinal(next.state)) return false;
  return next.revision >= known.revision;
}

class Store {
  constructor() {
    this.me = null;
    this.batches = new Map();
    this.flows = new Map();
    this.asked = new Map();
    this.points = new Map();
    this.sent = new Set();
    this.connection = { open: false, since: Date.now(), begun: Date.now() };
    this.messages = [];
    this.listeners = new Set();
  }

  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Have the page drawn soon. By a timer: a hidden page must change its title, too. */
  changed() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      for (const listener of [...this.listeners]) listener();
    }, DRAW_AFTER_MS);
  }

  connected({ open, since, ended }) {
    this.connection = { ...this.connection, open, since };
    if (ended) this.onEnded?.();
    this.changed();
  }

  /** Take progress records. `kind`: batch or flow. Older ones change nothing. */
  take(kind, items) {
    const known = kind === "batch" ? this.batches : this.flows;
    const id = `${kind}_id`;
    for (const item of items) {
      if (!isNewer(known.get(item[id]), item)) continue;
      known.set(item[id], item);
      if (kind === "batch") this.note(item);
    }
    this.changed();
  }

  /** Take what another page has seen of the batches, for their charts. `items`: [[batch id, points], ...]. */
  takePoints(items) {
    for (const [id, points] of items) this.points.set(id, points);
    this.changed();
  }

  note(batch) {
    note(this.points, batch);
    const asked = this.asked.get(batch.batch_id);
    if (asked && hasTakenEffect(batch, asked)) this.asked.delete(batch.batch_id);
  }

  /** Remember that something was asked of a batch or flow, until the log has answered. */
  ask(id, asked) {
    this.asked.set(id, asked);
    this.changed();
    setTimeout(() => {
      if (this.asked.get(id) !== asked) return;
      this.asked.delete(id);
      const said = asked.operation.toLowerCase().replace("_", " ");
      this.say(`${said} of ${id} is in the log, but shows no effect: no worker runs, or somebody asked the opposite`);
    }, ASKED_FOR_MS);
  }

  unask(id) {
    this.asked.delete(id);
    this.changed();
  }

  /** Show a message for a while, and have it read out. */
  say(text, bad = true) {
    const message = { text, bad };
    this.messages = [...this.messages.slice(-2), message];
    setTimeout(() => this.unsay(message), bad ? 12_000 : 5_000);
    this.changed();
  }

  unsay(message) {
    this.messages = this.messages.filter((each) => each !== message);
    this.changed();
  }

  /** Batches that are at work now, previews left out. */
  running() {
    return [...this.batches.values()].filter((batch) => !batch.dry_run && AT_WORK.includes(batch.state));
  }
}

export const store = new Store();
