// The services that are invoked: node service.mjs PORT. Pings, rows that wait for a day, and one that sends many rows.
import * as restate from "@restatedev/restate-sdk";

// The SDK asks for it, and Node has it from version 22 on.
Promise.withResolvers ??= function withResolvers() {
  let resolve, reject;
  const promise = new this((yes, no) => { resolve = yes; reject = no; });
  return { promise, resolve, reject };
};

const DAY_MS = 86_400_000;

const pings = restate.service({ name: "pings", handlers: { ping: async () => {} } });

// Suspended as soon as it waits, so that it is as a row of a table: nothing runs.
const rows = restate.service({
  name: "emails",
  handlers: { send: async (ctx) => { await ctx.sleep(DAY_MS); } },
  options: { inactivityTimeout: { milliseconds: 1 }, journalRetention: { milliseconds: 0 } },
});

const filling = restate.service({
  name: "filling",
  handlers: {
    send: async (ctx, { count, delay }) => {
      const row = { service: "emails", method: "send", parameter: new Uint8Array(), delay: delay ? DAY_MS : undefined };
      for (let sent = 0; sent < count; sent += 1) ctx.genericSend(row);
    },
  },
});

restate.serve({ services: [pings, rows, filling], port: Number(process.argv[2]) });
