"""Random turns for the two tables of `state_twin`: what is done, by name, with what."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from hypothesis import strategies as st

from streams.model import BatchState, SliceState, Status

MAX_BYTES = (1, 30, 400, 1_500, 1 << 22, 1 << 22)
_SHARES = {"insert": 9, "update": 5, "remove": 3, "page": 6, "write_out": 1, "slice": 1, "unslice": 1, "batch": 1}
_SHARES |= {"unbatch": 1, "marks": 1, "look": 2, "inboxes": 3}
_SHARES |= {"flow": 4, "unflow": 1, "members": 4, "unmembers": 2, "reconciled": 1}

Op = tuple[Any, ...]
History = list[tuple[bool, list[Op]]]
"""Turns: whether each is committed, and its ops."""


def _history(seed: int, turns: int) -> History:
    """The first turns of a long history; drawn by hypothesis itself, histories stay too short to matter."""
    random = Random(seed)
    return [(random.random() < 0.75, [_op(random) for _ in range(random.randrange(10))]) for _ in range(turns)]


def _op(random: Random) -> Op:  # noqa: PLR0911 - one for each kind
    (name,) = random.choices(list(_SHARES), list(_SHARES.values()))
    small = partial(random.randrange, 10)
    due_at = small() if random.random() < 0.6 else None
    statuses = [*Status, Status.PENDING, Status.PENDING]
    match name:
        case "insert":
            return name, small(), small(), random.choice(statuses), due_at, random.choice((None, b"", b"paid"))
        case "update":
            return name, small(), random.choice(statuses), due_at, small(), random.random() < 0.3
        case "page":
            wide = random.random() < 0.7
            window = (0, 0, 8, 8) if wide else (small(), small(), random.randint(1, 8), random.randint(1, 6))
            return name, small(), *window, random.random() < 0.2, random.choice(MAX_BYTES)
        case "flow":
            return name, small(), random.randrange(16), due_at
        case "members" | "unmembers":
            return name, small(), small()
        case "slice":
            return name, small(), random.choice(list(SliceState)), due_at
        case "batch":
            return name, small(), random.choice(list(BatchState)), due_at
        case _:
            return name, small()


histories = st.builds(_history, st.integers(0, 2**32), st.integers(0, 16))
