// Kills all invocations of one service and follows the batch to its end.
import { randomUUID } from "node:crypto";
import { Kafka, Partitioners, logLevel } from "kafkajs";
import { codec } from "./single-object.js";

const { BOOTSTRAP, PREFIX, SCHEMAS, SERVICE, BATCH } = process.env;
const prefix = PREFIX || "invocations.";
const schemas = SCHEMAS || "../../../schemas";
const FINAL = ["COMPLETED", "ABORTED", "REJECTED"];

/** Resolves once the command is in the log. Sent again with the same id and content, it still runs once. */
async function start(kafka, batch, service) {
  const value = codec(schemas, "StartBatch").encode({
    batch_id: batch,
    action: "KILL",
    filter: { services: [service] },
    reason: "bad deploy",
  });
  // The key decides the partition: this partitioner is Kafka's own, murmur2.
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  await producer.send({ topic: `${prefix}commands`, acks: -1, messages: [{ key: batch, value }] });
  await producer.disconnect();
}

/** Prints each progress of the batch and resolves with the last. */
async function follow(kafka, batch) {
  const { decode } = codec(schemas, "BatchProgress");
  const groupId = `follow-${randomUUID()}`; // kafkajs reads in groups only: one of its own, never committed
  const consumer = kafka.consumer({ groupId, readUncommitted: false });
  await consumer.connect();
  await consumer.subscribe({ topic: `${prefix}batches`, fromBeginning: true });
  let newest = -1;
  const end = await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    const eachMessage = async ({ message: { key, value } }) => {
      if (newest === Infinity || key?.toString() !== batch || value === null) return;
      const progress = decode(value);
      if (progress.revision <= newest) return; // absolute values: the highest revision wins
      newest = progress.revision;
      const { state, matched, done, pending, skipped, failed } = progress;
      console.log(
        `${batch} ${state} matched=${matched} done=${done} pending=${pending} skipped=${skipped} failed=${failed}`,
      );
      if (FINAL.includes(state)) {
        newest = Infinity;
        resolve(progress);
      }
    };
    consumer.run({ autoCommit: false, eachMessage }).catch(reject);
  });
  await consumer.disconnect();
  return end;
}

if (!SERVICE) {
  console.error("SERVICE is not set: say whose invocations are to be killed");
  process.exit(2);
}
const kafka = new Kafka({ brokers: (BOOTSTRAP || "localhost:9092").split(","), logLevel: logLevel.ERROR });
const batch = BATCH || `b-${randomUUID()}`;
await start(kafka, batch, SERVICE);
const end = await follow(kafka, batch);
if (end.error) console.error(end.error);
process.exitCode = end.state === "COMPLETED" ? 0 : 1;
