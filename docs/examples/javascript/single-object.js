// Avro single-object encoding: C3 01, the schema's CRC-64-AVRO fingerprint (little-endian), then the body.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import avro from "avsc";

const EMPTY = 0xc15d213aa4d7a795n;

/** Encoder and decoder of the record that `<folder>/<name>.avsc` describes. */
export function codec(folder, name) {
  const text = readFileSync(join(folder, `${name}.avsc`), "utf8");
  const type = avro.Type.forSchema(JSON.parse(text), { wrapUnions: false });
  // avsc's own form of a schema is Avro's parsing canonical form, which the fingerprint is taken of.
  const header = Buffer.concat([Buffer.from([0xc3, 0x01]), fingerprint(JSON.stringify(type.schema()))]);
  return {
    encode: (value) => Buffer.concat([header, type.toBuffer(value)]),
    decode(buffer) {
      if (!buffer.subarray(0, header.length).equals(header)) {
        throw new Error(`not a ${name} of this version of the schema`);
      }
      return type.fromBuffer(buffer.subarray(header.length));
    },
  };
}

function fingerprint(text) {
  let hash = EMPTY;
  for (const byte of Buffer.from(text)) {
    hash = (hash >> 8n) ^ TABLE[Number((hash ^ BigInt(byte)) & 0xffn)];
  }
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(hash);
  return bytes;
}

const TABLE = Array.from({ length: 256 }, (_, index) => {
  let entry = BigInt(index);
  for (let bit = 0; bit < 8; bit++) entry = (entry >> 1n) ^ (entry & 1n ? EMPTY : 0n);
  return entry;
});
