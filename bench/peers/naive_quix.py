"""The jobs of `bench apply` and `bench life`, written the obvious way with Quix Streams, for comparison.

Runs in an environment that has `quixstreams` and `fastavro`, and needs nothing of this project but its schemas:

    python naive_quix.py BOOTSTRAP COMMANDS SIGNALS SCHEMAS STATE
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from quixstreams import Application

_HEADER = 10
_MARKER = 2


def main() -> None:
    """Decode each command, put its row into the state, send its signal if it has one: exactly once."""
    bootstrap, commands, signals, schemas, state = sys.argv[1:]
    names = ("Invoke", "ReportTransition")
    texts = {name: json.loads((Path(schemas) / f"{name}.avsc").read_text()) for name in names}
    parsed = {name: fastavro.parse_schema(text, named_schemas={}) for name, text in texts.items()}
    writers = {fingerprint(to_parsing_canonical_form(text), "CRC-64-AVRO"): name for name, text in texts.items()}
    signal = fastavro.parse_schema(json.loads((Path(schemas) / "Signal.avsc").read_text()), named_schemas={})
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"{commands}-quix",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=state,
        loglevel="INFO",
    )
    frame = app.dataframe(app.topic(commands, value_deserializer="bytes"))

    def apply(value: bytes, _key: Any, at: int, _headers: Any, rows: Any) -> bytes | None:
        name = writers[value[_MARKER:_HEADER].hex()]
        command: Any = fastavro.schemaless_reader(io.BytesIO(value[_HEADER:]), parsed[name], None)
        if name == "ReportTransition":
            row = rows.get(command["invocation_id"])
            rows.set(command["invocation_id"], {**row, "status": command["to"], "modified_at": at})
            return None
        invocation = command["invocation"]
        row = {"invocation": invocation, "status": "READY", "attempt": 1, "created_at": at, "modified_at": at}
        rows.set(invocation["invocation_id"], row)
        out = io.BytesIO()
        started = {"kind": "START", "invocation": invocation, "seq": 0, "attempt": 1, "repeat": 0, "at": at}
        fastavro.schemaless_writer(out, signal, started)
        return out.getvalue()

    frame = frame.apply(apply, stateful=True, metadata=True)
    frame = frame.filter(lambda out: out is not None)
    frame.to_topic(app.topic(signals, value_serializer="bytes"))
    app.run()


if __name__ == "__main__":
    main()
