// Runs the invocations of one service. The payload says for how many milliseconds each pretends to work.
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, Partitioners, logLevel } from "kafkajs";
import { codec } from "./single-object.js";

const { BOOTSTRAP, PREFIX, SCHEMAS, SERVICE, GROUP } = process.env;
const prefix = PREFIX || "invocations.";
const signals = codec(SCHEMAS || "../../../schemas", "Signal");
const reports = codec(SCHEMAS || "../../../schemas", "ReportTransition");
const MOST = 1000; // runs at once

if (!SERVICE) {
  console.error("SERVICE is not set: say whose invocations are to be run");
  process.exit(2);
}
const kafka = new Kafka({ brokers: (BOOTSTRAP || "localhost:9092").split(","), logLevel: logLevel.ERROR });
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
const consumer = kafka.consumer({ groupId: GROUP || `${prefix}${SERVICE}-executors`, readUncommitted: false });
const runs = new Map(); // "partition/seq": { attempt, stop: AbortController }, for each invocation that runs here
let places = new Map(); // partition: { next, open }, the offset behind the last signal, and those not dealt with yet

/** Your handler: gives up when `stopped` is aborted. It may run again after a restart, so let it be idempotent. */
async function handle(invocation, payload, stopped) {
  const ms = Number(payload ?? 0);
  if (Number.isNaN(ms)) throw new Error(`not a number: ${payload}`);
  await sleep(ms, undefined, { signal: stopped });
}

/** Resolves once the report is in the log. `attempt` and `seq` are echoed: a report of another life is ignored. */
function report({ invocation: { invocation_id }, attempt, seq }, to, more) {
  const value = reports.encode({ invocation_id, attempt, seq, to, ...more });
  const key = invocation_id.replace(/~[^~]*$/s, ""); // the routing key: all before the last ~
  return producer.send({ topic: `${prefix}commands`, acks: -1, messages: [{ key, value }] });
}

/** Only RUNNING is numbered; it renews the lease, too. */
const running = (signal) => report(signal, "RUNNING", { report_no: Date.now() * 1000 });

async function start(key, signal) {
  const run = { attempt: signal.attempt, stop: new AbortController() };
  const { lease_ms } = signal.invocation;
  runs.get(key)?.stop.abort("KILL"); // of an earlier attempt
  runs.set(key, run);
  await running(signal);
  let renewed; // a renewal behind the last report would look like another run
  const renewal = lease_ms && setInterval(() => (renewed = running(signal).catch(die)), lease_ms / 3);
  const end = await handle(signal.invocation, signal.payload, run.stop.signal).then(
    () => ["COMPLETED"],
    (error) => ["FAILED", { error: String(error).slice(0, 1000) }],
  );
  clearInterval(renewal);
  await renewed;
  if (runs.get(key) === run) runs.delete(key);
  const { aborted, reason } = run.stop.signal;
  if (reason === "KILL" || reason === "LEAVE") return; // it has ended already, or runs again elsewhere
  if (!aborted || end[0] === "COMPLETED") await report(signal, ...end);
  else if (reason === "CANCEL") await report(signal, "CANCELLED"); // but for PAUSE nothing
}

async function stop(key, signal) {
  const run = runs.get(key);
  if (run?.attempt === signal.attempt) run.stop.abort(signal.kind);
  else if (signal.kind === "CANCEL" && !run) await report(signal, "CANCELLED"); // nothing of it is left to stop
}

async function eachMessage({ partition, message, heartbeat }) {
  const place = places.get(partition) ?? { next: 0, open: new Set() };
  const offset = Number(message.offset);
  const signal = signals.decode(message.value);
  places.set(partition, place);
  place.open.add(offset);
  place.next = offset + 1;
  if (signal.invocation.service === SERVICE) {
    for (; signal.kind === "START" && runs.size >= MOST; await heartbeat()) await sleep(100);
    const act = signal.kind === "START" ? start : stop;
    act(`${partition}/${signal.seq}`, signal).then(() => place.open.delete(offset), die);
  } else place.open.delete(offset); // another executor's
}

/** Commits how far each partition is dealt with: as far as its oldest open signal. */
function commit() {
  const offsets = [...places].map(([partition, { next, open: [oldest = next] }]) => ({ partition, offset: `${oldest}` }));
  return consumer.commitOffsets(offsets.map((each) => ({ topic: `${prefix}signals`, ...each })));
}

/** Partitions have moved: what ran is begun again by whoever has its partition now. */
function leave() {
  for (const run of runs.values()) run.stop.abort("LEAVE");
  runs.clear();
  places = new Map();
}

/** A report that is not in the log leaves its signal uncommitted: the next life begins with it. */
function die(error) {
  console.error(error);
  process.exit(1);
}

/** What has not ended runs again elsewhere, or in the next life. */
async function end() {
  await commit().catch(() => {});
  leave();
  await consumer.disconnect();
  process.exit(0);
}

process.once("SIGTERM", () => end().catch(die));
consumer.on(consumer.events.GROUP_JOIN, leave);
consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || die(payload.error));
setInterval(() => commit().catch(() => {}), 1000); // while partitions move it is refused; the next one counts
await producer.connect();
await consumer.connect();
await consumer.subscribe({ topic: `${prefix}signals`, fromBeginning: true });
await consumer.run({ autoCommit: false, eachMessage });
