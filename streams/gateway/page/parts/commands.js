/** The same batch as a line for the command line and for curl, to copy. */

import { h } from "../vendor/preact-10.29.8.js";
import { toAddress, toCommandLine, toCurl } from "../lib/draft.js";
import { store } from "../lib/store.js";
import { Copy } from "./basics.js";

export function Commands({ draft }) {
  const link = location.origin + location.pathname + toAddress(draft);
  return h(
    "details",
    { class: "panel commands" },
    h("summary", null, "The same as a command, as curl, as a link"),
    h(Line, { name: "Command line", text: toCommandLine(draft) }),
    h(Line, { name: "curl", text: toCurl(draft, store.me?.open === false) }),
    h(Line, { name: "Link to this form", text: link }),
  );
}

export function Line({ name, text }) {
  return h("div", { class: "line" }, h("div", { class: "line-head" }, h("h3", null, name), h(Copy, { text })), h("pre", { tabindex: 0, "aria-label": name }, text));
}
