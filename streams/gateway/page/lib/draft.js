/**
 * A batch that is not started yet. It lives in the address of "New batch", so that a link carries all of it; it becomes
 * the body of `POST /batches`, a line for the command line, and a line for curl.
 */

import { iso, parseDuration, shortDuration } from "./format.js";
import { FIELDS, fault, fromFilter, fromQuery, isSaid, isTime, toFilter, toOptions, toQuery } from "./filter.js";
import { one, to } from "./route.js";
import { ACTIONS, lookedAt, STATUSES } from "./words.js";

const TEXTS = ["limit", "max_rate", "grace", "on_timeout", "standing_until", "expires_at", "reason"];

/** The draft in the address. */
export function fromAddress(query) {
  const action = one(query, "action").toUpperCase();
  const texts = TEXTS.map((name) => [name, one(query, name)]);
  return {
    action: ACTIONS.includes(action) ? action : "CANCEL",
    conditions: fromQuery(query),
    all: one(query, "match_all") === "true",
    ...Object.fromEntries(texts),
  };
}

/** The address of a draft. */
export function toAddress(draft, more = []) {
  const texts = TEXTS.map((name) => [name, draft[name]]);
  const all = draft.all ? [["match_all", "true"]] : [];
  return to("new", "", [["action", draft.action], ...toQuery(draft.conditions), ...all, ...texts, ...more]);
}

/** A draft that does the same as a batch. `filter`: its whole filter. */
export function likeBatch(batch, filter = batch.filter, changes = {}) {
  return {
    action: batch.action,
    conditions: fromFilter(filter),
    all: Boolean(filter.match_all),
    limit: batch.limit ?? "",
    max_rate: batch.max_rate ?? "",
    grace: batch.action === "CANCEL" && typeof batch.grace_ms === "number" ? shortDuration(batch.grace_ms) : "",
    on_timeout: batch.action === "CANCEL" ? batch.on_timeout : "",
    standing_until: "",
    expires_at: "",
    reason: batch.reason ?? "",
    ...changes,
  };
}

/** The conditions without statuses that the action never looks at; one that named only such is left without a value. */
export function fitting(action, conditions) {
  const may = lookedAt(action);
  return conditions.map((each) => (each.field === "status" ? { ...each, values: each.values.filter((status) => may.includes(status)) } : each));
}

export const canStand = (draft) => draft.action === "CANCEL" || draft.action === "KILL";

/** The reason why the grace of a cancel cannot be sent; null if it can, and of any other action. */
export function graceFault({ action, grace }) {
  return action === "CANCEL" && grace && parseDuration(grace) === null ? "write it as 30s, 2m or 1h" : null;
}

/** What is wrong with the fields that are typed, by name; empty if nothing is. */
export function fieldFaults(draft) {
  const wrong = {};
  if (graceFault(draft)) wrong.grace = graceFault(draft);
  if (draft.limit !== "" && !(Number.isInteger(Number(draft.limit)) && Number(draft.limit) > 0)) wrong.limit = "a whole number above 0";
  if (draft.max_rate !== "" && !(Number(draft.max_rate) > 0)) wrong.max_rate = "a number above 0";
  return wrong;
}

/** The fields of a command that only a cancel has. */
export function graceOf({ action, grace, on_timeout }) {
  if (action !== "CANCEL") return {};
  return { ...(grace ? { grace_ms: parseDuration(grace) } : {}), ...(on_timeout ? { on_timeout } : {}) };
}

/** The first reason why a draft cannot be sent; null if nothing is wrong with it. */
export function draftFault(draft) {
  const said = draft.conditions.filter(isSaid);
  const wrong = fault(draft.conditions);
  if (wrong) return wrong;
  if (!draft.all && !said.some((each) => !each.not)) {
    return "say which invocations, or tick that all are meant";
  }
  const empty = draft.conditions.find((each) => !isSaid(each));
  if (empty) return `${FIELDS[empty.field].words}: say a value, or remove the condition`;
  const [field] = Object.entries(fieldFaults(draft));
  if (field) return `${field[0] === "max_rate" ? "rate" : field[0]}: ${field[1]}`;
  for (const name of ["standing_until", "expires_at"]) {
    if (draft[name] && !isTime(draft[name])) return `${name.replace("_", " ")}: ${draft[name]} is not a time`;
    if (draft[name] && Date.parse(draft[name]) <= Date.now()) return `${name.replace("_", " ")}: that time has passed`;
  }
  return null;
}

/** The body of `POST /batches`. A preview has no rate and no end, and does not stand. */
export function toBody(draft, batchId, preview = false) {
  const body = { batch_id: batchId, action: draft.action, filter: toFilter(draft.conditions, draft.all) };
  if (preview) body.dry_run = true;
  if (draft.limit !== "") body.limit = Number(draft.limit);
  Object.assign(body, graceOf(draft));
  if (draft.reason) body.reason = draft.reason;
  if (preview) return body;
  if (draft.max_rate !== "") body.max_rate = Number(draft.max_rate);
  if (draft.standing_until && canStand(draft)) body.standing_until = iso(draft.standing_until);
  if (draft.expires_at) body.expires_at = iso(draft.expires_at);
  return body;
}

/** Query parameters that choose the rows on which the action may act: its filter, its statuses. */
export function countQuery(draft) {
  const conditions = draft.conditions.filter(isSaid);
  if (conditions.some((each) => each.field === "status" && !each.not)) return toQuery(conditions);
  const statuses = lookedAt(draft.action);
  const wanted = statuses.length === STATUSES.length ? [] : [{ field: "status", not: false, values: statuses }];
  return toQuery([...conditions, ...wanted]);
}

/** Characters that a terminal acts on, even within quotes, when a line is pasted. */
const CONTROL = /[\0-\x1f\x7f-\x9f]/g;
const codeOf = (char) => char.charCodeAt(0).toString(16).padStart(4, "0");

/** A word for the shell. */
function quoted(word) {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (word.search(CONTROL) < 0) return `'${word.replaceAll("'", "'\\''")}'`;
  return `$'${word.replace(/[\\']/g, "\\$&").replace(CONTROL, (char) => `\\u${codeOf(char)}`)}'`;
}

/** The same batch as a line for the command line. */
export function toCommandLine(draft) {
  const words = ["streams", draft.action.toLowerCase(), ...toOptions(draft.conditions, draft.all)];
  const body = toBody(draft, "");
  const options = {
    "--limit": body.limit,
    "--max-rate": body.max_rate,
    "--grace": body.grace_ms === undefined ? undefined : shortDuration(body.grace_ms),
    "--on-timeout": body.on_timeout?.toLowerCase(),
    "--standing-until": body.standing_until,
    "--expires-at": body.expires_at,
    "--reason": body.reason,
  };
  for (const [option, value] of Object.entries(options)) {
    if (value !== undefined) words.push(option, String(value));
  }
  return words.map(quoted).join(" ");
}

/** The same batch as a line for curl. `token`: whether the gateway asks for one. */
export function toCurl(draft, token) {
  const { batch_id: _, ...body } = toBody(draft, "");
  const lines = [`curl ${quoted(`${location.origin}/api/v1/batches`)}`, "-H 'Content-Type: application/json'"];
  if (token) lines.push('-H "Authorization: Bearer $STREAMS_GATEWAY_TOKEN"');
  const text = JSON.stringify(body).replace(CONTROL, (char) => `\\u${codeOf(char)}`);
  lines.push(`-d '${text.replaceAll("'", "'\\''")}'`);
  return lines.join(" \\\n  ");
}
