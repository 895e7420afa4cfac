"""The job of `bench applied`, written the obvious way with Quix Streams, for comparison.

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
from quixstreams import Application

_HEADER = 10


def main() -> None:
    """Decode each command, put its row into the state, send its signal: exactly once."""
    bootstrap, commands, signals, schemas, state = sys.argv[1:]
    invoke = fastavro.parse_schema(json.loads((Path(schemas) / "Invoke.avsc").read_text()))
    signal = fastavro.parse_schema(json.loads((Path(schemas) / "Signal.avsc").read_text()), named_schemas={})
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"{commands}-quix",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=state,
        loglevel="WARNING",
    )
    frame = app.dataframe(app.topic(commands, value_deserializer="bytes"))

    def apply(value: bytes, _key: Any, at: int, _headers: Any, rows: Any) -> bytes:
        body = io.BytesIO(value[_HEADER:])
        command: Any = fastavro.schemaless_reader(body, invoke, None)
        invocation = command["invocation"]
        row = {"invocation": invocation, "status": "READY", "attempt": 1, "created_at": at, "modified_at": at}
        rows.set(invocation["invocation_id"], row)
        out = io.BytesIO()
        started = {"kind": "START", "invocation": invocation, "seq": 0, "attempt": 1, "repeat": 0, "at": at}
        fastavro.schemaless_writer(out, signal, started)
        return out.getvalue()

    frame = frame.apply(apply, stateful=True, metadata=True)
    frame.to_topic(app.topic(signals, value_serializer="bytes"))
    app.run()


if __name__ == "__main__":
    main()
