"""The job of `bench apply`, written the obvious way with Faust, for comparison.

python -m bench.peers.naive_faust BOOTSTRAP COMMANDS SIGNALS SCHEMAS STATE
"""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

import fastavro
import faust

_HEADER = 10


def main() -> None:
    """Decode each command, put its row into a table, send its signal: exactly once."""
    bootstrap, commands, signals, schemas, state = sys.argv[1:]
    invoke = fastavro.parse_schema(json.loads((Path(schemas) / "Invoke.avsc").read_text()))
    signal = fastavro.parse_schema(json.loads((Path(schemas) / "Signal.avsc").read_text()), named_schemas={})
    app = faust.App(
        f"{commands}-faust",
        broker=f"kafka://{bootstrap}",
        datadir=state,
        processing_guarantee="exactly_once",
        topic_partitions=4,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
    )
    source = app.topic(commands, value_type=bytes, value_serializer="raw", key_serializer="raw")
    sink = app.topic(signals, value_serializer="raw", key_serializer="raw")
    rows: Any = app.Table("rows", partitions=4)

    @app.agent(source)
    async def apply(stream: Any) -> None:
        async for event in stream.events():
            at = int(event.message.timestamp * 1_000)
            body = io.BytesIO(event.value[_HEADER:])
            command: Any = fastavro.schemaless_reader(body, invoke, None)
            invocation = command["invocation"]
            row = {"invocation": invocation, "status": "READY", "attempt": 1, "created_at": at, "modified_at": at}
            rows[invocation["invocation_id"]] = row
            out = io.BytesIO()
            started = {"kind": "START", "invocation": invocation, "seq": 0, "attempt": 1, "repeat": 0, "at": at}
            fastavro.schemaless_writer(out, signal, started)
            await sink.send(key=event.key, value=out.getvalue())

    faust.Worker(app, loglevel=logging.INFO).execute_from_commandline()


if __name__ == "__main__":
    main()
