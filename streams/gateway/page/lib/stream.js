/** The one connection to `GET /events`, and the newest of each batch and flow that came by it. */

const EVENTS = "/api/v1/events";
const AGAIN_MS = 3_000;
const MOST_KEPT = 5_000;

export class Stream {
  /** `tell` gets {kind: "state", open, since, ended} and {kind: "batch" or "flow", items}. */
  constructor(tell) {
    this.tell = tell;
    this.known = { batch: new Map(), flow: new Map() };
    this.state = { kind: "state", open: false, since: Date.now(), ended: false };
    this.source = null;
  }

  start() {
    if (this.source) return;
    clearTimeout(this.timer);
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
    this.source?.close();
    this.source = null;
    this.turn(false);
  }

  /** All that is known, as messages, for a page that has just come. */
  snapshot() {
    return [
      ...Object.entries(this.known).map(([kind, known]) => ({ kind, items: [...known.values()] })),
      this.state,
    ];
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
    this.turn(true);
    this.tell({ kind, items: [item] });
  }
}
