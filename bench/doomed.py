"""Work that a running batch is going to kill, and that would start just then: how much of it is started all the same.

Scheduled invocations fall due all the while; objects have inboxes, from which the next one is promoted when one ends.
What is started once the batch has reached its partition (behind the `StartSlice`), although the batch matches it, is
doomed: an executor begins it for nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench.lib import workload
from bench.lib.batch import Ran, run
from bench.lib.options import add_rows
from bench.lib.report import load_average, print_table
from bench.lib.service import PARTITIONS, BenchError, Service, say, service
from streams import codec
from streams.client import new_batch_id
from streams.config import Topic
from streams.model import Action, Filter, Signal, SignalKind, StartBatch, StartSlice

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


NAME = "doomed"
_HEAD = (
    "doomed",
    "rows",
    "matched",
    "ended",
    "seconds",
    "fell due meanwhile",
    "started before",
    "started although doomed",
)
_SECONDS = 10
"""How long the batch is made to last; all that is scheduled falls due within this time."""
_HEAD_START_MS = 500
"""Before the first falls due the batch has reached every partition."""
_LOADED_A_SECOND = 8_000
"""A worker on any machine fills its table as fast as this."""
_SETTLE_S = 30.0
_FORMS = ("scheduled", "objects")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    parser.add_argument("--form", choices=_FORMS, action="append", help="one of them; both if absent")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of each form: invocations that fall due, and such as wait for their object."""
    figures = {}
    for form in options.form or _FORMS:
        say(f"making {options.rows:,} commands")
        with service(bootstrap, f"doomed-{form}") as made:
            figures[form] = (_scheduled if form == "scheduled" else _objects)(made, options.rows)
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    keys = ("rows", "matched", "ended", "seconds", "fell_due", "started_before", "started_doomed")
    shown = [[name, *[each.get(key, "-") for key in keys]] for name, each in figures.items()]
    print_table("Started although a running batch matches it", _HEAD, shown)


def _scheduled(made: Service, count: int) -> dict[str, Any]:
    begin = time.time() + count / _LOADED_A_SECOND + _SETTLE_S
    due = [int(begin * 1_000) + _HEAD_START_MS + number * 7_919 % (_SECONDS * 1_000) for number in range(count)]
    made.load(list(workload.scheduled(workload.ids(count), PARTITIONS, due)), "doomed")
    if time.time() > begin:
        raise BenchError(f"the table took {time.time() - begin:.1f} s too long to load: take fewer --rows")
    time.sleep(begin - time.time())
    figures = _kill(made, count, max_rate=count / _SECONDS)
    figures["fell_due"] = sum(at <= figures["finished_ms"] for at in due)
    return figures


def _objects(made: Service, count: int) -> dict[str, Any]:
    made.load(list(workload.inboxes(workload.ids(count), PARTITIONS)), "doomed")
    return _kill(made, count, max_rate=None)


def _kill(made: Service, count: int, max_rate: float | None) -> dict[str, Any]:
    say("doomed: kill")
    begins = made.ends(Topic.COMMANDS)
    batch = StartBatch(new_batch_id(), Action.KILL, Filter(services=(workload.DOOMED,)), max_rate=max_rate)
    ran = run(made, [batch])
    before, doomed = _starts(made, _begins_of_slices(made, begins))
    matched, ended = (ran.total(batch.batch_id, name) for name in ("matched", "done"))
    if not matched == ended == count:
        raise BenchError(f"{matched:,} matched and {ended:,} ended of {count:,}")
    return {
        "rows": count,
        "matched": matched,
        "ended": ended,
        "seconds": ran.finished - ran.sent,
        "started_before": before,
        "started_doomed": doomed,
        "finished_ms": _finished_ms(ran, batch.batch_id),
        "load_average": load_average(),
    }


def _finished_ms(ran: Ran, batch_id: str) -> int:
    """When the last page was done, by the partitions' clocks."""
    return max(slice_.updated_at for slice_ in ran.slices[batch_id])


def _begins_of_slices(made: Service, begins: Sequence[int]) -> dict[int, int]:
    """The time of each partition's `StartSlice`, ms, which is what its signals carry from then on."""
    found = {}
    for message in made.read(Topic.COMMANDS, begins, made.ends(Topic.COMMANDS)):
        if isinstance(codec.decode_command(message.value()), StartSlice):
            found[message.partition()] = message.timestamp()[1]
    return found


def _starts(made: Service, since: dict[int, int]) -> tuple[int, int]:
    """How many START signals of the doomed service were sent before the batch came, and how many after."""
    before = doomed = 0
    for message in made.read(Topic.SIGNALS, [0] * PARTITIONS, made.ends(Topic.SIGNALS)):
        signal = codec.decode(message.value())
        if not isinstance(signal, Signal) or signal.kind is not SignalKind.START:
            continue
        if signal.at > since[message.partition()]:
            doomed += 1
        else:
            before += 1
    return before, doomed
