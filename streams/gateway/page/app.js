/** The page: navigation, the screen that the address names, and what is told on every screen. */

import { Component, h, render } from "./vendor/preact-10.29.8.js";
import { get, logout, onLoggedOut } from "./lib/api.js";
import { count, keep, useUtc, zone } from "./lib/format.js";
import { follow } from "./lib/live.js";
import { parse, to } from "./lib/route.js";
import { store } from "./lib/store.js";
import { Button, Messages, Time, Trouble } from "./parts/basics.js";
import { OneBatch } from "./screens/batch.js";
import { Batches } from "./screens/batches.js";
import { OneFlow } from "./screens/flow.js";
import { Flows } from "./screens/flows.js";
import { OneInvocation } from "./screens/invocation.js";
import { Invocations } from "./screens/invocations.js";
import { NewBatch } from "./screens/new.js";
import { System } from "./screens/system.js";

const SCREENS = {
  batches: [Batches, "Batches"],
  new: [NewBatch, "New batch"],
  batch: [OneBatch, "Batch"],
  invocations: [Invocations, "Invocations"],
  invocation: [OneInvocation, "Invocation"],
  flows: [Flows, "Flows"],
  flow: [OneFlow, "Flow"],
  system: [System, "System"],
};
const NAVIGATION = [
  ["batches", "Batches", ["batches", "new", "batch"]],
  ["invocations", "Invocations", ["invocations", "invocation"]],
  ["flows", "Flows", ["flows", "flow"]],
  ["system", "System", ["system"]],
];
const CONNECTING_MS = 2_000;
const AGAIN_MS = 3_000;
const NOT_FOUND = [NotFound, "Not found"];
const screenOf = ({ name }) => (Object.hasOwn(SCREENS, name) ? SCREENS[name] : NOT_FOUND);

class App extends Component {
  constructor() {
    super();
    this.state = { route: parse(location.hash) };
  }

  componentDidMount() {
    store.subscribe(() => this.setState({}));
    addEventListener("hashchange", () => this.setState({ route: parse(location.hash) }));
    setInterval(() => store.connection.open || this.setState({}), 1_000);
    this.tell();
  }

  componentDidUpdate(_, before) {
    this.tell();
    const [then, now] = [before.route, this.state.route];
    if (then.name === now.name && then.id === now.id) return;
    scrollTo(0, 0);
    document.querySelector("h1")?.focus({ preventScroll: true });
  }

  /** Title and icon say when a batch runs. */
  tell() {
    const { id } = this.state.route;
    const running = store.running().length;
    const screen = screenOf(this.state.route)[1];
    document.title = `${running ? `● ${running} running · ` : ""}${screen}${id ? ` ${id}` : ""} · streams`;
    const icon = document.getElementById("icon");
    const wanted = `/assets/icon${running ? "-running" : ""}.svg`;
    if (icon.getAttribute("href") !== wanted) icon.setAttribute("href", wanted);
  }

  render(_, { route }) {
    const [screen] = screenOf(route);
    return [
      h(Top, { route }),
      h(Connection),
      h("main", { id: "main", tabindex: -1 }, store.problem ? h(Trouble, { problem: store.problem, again: begin }) : store.me && h(screen, { key: `${route.name}/${route.id}`, id: route.id, query: route.query })),
      h(Open),
      h(Messages),
    ];
  }
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function NotFound() {
  return h("section", null, h("h1", { tabindex: -1 }, "Not found"), h("p", null, "There is no such place here. ", h("a", { href: to("batches") }, "To the batches")));
}

function Top({ route }) {
  const running = store.running().length;
  return h(
    "header",
    { class: "top" },
    h("a", { class: "skip", href: location.hash || "#/", onClick: skip }, "To the content"),
    h("a", { class: "brand", href: to("batches") }, "streams"),
    h(
      "nav",
      { "aria-label": "Screens" },
      NAVIGATION.map(([name, words, names]) =>
        h(
          "a",
          { key: name, href: to(name), "aria-current": names.includes(route.name) ? "page" : undefined },
          words,
          name === "batches" && running > 0 && h("span", { class: "mark", title: `${count(running, "batch", "batches")} running` }, running, h("span", { class: "unseen" }, " running")),
        ),
      ),
    ),
    h(Settings),
  );
}

class Settings extends Component {
  render() {
    const { me } = store;
    const theme = document.documentElement.dataset.theme;
    const choose = (event) => {
      document.documentElement.dataset.theme = event.target.value;
      keep("theme", event.target.value);
      this.setState({});
    };
    const turn = (event) => {
      useUtc(event.target.value === "utc");
      store.changed();
    };
    const leave = () => logout().finally(() => location.assign("/login"));
    return h(
      "div",
      { class: "settings" },
      h("select", { "aria-label": "Times", title: "Times", value: zone.utc ? "utc" : "local", onChange: turn }, h("option", { value: "local" }, "local time"), h("option", { value: "utc" }, "UTC")),
      h("select", { "aria-label": "Colours", title: "Colours", value: theme, onChange: choose }, [["auto", "system colours"], ["light", "light"], ["dark", "dark"]].map(([value, words]) => h("option", { key: value, value }, words))),
      me && h("span", { class: "me" }, h("b", null, me.name), ` ${me.role}`),
      me && !me.open && h(Button, { class: "small", onClick: leave }, "Log out"),
    );
  }
}

/** What is told on every screen: that the numbers may be old. */
function Connection() {
  const { open, since, begun } = store.connection;
  const lost = !open && Date.now() - Math.max(begun, since) > CONNECTING_MS;
  return h("div", { role: "status" }, lost && h("p", { class: "notice bad connection" }, h("b", null, "Not connected"), " since ", h(Time, { at: since }), ": what is shown may be old. The page goes on trying."));
}

function Open() {
  return store.me?.open && h("footer", { class: "open" }, "This gateway asks for no token: whoever reaches it may do anything.");
}

const CAME_FROM = "came-from";

function toLogin() {
  try {
    sessionStorage.setItem(CAME_FROM, location.hash);
  } catch {
    // Then the page begins with the batches after the login.
  }
  location.assign("/login");
}

/** After a login the page goes on where it was. */
function comeBack() {
  try {
    const hash = sessionStorage.getItem(CAME_FROM);
    sessionStorage.removeItem(CAME_FROM);
    if (hash && !location.hash) location.replace(hash);
  } catch {
    // Storage is forbidden: nothing was kept.
  }
}

async function whoami() {
  try {
    store.me = await get("/me");
    store.problem = null;
  } catch (problem) {
    if (problem.status !== 401 && !store.me) {
      store.problem = problem;
      setTimeout(begin, AGAIN_MS);
    }
  }
  store.changed();
}

async function begin() {
  await whoami();
  if (store.me && !store.follows) {
    store.follows = true;
    follow(store);
  }
}

comeBack();
onLoggedOut(toLogin);
store.onEnded = whoami;
render(h(App), document.getElementById("app"));
begin();
