"""Workers that are stopped and started again, with their state folders or without them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench.lib.batch import pings
from bench.lib.service import PARTITIONS, BenchError, say

if TYPE_CHECKING:
    from bench.lib.service import Service

_MOST_S = 3.0
_RESTORED_WITHIN_S = 1_800.0


def restart(made: Service, name: str) -> dict[str, Any]:
    """From the assignment until all partitions run, and until the first command that waited is answered, seconds."""
    say(f"{name}: restart")
    made.stop_workers()
    with pings(made) as found:
        time.sleep(0.5)
        made.start_workers()
        assigned = min(event["at"] for event in made.await_event("partition assigned", PARTITIONS))
        running = max(event["at"] for event in made.await_event("partition running", PARTITIONS))
        time.sleep(_MOST_S)
    answered = [at + took / 1_000 for at, took in found if took is not None]
    if not answered:
        raise BenchError(f"{name}: nothing was answered within {_MOST_S:.0f} s of the restart")
    return {"restart_s": running - assigned, "first_command_s": min(answered) - assigned}


def restore(made: Service, name: str, rows: int) -> dict[str, Any]:
    """From the assignment until all partitions run, of tables that are made from the changelog alone."""
    say(f"{name}: restore from the changelog")
    made.stop_workers()
    for file in made.state_files("partition-*"):
        file.unlink()
    made.start_workers()
    assigned = min(event["at"] for event in made.await_event("partition assigned", PARTITIONS))
    events = made.await_event("partition running", PARTITIONS, _RESTORED_WITHIN_S)
    restored = sum(event["rows"] for event in events)
    if restored < rows:
        raise BenchError(f"{restored:,} rows restored of {rows:,}")
    seconds = max(event["at"] for event in events) - assigned
    return {"rows": restored, "seconds": seconds, "rows_per_second": restored / seconds}
