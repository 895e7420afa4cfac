/**
 * Filters. The page holds one as conditions: [{field, not, values}], for a time {field, not, from, until} (RFC 3339 or
 * ""). They become a filter of the API, query parameters, options of the command line, and words.
 */

import { exact, number } from "./format.js";
import { labelFault, labelPair, labelText } from "./labels.js";

/** By name: the field of a filter, the command line's option, words; `once`: it cannot be left out by. */
export const FIELDS = {
  service: { list: "services", option: "service", words: "service" },
  handler: { list: "handlers", option: "handler", words: "handler" },
  status: { list: "statuses", option: "status", words: "status" },
  label: { option: "label", words: "label" },
  deployment_id: { list: "deployment_ids", option: "deployment", words: "deployment" },
  object_key: { list: "object_keys", option: "object-key", words: "object key" },
  flow_id: { list: "flow_ids", option: "flow", words: "flow" },
  parent_id: { list: "parent_ids", option: "parent", words: "parent" },
  batch_id: { list: "batch_ids", option: "batch", words: "batch" },
  invocation_id: { list: "invocation_ids", option: "id", words: "id", once: true },
  created: { range: true, option: "created", words: "created" },
  modified: { range: true, option: "modified", words: "last changed" },
};

const MOST_SHOWN = 20;

/** What was typed for a time and cannot be read stays as it was typed: dropped, it would widen the filter. */
export const isTime = (text) => !Number.isNaN(Date.parse(text)) && text.includes("T");

export const isSaid = (each) =>
  FIELDS[each.field].range ? Boolean(each.from || each.until) : each.values.length > 0;

/** The first thing that is wrong with the conditions; null if nothing is. */
export function fault(conditions) {
  const labels = conditions.filter((each) => each.field === "label").flatMap((each) => each.values);
  const label = labels.map(labelFault).find(Boolean);
  if (label) return label;
  const times = conditions.flatMap((each) => [each.from, each.until]).filter(Boolean);
  const wrong = times.find((each) => !isTime(each));
  if (wrong !== undefined) return `${wrong} is not a time`;
  const range = conditions.find((each) => each.from && each.until && Date.parse(each.until) < Date.parse(each.from));
  return range ? `${FIELDS[range.field].words}: its end lies before its beginning` : null;
}

const unique = (values) => [...new Set(values)];

function half(conditions) {
  const said = {};
  for (const [name, field] of Object.entries(FIELDS)) {
    const mine = conditions.filter((each) => each.field === name && isSaid(each));
    if (!mine.length) continue;
    if (field.range) {
      for (const end of ["from", "until"]) {
        const at = mine.map((each) => each[end]).find(Boolean);
        if (at) said[`${name}_${end}`] = at;
      }
    } else if (name === "label") {
      Object.assign(said, labels(unique(mine.flatMap((each) => each.values))));
    } else {
      said[field.list] = unique(mine.flatMap((each) => each.values));
    }
  }
  return said;
}

function labels(values) {
  const byKey = new Map();
  for (const [key, value] of values.map((each) => labelPair(each) ?? [each, ""])) byKey.set(key, [...(byKey.get(key) ?? []), value]);
  const pairs = [...byKey];
  const equal = pairs.filter(([, each]) => each.length === 1).map(([key, [value]]) => [key, value]);
  const among = pairs.filter(([, each]) => each.length > 1);
  return {
    ...(equal.length ? { labels: Object.fromEntries(equal) } : {}),
    ...(among.length ? { labels_in: Object.fromEntries(among) } : {}),
  };
}

/** The filter as the API takes it. `all`: match everything but what is left out. */
export function toFilter(conditions, all = false) {
  const chosen = half(conditions.filter((each) => !each.not));
  const exclude = half(conditions.filter((each) => each.not));
  return {
    ...chosen,
    ...(all ? { match_all: true } : {}),
    ...(Object.keys(exclude).length ? { exclude } : {}),
  };
}

/** The conditions of a filter; of a list that came as its count only, there are none. */
export function fromFilter(filter) {
  return [...fromHalf(filter, false), ...fromHalf(filter.exclude ?? {}, true)];
}

function fromHalf(said, not) {
  const conditions = [];
  for (const [name, field] of Object.entries(FIELDS)) {
    if (field.range) {
      const [from, until] = [said[`${name}_from`] ?? "", said[`${name}_until`] ?? ""];
      if (from || until) conditions.push({ field: name, not, from, until });
      continue;
    }
    const among = Object.entries(said.labels_in ?? {}).flatMap(([key, values]) => values.map((each) => [key, each]));
    const pairs = [...Object.entries(said.labels ?? {}), ...among].map((pair) => labelText(...pair));
    const values = name === "label" ? pairs : said[field.list] ?? [];
    if (values.length) conditions.push({ field: name, not, values });
  }
  return conditions;
}

/** Query parameters of the API's lists, which are those of the page's own address. */
export function toQuery(conditions) {
  return conditions.filter(isSaid).flatMap((each) => {
    const name = `${each.not ? "not_" : ""}${each.field}`;
    if (!FIELDS[each.field].range) return each.values.map((value) => [name, value]);
    return [[`${name}_from`, each.from], [`${name}_until`, each.until]].filter(([, at]) => at);
  });
}

/** The conditions in a query; other parameters are passed over. */
export function fromQuery(query) {
  const found = new Map();
  for (const [name, value] of query) {
    const not = name.startsWith("not_");
    const [, base, end] = /^(.*?)(?:_(from|until))?$/.exec(not ? name.slice(4) : name);
    const field = Object.hasOwn(FIELDS, base) ? FIELDS[base] : null;
    if (!field || Boolean(field.range) !== Boolean(end)) continue;
    const key = `${not}${base}`;
    const empty = field.range ? { from: "", until: "" } : { values: [] };
    const condition = found.get(key) ?? { field: base, not, ...empty };
    found.set(key, condition);
    if (field.range) condition[end] = value;
    else condition.values.push(value);
  }
  return [...found.values()];
}

/** The options of the command line, as words that are not quoted yet. */
export function toOptions(conditions, all = false) {
  const options = conditions.filter(isSaid).flatMap((each) => {
    const option = `--${each.not ? "not-" : ""}${FIELDS[each.field].option}`;
    if (!FIELDS[each.field].range) return each.values.map((value) => [option, value]);
    return [[`${option}-after`, each.from], [`${option}-before`, each.until]].filter(([, at]) => at);
  });
  return [...options.flat(), ...(all ? ["--all"] : [])];
}

/** A filter in words, as the command line says it. `ids`: the number of its ids, where only that is known. */
export function inWords(filter, ids = null) {
  const said = phrases(filter);
  const several = filter.invocation_ids?.length ?? filter.invocation_ids_count ?? ids;
  if (several === 1 && filter.invocation_ids) said.unshift(`id ${filter.invocation_ids[0]}`);
  else if (several) said.unshift(`one of ${number(several)} ids`);
  const left = phrases(filter.exclude ?? {});
  const which = said.length ? said.join(", and ") : filter.match_all ? "ALL invocations" : "no invocations";
  return left.length ? `${which}, but none of ${left.join(", and none of ")}` : which;
}

function phrases(said) {
  const words = [];
  for (const [name, field] of Object.entries(FIELDS)) {
    if (name === "invocation_id") continue;
    if (name === "label") {
      const byKey = [
        ...Object.entries(said.labels ?? {}).map(([key, value]) => [key, [value]]),
        ...Object.entries(said.labels_in ?? {}),
      ];
      for (const [key, values] of byKey) words.push(`label ${anyOf(values.map((value) => `${key}=${value}`))}`);
      for (const list of ["labels", "labels_in"]) {
        if (said[`${list}_count`]) words.push(`${number(said[`${list}_count`])} labels`);
      }
    } else if (field.range) {
      const [from, until] = [said[`${name}_from`], said[`${name}_until`]];
      const ends = [from && `from ${exact(from)}`, until && `before ${exact(until)}`].filter(Boolean);
      if (ends.length) words.push(`${field.words} ${ends.join(" and ")}`);
    } else if (said[field.list]?.length) {
      words.push(`${field.words} ${anyOf(said[field.list])}`);
    } else if (said[`${field.list}_count`]) {
      words.push(`one of ${number(said[`${field.list}_count`])} ${field.words}s`);
    }
  }
  return words;
}

function anyOf(values) {
  const more = values.length - MOST_SHOWN;
  return [...values.slice(0, MOST_SHOWN), ...(more > 0 ? [`${number(more)} others`] : [])].join(" or ");
}
