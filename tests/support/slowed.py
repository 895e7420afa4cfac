"""`python -m support.slowed python|memory|sql gate --file FILE ...`: the gate, with a tenth more of each kind's work.

The tenth is one of what the file has on record of a kind of `Invoke` and of a kind of page.
"""

from __future__ import annotations

import sys
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import __main__ as bench
from bench.gate.recorded import read
from bench.lib.counting import Counts
from bench.profile_turn import PARTITIONS
from streams.engine.dispatch import HANDLERS
from streams.model import ContinueSlice, Invoke
from streams.state import table

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOP = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) SELECT count(*) FROM n"
_STEPS, _MORE_STEPS = 16, 15
"""Of a round of this loop, and beside all rounds."""
_BYTECODES, _MORE_BYTECODES = 3, 35
"""The same of an empty loop in Python."""
_MORE_BYTES = 30
"""Of an object beside its content, and of the call that makes it."""


def main(what: str, words: list[str]) -> None:
    """Slow what an `Invoke` and a page take, and run `bench` with the other words."""
    (kinds,) = read(Path(words[words.index("--file") + 1])).values()
    for name, taken in kinds.items():
        tenth = Counts(*(count // 10 for count in taken.counts))
        of_page = name.startswith("Page")
        # Each partition has one page with rows.
        calls = PARTITIONS if of_page else taken.units
        command = ContinueSlice if of_page else Invoke
        match what:
            case "python":
                rounds = (tenth.bytecodes // calls - _MORE_BYTECODES) // _BYTECODES
                HANDLERS[command] = _after(HANDLERS[command], lambda *_, rounds=rounds: _run(rounds))
            case "memory":
                size = tenth.bytes // calls - _MORE_BYTES
                HANDLERS[command] = _after(HANDLERS[command], lambda *_, size=size: bytes(size))
            case _ if of_page:
                table.select_page = _after(table.select_page, _query(tenth.steps))  # type: ignore[attr-defined]
            case _:
                table.Overlay.load = _after(table.Overlay.load, _query(tenth.steps))  # type: ignore[attr-defined, method-assign]
    sys.argv = ["bench", *words]
    bench.main()


def _query(steps: int) -> Callable[..., object]:
    """A query that takes so many steps on all partitions together: for a page, or where rows are looked up by ids."""
    rounds = (steps // PARTITIONS - _MORE_STEPS) // _STEPS
    return lambda of, asked, *_: asked and getattr(of, "_db", of).execute(_LOOP, (rounds,)).fetchone()


def _after(call: Any, more: Callable[..., object]) -> Any:
    """The same function, after more work with its arguments."""

    def slowed(*args: Any) -> Any:
        more(*args)
        return call(*args)

    return slowed


def _run(rounds: int) -> None:
    for _ in repeat(None, rounds):
        pass


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
