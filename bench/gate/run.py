"""The check that no kind of command or page takes more than is on record, in counts that no other load changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.gate.kinds import KINDS
from bench.gate.measuring import measured
from bench.gate.recorded import BOUND, FILE, Taken, broken, changes, pair, read, write
from bench.lib.counting import Counts
from bench.lib.report import print_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from bench.gate.recorded import Change

NAME = "gate"
RECORD = ".venv/bin/python -m bench gate --record"
_SHOWN = 0.001
"""Smallest change that is shown, as a share: smaller ones come and go."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--record", action="store_true", help="accept what is counted now, and show what has changed")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="kinds whose names begin so")
    parser.add_argument(
        "--if-known", action="store_true", help="where no counts of this Python and SQLite are on record, only say so"
    )
    parser.add_argument("--file", type=Path, default=FILE, help="the counts on record")
    parser.add_argument("--jobs", type=int, help="how many kinds are counted at a time; else one for each processor")


def check(options: argparse.Namespace) -> int:
    """Count, compare or record, and print; returns the exit status."""
    only = tuple(options.only)
    names = [name for name in KINDS if name.startswith(only)]
    if not names:
        print(f"no kind begins with {' or '.join(only)}: {'; '.join(KINDS)}")
        return 2
    record, versions = read(options.file), pair()
    if versions not in record and not options.record:
        known = "; ".join(record) or "nothing"
        print(f"gate: no counts of {versions} are on record, only of {known}. On a commit that is known to be good:")
        print(f"  {RECORD}")
        return 0 if options.if_known else 1
    before = {name: taken for name, taken in record.get(versions, {}).items() if name.startswith(only)}
    now = {name: Taken(KINDS[name].units, counts) for name, counts in measured(names, options.jobs).items()}
    if options.record:
        others = {name: taken for name, taken in record.get(versions, {}).items() if name not in before}
        write({**record, versions: {**others, **now}}, options.file)
        _show_recorded(versions, before, now)
        return 0
    found = broken(before, now)
    if found:
        _show_broken(versions, found)
        return 1
    print(f"gate: {len(now)} kinds take what is on record, within {BOUND:.0%} ({versions})")
    return 0


def _show_recorded(versions: str, before: Mapping[str, Taken], now: Mapping[str, Taken]) -> None:
    changed = [change for change in changes(before, now) if abs(change.share) > _SHOWN]
    if changed and before:
        _table(f"{versions}: recorded, per unit", changed)
    print(f"gate: {len(now)} kinds recorded, {len({change.kind for change in changed})} of them changed ({versions})")


def _show_broken(versions: str, found: Sequence[Change]) -> None:
    _table(f"{versions}: more than {BOUND:.0%} from what is on record, per unit", found)
    if any(change.share > 0 for change in found):
        print("gate: some of it takes more. If that is meant, accept it, and say why in the commit:")
    else:
        print("gate: all of it takes less. Record it, or the next loss hides in it:")
    print(f"  {RECORD}")


def _table(title: str, found: Sequence[Change]) -> None:
    """A row for each kind that has changed; counts of it that have not are left empty."""
    rows: dict[str, dict[str, str]] = {}
    for change in found:
        rows.setdefault(change.kind, {})[change.counted] = _shown(change)
    lines = [[name, *(cells.get(count, "") for count in Counts._fields)] for name, cells in rows.items()]
    print_table(title, ["kind", *Counts._fields], lines)


def _shown(change: Change) -> str:
    if change.now is None:
        return "gone"
    if change.before is None:
        return f"new: {change.now:,.0f}"
    return f"{change.before:,.0f} to {change.now:,.0f}: {change.share:+.1%}"
