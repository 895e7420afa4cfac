/** What all screens have in common: they are drawn again when the store changes, and load what they need. */

import { Component } from "../vendor/preact-10.29.8.js";
import { store } from "./store.js";

const AGAIN_MS = 3_000;
/** No answer, too many requests, not served now. */
const PASSING = new Set([0, 429, 503]);

export class Screen extends Component {
  constructor(props) {
    super(props);
    this.state = {};
    this.timers = new Set();
    this.leaving = new AbortController();
  }

  componentDidMount() {
    this.unsubscribe = store.subscribe(() => this.setState({}));
    this.enter?.();
  }

  componentWillUnmount() {
    this.unsubscribe();
    this.leaving.abort();
    for (const timer of this.timers) clearInterval(timer);
  }

  /** Call `work` every `ms` while the page is looked at. */
  every(ms, work) {
    this.timers.add(setInterval(() => document.hidden || work(), ms));
  }

  /**
   * Run `work(signal)`; its result goes into the state, or the problem that it met. Only the newest call counts. What
   * fails because nobody answers just now is tried again.
   */
  async load(work) {
    this.loading?.abort();
    const loading = new AbortController();
    this.loading = loading;
    const signal = AbortSignal.any([loading.signal, this.leaving.signal]);
    this.setState({ busy: true });
    try {
      const found = await work(signal);
      if (!signal.aborted) this.setState({ ...found, busy: false, problem: null });
    } catch (problem) {
      if (signal.aborted) return;
      this.setState({ busy: false, problem });
      if (PASSING.has(problem.status)) setTimeout(() => signal.aborted || this.load(work), AGAIN_MS);
    }
  }
}
