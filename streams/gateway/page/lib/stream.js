/** The one connection to `GET /events`, and the newest of each batch and flow that came by it. */

const EVENTS = "/api/v1/events";
const AGAIN_MS = 3_000;
const MOST_KEPT = 5_000;
const MOST_POINTS = 600;
const QUIET_MS = 30_000;
const ANSWERS_WITHIN_MS = 5_000;

export class Stream {
  /** `tell` gets {kind: "state", open, since, ended}, {kind: "batch" or "flow", items}, and {kind: "points", items}. */
  constructor(tell) {
    this.tell = tell;
    this.known = { batch: new Map(), flow: new Map() };
    this.points = new Map();
    this.heard = Date.now();
    this.state = { kind: "state", open: false, since: Date.now(), ended: false };
    this.source = null;
  }

  start() {
    if (this.source) return;
    clearTimeout(this.timer);
    this.watching ??= setInterval(() => this.watch(), QUIET_MS / 2);
    const source = new EventSource(EVENTS);
    this.source = source;
    source.onopen = () => this.turn(true);
    source.onerror = () => {
      this.turn(false);
      // After a refusal the browser does not try again by itself.
      if (source.readyState === EventSource.CLOSED) this.again();
    };
    for (const kind of ["batch", "flow"]) {
      source.addEventListener(kind, (event) => this.take(kind, JSON.parse(event.data)));
    }
  }

  stop() {
    clearTimeout(this.timer);
    clearInterval(this.watching);
    this.watching = null;
    this.source?.close();
    this.source = null;
    this.turn(false);
  }

  /** All that is known, as messages, for a page that has just come. */
  snapshot() {
    return [
      ...Object.entries(this.known).map(([kind, known]) => ({ kind, items: [...known.values()] })),
      { kind: "points", items: [...this.points] },
      this.state,
    ];
  }

  /** After a sleep, or behind a network that is gone, a browser may think for long that it is connected. */
  async watch() {
    if (!this.state.open || Date.now() - this.heard < QUIET_MS) return;
    try {
      await fetch("/health/live", { cache: "no-store", signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) });
      this.heard = Date.now();
    } catch {
      this.stop();
      this.start();
    }
  }

  again() {
    this.source.close();
    this.source = null;
    this.tell({ ...this.state, ended: true });
    this.timer = setTimeout(() => this.start(), AGAIN_MS);
  }

  turn(open) {
    if (open === this.state.open) return;
    this.state = { kind: "state", open, since: Date.now(), ended: false };
    this.tell(this.state);
  }

  take(kind, item) {
    const known = this.known[kind];
    const id = item.batch_id ?? item.flow_id;
    if (!known.has(id) && known.size >= MOST_KEPT) known.delete(known.keys().next().value);
    known.set(id, item);
    this.heard = Date.now();
    if (kind === "batch") note(this.points, item);
    this.turn(true);
    this.tell({ kind, items: [item] });
  }
}

/** Remember how much of a batch had ended when: `points` by batch id, each [ms since 1970, number in all]. */
export function note(points, batch) {
  const mine = points.get(batch.batch_id) ?? [[Date.parse(batch.created_at), 0]];
  const at = Date.parse(batch.updated_at);
  if (at > mine.at(-1)[0]) mine.push([at, batch.done]);
  if (mine.length > MOST_POINTS) mine.splice(1, 1);
  points.set(batch.batch_id, mine);
  if (points.size > MOST_KEPT) points.delete(points.keys().next().value);
}
