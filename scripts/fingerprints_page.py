"""Write `docs/fingerprints.md`: the number that each schema goes by in the log.

make docs
"""  # noqa: INP001 - a program, no package

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import avro.schema

from streams.codec import schemas

PAGE: Final = Path(__file__).parents[1] / "docs" / "fingerprints.md"

HEAD = """\
# Fingerprints of the schemas

Made from `schemas/` by `scripts/fingerprints_page.py`; do not edit.

A record begins with `C3 01` and these 8 bytes: the CRC-64-AVRO fingerprint of its schema's *parsing canonical form*,
little-endian, in the order in which they are on the wire. Compare your library's before you send anything: a record
with another fingerprint becomes the dead letter `unknown_schema`.

fastavro, Java's `org.apache.avro` and JavaScript's `avsc` give these numbers. Apache's Python package `avro` gives
another one where the last column says so: it keeps `{"type": "long"}` around a type that had a logical type, where the
specification asks for `"long"`. With that package, write the bytes of this table instead of those that it computes.

| record | bytes | Apache's Python `avro` |
| --- | --- | --- |
"""


def document() -> str:
    """The page as it should be."""
    lines = []
    for name, schema in sorted(schemas.load(schemas.folder()).items()):
        ours = schemas.header(schema)[2:].hex()
        theirs = bytes(avro.schema.parse(json.dumps(schema)).fingerprint("CRC-64-AVRO")).hex()
        lines.append(f"| `{name}` | `{ours}` | {'the same' if ours == theirs else f'`{theirs}`'} |\n")
    return HEAD + "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(document(), encoding="utf-8")
