/**
 * A label as one text, key=value, by the rule of streams/protocol/typed_labels.py: a backslash says that an `=` belongs
 * to the key, or that a `!` at the key's end or an `=` at the value's beginning is meant, not a comparison.
 */

const TEXT = /^((?:[^\\=]|\\[^])+)=([^]*)$/;

/** The text of a label; `labelPair` gives the label again. */
export function labelText(key, value) {
  const escaped = key.replace(/\\*(?==|$)/g, (slashes) => slashes + slashes).replaceAll("=", "\\=").replace(/\\*!$/, "\\$&");
  return `${escaped}=${value.replace(/^\\*=/, "\\$&")}`;
}

/** [key, value] of a text; null if it has no key, or no `=` behind one. */
export function labelPair(text) {
  const found = TEXT.exec(text);
  if (!found) return null;
  const key = found[1].replace(/\\(\\*!)$/, "$1").replace(/(\\+)(?==|$)/g, (slashes) => slashes.slice(0, slashes.length / 2));
  return [key, found[2].replace(/^\\(\\*=)/, "$1")];
}

/** What is wrong with the text of a label; null if nothing is. */
export function labelFault(text) {
  const pair = labelPair(text);
  if (!pair) return `label ${text}: write it as key=value`;
  const [key, value] = TEXT.exec(text).slice(1);
  const plain = labelText(pair[0].replace(/!+$/, ""), pair[1].replace(/^=+/, ""));
  const meant = `or, if the label is meant so, ${labelText(...pair)}`;
  if (/(?<!\\)!$/.test(key)) return `label ${text}: choose "is not" and write ${plain}, ${meant}`;
  if (value.startsWith("=")) return `label ${text}: write one =, ${plain}, ${meant}`;
  return null;
}
