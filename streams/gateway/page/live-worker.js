/**
 * Shared by all pages of this browser: a browser opens six connections to a host of HTTP/1.1 at most, so each page with
 * a stream of its own would soon leave none for requests.
 */

import { Stream } from "./lib/stream.js";

const ports = new Set();
const stream = new Stream((message) => {
  for (const port of ports) port.postMessage(message);
});

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data === "bye") ports.delete(port);
    if (data !== "hello") return;
    ports.add(port);
    for (const message of stream.snapshot()) port.postMessage(message);
    stream.start();
  };
};
