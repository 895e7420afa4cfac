/** Feeds the store from the stream of events: by a worker that all pages share, where the browser has such. */

import { Stream } from "./stream.js";

const WORKER = "/assets/live-worker.js";
const AGAIN_MS = 3_000;

/** Begin to feed `store`. */
export function follow(store) {
  const take = (message) => {
    if (message.kind === "state") store.connected(message);
    else if (message.kind === "points") store.takePoints(message.items);
    else store.take(message.kind, message.items);
  };
  if ("SharedWorker" in globalThis) byWorker(take);
  else alone(take);
}

function byWorker(take) {
  let port = null;
  let heard = false;
  const connect = () => {
    const worker = new SharedWorker(WORKER, { type: "module", name: "streams" });
    // Its script may fail to load, or be more than the browser understands.
    worker.onerror = () => {
      clearInterval(trying);
      alone(take);
    };
    port = worker.port;
    port.onmessage = ({ data }) => {
      heard = true;
      take(data);
    };
    port.postMessage("hello");
  };
  // The worker that is found may be just about to end with the page that has left it.
  const trying = setInterval(() => (heard ? clearInterval(trying) : connect()), AGAIN_MS);
  connect();
  addEventListener("pagehide", () => port.postMessage("bye"));
  addEventListener("pageshow", ({ persisted }) => persisted && port.postMessage("hello"));
}

/** A page without a worker keeps its connection only while it is looked at. */
function alone(take) {
  const stream = new Stream(take);
  const look = () => (document.hidden ? stream.stop() : stream.start());
  document.addEventListener("visibilitychange", look);
  look();
}
