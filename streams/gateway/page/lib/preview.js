/** Counting what a draft would act on: a dry run, and the counts of the tables beside it. */

import { get, newBatchId, post } from "./api.js";
import { countQuery, toBody } from "./draft.js";
import { store } from "./store.js";
import { isFinal } from "./words.js";

const LONGEST_ADDRESS = 6_000;

/** The dry run of a draft, to its end; `signal` stops the wait. Throws a Problem where it is refused. */
export async function dryRun(draft, signal) {
  const id = newBatchId();
  await post("/batches", toBody(draft, id, true), { "Idempotency-Key": id });
  return until(id, signal);
}

/** The batch once it is over: by the stream, and asked for each second besides. */
function until(id, signal) {
  return new Promise((resolve, reject) => {
    const done = (finish) => {
      unsubscribe();
      clearInterval(timer);
      finish();
    };
    const look = () => {
      const batch = store.batches.get(id);
      if (signal.aborted) done(() => reject(new DOMException("left", "AbortError")));
      else if (batch && isFinal(batch.state)) done(() => resolve(batch));
    };
    const ask = () => get(`/batches/${id}`, [], signal).then((found) => store.take("batch", [found]), () => {});
    const unsubscribe = store.subscribe(look);
    const timer = setInterval(ask, 1_000);
    signal.addEventListener("abort", look);
  });
}

/** Numbers by status and by service: {status: [[name, number]], service: [...], exact}; null where it cannot be asked. */
export async function breakdown(draft, signal) {
  const query = countQuery(draft);
  if (new URLSearchParams(query).toString().length > LONGEST_ADDRESS) return null;
  const found = await get("/invocation-counts", [...query, ["group_by", "service"]], signal);
  return { ...tally(found), exact: found.exact !== false, as_of: found.as_of };
}

/** An answer of the counts as pairs, most first. */
export function tally(found) {
  const sum = (counts) => Object.values(counts).reduce((all, each) => all + each, 0);
  const service = (found.groups ?? []).map((each) => [each.value ?? "-", sum(each.counts)]);
  const sorted = (pairs) => pairs.filter(([, value]) => value > 0).sort((one, two) => two[1] - one[1]);
  return { status: sorted(Object.entries(found.counts)), service: sorted(service) };
}

/** True if `now` differs from `then` by more than a tenth. */
export function hasMoved(then, now) {
  return Math.abs(now - then) > then / 10;
}
