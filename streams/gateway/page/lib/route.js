/** Where the page stands: `#/name/id?query`. Ids may hold anything, so each is one encoded segment. */

/** {name, id, query: [[name, value], ...]} of a hash. */
export function parse(hash) {
  const [path, query = ""] = split(hash.replace(/^#\/?/, ""), "?");
  const [name, id = ""] = split(path, "/");
  return { name: name || "batches", id: decoded(id), query: [...new URLSearchParams(query)] };
}

function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The hash of a place. `query`: pairs; empty values are left out. */
export function to(name, id = "", query = []) {
  const given = query.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return `#/${name}${id === "" ? "" : `/${encodeURIComponent(id)}`}${text ? `?${text}` : ""}`;
}

export function go(hash) {
  location.hash = hash;
}

/** Change the address without a new step in the browser's history. */
export function replace(hash) {
  history.replaceState(null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** The only value of a name in a query, or a default. */
export function one(query, name, otherwise = "") {
  return query.find(([each]) => each === name)?.[1] ?? otherwise;
}
