"""The counts on record, and what has changed since: one entry for each pair of Python and SQLite."""

from __future__ import annotations

import json
import platform
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.counting import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE = Path(__file__).with_name("recorded.json")
BOUND = 0.04
"""Largest change that passes, either way, as a share of what is on record.

With it a loss of a tenth is found, even after a gain that was too small to be recorded: 0.96 x 1.1 is more than 1.04.
The counts themselves differ by less than 0.001 from run to run.
"""


class Taken(NamedTuple):
    """What `units` of a kind of work took together."""

    units: int
    counts: Counts


class Change(NamedTuple):
    """A count of a kind, per unit, on record and now; None where there is none."""

    kind: str
    counted: str
    before: float | None
    now: float | None

    @property
    def share(self) -> float:
        """The change as a share of what is on record; infinite where there is nothing to compare."""
        if self.before is None or self.now is None or not self.before:
            return 0.0 if self.before == self.now else float("inf")
        return self.now / self.before - 1


def pair() -> str:
    """The versions by which counts are kept: other ones compile and run the same work differently."""
    python = ".".join(platform.python_version_tuple()[:2])
    return f"Python {python}, SQLite {sqlite3.sqlite_version}"


def read(file: Path = FILE) -> dict[str, dict[str, Taken]]:
    """What is on record, by pair and kind."""
    if not file.exists():
        return {}
    kept = json.loads(file.read_text(encoding="utf-8"))
    return {
        versions: {
            name: Taken(each["units"], Counts(*(each[count] for count in Counts._fields)))
            for name, each in kinds.items()
        }
        for versions, kinds in kept.items()
    }


def write(record: Mapping[str, Mapping[str, Taken]], file: Path = FILE) -> None:
    """Keep it, a line for each kind."""
    entries = []
    for versions, kinds in sorted(record.items()):
        lines = [f"    {json.dumps(name)}: {_line(taken)}" for name, taken in sorted(kinds.items())]
        entries.append(f"  {json.dumps(versions)}: {{\n" + ",\n".join(lines) + "\n  }")
    file.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


def _line(taken: Taken) -> str:
    return json.dumps({"units": taken.units, **taken.counts._asdict()})


def changes(before: Mapping[str, Taken], now: Mapping[str, Taken]) -> Iterator[Change]:
    """Every count of every kind, those that only one of the two has included."""
    for name in sorted(before.keys() | now.keys()):
        for place, count in enumerate(Counts._fields):
            yield Change(name, count, *(_per_unit(known.get(name), place) for known in (before, now)))


def broken(before: Mapping[str, Taken], now: Mapping[str, Taken]) -> list[Change]:
    """The changes beyond the bound."""
    return [change for change in changes(before, now) if abs(change.share) > BOUND]


def _per_unit(taken: Taken | None, place: int) -> float | None:
    return None if taken is None else taken.counts[place] / taken.units
