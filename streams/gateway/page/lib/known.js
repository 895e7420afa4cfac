/** What exists: values that filters may name, from the counts and the newest invocations. */

import { get } from "./api.js";
import { labelText } from "./labels.js";
import { store } from "./store.js";

/** Counting by group looks at every row, so it is not done often. */
const FRESH_MS = 300_000;
const GROUPS = ["service", "handler", "deployment_id"];
const MOST = 200;

class Known {
  constructor() {
    this.values = new Map();
    this.at = 0;
  }

  /** Known values of a field; asked for in the background. */
  of(field) {
    this.refresh();
    if (field === "flow_id") return [...store.flows.keys()].slice(-MOST);
    if (field === "batch_id") return [...store.batches.values()].filter((each) => !each.dry_run).map((each) => each.batch_id).slice(-MOST);
    return this.values.get(field) ?? [];
  }

  refresh() {
    if (document.hidden || Date.now() - this.at < FRESH_MS) return;
    this.at = Date.now();
    for (const field of GROUPS) {
      get("/invocation-counts", [["group_by", field]]).then((found) => this.put(field, groupNames(found)), () => {});
    }
    get("/invocations", [["limit", MOST]]).then(({ items }) => {
      const labels = items.flatMap((each) => Object.entries(each.labels ?? {}).map((pair) => labelText(...pair)));
      this.put("label", labels);
      this.put("object_key", items.map((each) => each.object_key));
      this.put("parent_id", items.map((each) => each.parent_id));
    }, () => {});
  }

  put(field, values) {
    this.values.set(field, [...new Set(values)].filter(Boolean).sort().slice(0, MOST));
    store.changed();
  }
}

/** The names of the groups in an answer of the counts. */
export function groupNames(found) {
  return (found.groups ?? []).map((each) => each.value ?? null);
}

export const known = new Known();
