/** Feeds the store from the stream of events: by a worker that all pages share, where the browser has such. */

import { Stream } from "./stream.js";

const WORKER = "/assets/live-worker.js";

/** Begin to feed `store`; the result starts the stream afresh, as after a login. */
export function follow(store) {
  const take = (message) => {
    if (message.kind === "state") store.connected(message);
    else store.take(message.kind, message.items);
  };
  try {
    return byWorker(take);
  } catch {
    return alone(take);
  }
}

function byWorker(take) {
  const { port } = new SharedWorker(WORKER, { type: "module", name: "streams" });
  port.onmessage = ({ data }) => take(data);
  port.postMessage("hello");
  addEventListener("pagehide", () => port.postMessage("bye"));
  addEventListener("pageshow", ({ persisted }) => persisted && port.postMessage("hello"));
  return () => port.postMessage("again");
}

/** A page without a worker keeps its connection only while it is looked at. */
function alone(take) {
  const stream = new Stream(take);
  const look = () => (document.hidden ? stream.stop() : stream.start());
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    stream.stop();
    stream.start();
  };
}
