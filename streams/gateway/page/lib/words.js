/** The words of the protocol, and what may be done in which state. */

export const ACTIONS = ["CANCEL", "KILL", "PAUSE", "RESUME", "RESTART", "PURGE"];
export const LIVE = ["SCHEDULED", "PENDING", "READY", "RUNNING", "SUSPENDED", "BACKING_OFF", "PAUSED", "CANCELLING"];
export const ENDED = ["COMPLETED", "FAILED", "CANCELLED", "KILLED"];
export const STATUSES = [...LIVE, ...ENDED];
export const BATCH_STATES = ["STARTING", "RUNNING", "PAUSED", "DRAINING", "COMPLETED", "ABORTED", "REJECTED"];
export const FLOW_STATES = ["OPEN", "CANCELLING", "PARTIALLY_CANCELLED", "CANCELLED"];
export const COUNTERS = ["done", "pending", "skipped", "failed"];
export const FLOW_NUMBERS = ["live", "pending", "ended", "kept", "failed"];

export const AT_WORK = ["STARTING", "RUNNING", "PAUSED", "DRAINING"];

const FINAL = new Set(["COMPLETED", "ABORTED", "REJECTED"]);
const PAGING = new Set(["STARTING", "RUNNING", "PAUSED"]);

export const MEANINGS = {
  STARTING: "not every partition has its cut-off yet",
  RUNNING: "pages are being done",
  PAUSED: "an operator holds it",
  DRAINING: "all pages are done; cancelled invocations are awaited",
  COMPLETED: "all of it is done",
  ABORTED: "stopped before its last page",
  REJECTED: "refused; nothing was touched",
};

export const DID = {
  CANCEL: "cancelled",
  KILL: "killed",
  PAUSE: "paused",
  RESUME: "resumed",
  RESTART: "restarted",
  PURGE: "removed",
};

/** A word of the protocol in lower case, for sentences: BACKING_OFF is backing off. */
export const plain = (word) => (word ?? "").toLowerCase().replaceAll("_", " ");
export const capital = (word) => {
  const said = plain(word);
  return said.charAt(0).toUpperCase() + said.slice(1);
};

/** The class that gives a state or status its colour. */
export const toneOf = (word) => `is-${plain(word).replaceAll(" ", "-")}`;

/** The kind of button that does an action: one that cannot be undone warns. */
export const buttonOf = (action) => (action === "KILL" || action === "PURGE" ? "danger" : "primary");

/** The reason why what was asked is not asked again. */
export const WAITS = "it is asked, and the log has not answered yet";

export const isFinal = (state) => FINAL.has(state);
export const hasPages = (state) => PAGING.has(state);

/** The statuses of rows that an action looks at. */
export function lookedAt(action) {
  if (action === "PURGE" || action === "RESTART") return ENDED;
  return action === "RESUME" ? ["PAUSED"] : LIVE;
}

/** True while the batch is also a rule at the door. */
export function stands(batch) {
  return Boolean(batch.standing_until) && !batch.dry_run && hasPages(batch.state);
}

/** The part that has been looked at, 0 to 1; null if it is unknown. */
export function share(batch) {
  if (batch.state === "COMPLETED" || batch.state === "REJECTED" || batch.state === "DRAINING") return 1;
  return batch.scan_total ? Math.min(1, batch.scanned / batch.scan_total) : null;
}

/** The reason why a batch cannot be controlled so; null if it can. `me`: who looks. */
export function whyNot(batch, operation, me) {
  const role = whyRole(me);
  if (role) return role;
  if (isFinal(batch.state)) return `it is over: ${plain(batch.state)}`;
  if (batch.state === "DRAINING") return "all its pages are done; what was asked to end is awaited";
  if (operation === "PAUSE" && batch.state === "PAUSED") return "it is paused already";
  if (operation === "RESUME" && batch.state !== "PAUSED") return "it is not paused";
  if (operation === "SET_RATE" && stands(batch)) return "it stands: what arrives is ended at once, at no rate";
  return null;
}

export function whyRole(me) {
  return me && me.role !== "operator" ? `your role, ${me.role}, may only look` : null;
}

/** The reason why an action on one invocation would do nothing; null if it may. */
export function whyNotAct(row, action, me) {
  const role = whyRole(me);
  if (role) return role;
  const status = row.status;
  if (!lookedAt(action).includes(status)) {
    if (action === "RESUME") return "it is not paused";
    return ENDED.includes(status) ? "it has ended" : "it has not ended";
  }
  if (action === "PAUSE" && (status === "PAUSED" || status === "CANCELLING")) return `it is ${plain(status)} already`;
  if (action === "RESTART" && row.adopted) return "it was adopted: nothing here can start it";
  return null;
}

/** True if a control of a batch has taken effect. */
export function hasTakenEffect(batch, asked) {
  if (isFinal(batch.state) || batch.state === "DRAINING") return true;
  if (asked.operation === "PAUSE") return batch.state === "PAUSED";
  if (asked.operation === "RESUME") return batch.state !== "PAUSED";
  return asked.operation === "SET_RATE" && batch.max_rate === asked.max_rate;
}
