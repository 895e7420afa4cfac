"""The payloads of new rows, on their way to the store and to the changelog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.codec import encode
from streams.model import Payload
from streams.state.keys import invocation_key, payload_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from streams.engine.effects import InsertRow


def write_payloads(
    db: sqlite3.Connection, inserted: Sequence[InsertRow], tombstones: dict[str, None]
) -> list[tuple[str, bytes | None]]:
    """Write payloads; returns their changelog records.

    One that a removed row left under the same key is replaced, not removed: its tombstone is taken out.
    """
    found = [(each.row, each.payload) for each in inserted if each.payload is not None]
    if found:
        db.executemany("INSERT INTO payloads VALUES (?, ?)", [(row.seq, payload) for row, payload in found])
    if tombstones:
        for each in inserted:
            tombstones.pop(invocation_key(each.row.invocation_id), None)
        for row, _ in found:
            tombstones.pop(payload_key(row.invocation_id), None)
    return [(payload_key(row.invocation_id), encode(Payload(payload))) for row, payload in found]
