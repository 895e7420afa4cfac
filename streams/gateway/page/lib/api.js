/** Requests to the HTTP API, and what went wrong with one. */

const ROOT = "/api/v1";

/** A refusal or a failure. `status` is 0 where nothing answered; `faults`: [{field, rule}], maybe empty. */
export class Problem extends Error {
  constructor(status, body = {}, retryAfter = null) {
    super(body.detail || body.title || (status ? `the gateway answered ${status}` : "the gateway does not answer"));
    this.status = status;
    this.field = body.field ?? null;
    this.faults = body.faults ?? [];
    this.retryAfter = retryAfter;
  }
}

let loggedOut = () => {};

/** Call this when a request is answered with 401. */
export function onLoggedOut(listener) {
  loggedOut = listener;
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
  const body = await bodyOf(response, options.signal);
  if (response.ok) return { body, status: response.status };
  if (response.status === 401) loggedOut();
  throw new Problem(response.status, body, response.headers.get("Retry-After"));
}

/** The JSON of an answer. A refusal may have none, as of a proxy; of any other it must be whole. */
async function bodyOf(response, signal) {
  try {
    return await response.json();
  } catch (error) {
    // Whoever left while it was read has no use for half of it.
    if (error.name === "AbortError") throw error;
    if (signal?.aborted) throw signal.reason;
    if (response.ok) throw new Problem(0, { detail: "the gateway's answer ended too soon" });
    return {};
  }
}

/** GET a JSON answer. `query`: pairs of name and value. */
export async function get(path, query = [], signal = undefined) {
  const given = query.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return (await answer(`${ROOT}${path}${text ? `?${text}` : ""}`, { signal })).body;
}

/** POST a JSON body. */
export async function post(path, body, headers = {}) {
  const options = { method: "POST", headers: { "Content-Type": "application/json", ...headers } };
  return (await answer(`${ROOT}${path}`, { ...options, body: JSON.stringify(body) })).body;
}

/** End the session of this browser. */
export async function logout() {
  await fetch("/logout", { method: "POST", credentials: "same-origin", redirect: "manual" });
}

/** One segment of a path. Where a path cannot carry the id (`.` and `..`), it is null: ask by a query parameter. */
export function segment(id) {
  return id === "." || id === ".." ? null : encodeURIComponent(id);
}

const SINGULAR = { batches: "batch_id", flows: "flow_id", invocations: "invocation_id" };

/** GET one batch, flow or invocation by its id. */
export async function getOne(kind, id, query = [], signal = undefined) {
  const name = segment(id);
  if (name !== null) return get(`/${kind}/${name}`, query, signal);
  const found = await get(`/${kind}`, [[SINGULAR[kind], id], ...query], signal);
  const [one] = found.items ?? [found];
  if (!one) throw new Problem(404, { detail: `there is no ${id}` });
  return one;
}

/** A new id for a batch: it rises with time, as those of the command line do (UUID version 7). */
export function newBatchId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  let now = Date.now();
  for (let place = 5; place >= 0; place -= 1) {
    bytes[place] = now % 256;
    now = Math.floor(now / 256);
  }
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
