"""Long random histories: what happens to a few invocations, one after the other and several at once.

Drawn by hypothesis itself, histories stay too short, and too full of what is refused, to matter.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from streams.model import (
    Act,
    Action,
    ControlBatch,
    ControlOperation,
    Exclusion,
    Filter,
    OnTimeout,
    ReportTransition,
    StartBatch,
    Status,
)
from support.tables.memory_cluster import invoke

if TYPE_CHECKING:
    from streams.model import Command, Invoke

START: Final = 1_000_000
_IDS: Final = (*(f"i{number}" for number in range(6)), *(f"mail/k~{number}" for number in range(5)), "bill/k~0")
"""Half of them are of objects."""
_REPORTED: Final = (
    *(Status.RUNNING, Status.RUNNING, Status.SUSPENDED, Status.BACKING_OFF),
    *(Status.COMPLETED, Status.CANCELLED, Status.FAILED),
)
_FILTERS: Final = (
    *(
        Filter(match_all=True),
        Filter(services=("mail",)),
        Filter(invocation_ids=("i1", "i3", "i5", "mail/k~1", "nobody")),
    ),
    *(Filter(statuses=(Status.READY, Status.RUNNING)), Filter(modified_until=START + 20_000)),
    Filter(match_all=True, exclude=Exclusion(services=("mail",))),
    Filter(match_all=True, exclude=Exclusion(statuses=(Status.PENDING,), object_keys=("k",))),
)
_ENDED_ONLY: Final = (Filter(match_all=True), Filter(statuses=(Status.COMPLETED, Status.KILLED)))
_ACTIONS: Final = (*(Action.KILL, Action.CANCEL, Action.PURGE, Action.RESTART), *(Action.PAUSE, Action.RESUME) * 2)
_CONTROLS: Final = (ControlOperation.PAUSE, ControlOperation.RESUME, ControlOperation.ABORT)
_SHARES: Final = {"invoke": 5, "report": 5, "act": 4, "batch": 2, "control": 2, "time": 2, "turns": 3}


def _history(seed: int, moves: int) -> list[Command | int | list[int]]:
    """Commands to log, milliseconds that go by before every tick, and which partitions apply a command next."""
    random = Random(seed)
    batches = ["none"]
    return [_move(random, number, batches) for number in range(moves)]


def invoke_any(invocation_id: str, *, scheduled_at: int | None, adopt: bool, **fields: Any) -> Invoke:
    """An `Invoke`; of an object if the id says so. What is adopted has no time to start at."""
    if adopt:
        scheduled_at = None
    head = invocation_id.rpartition("~")[0]
    if head:
        fields["service"], fields["object_key"] = head.split("/")
    return invoke(invocation_id, scheduled_at=scheduled_at, adopt=adopt, **fields)


def _move(random: Random, number: int, batches: list[str]) -> Command | int | list[int]:
    (kind,) = random.choices(list(_SHARES), list(_SHARES.values()))
    invocation_id, action = random.choice(_IDS), random.choice(_ACTIONS)
    grace_ms, on_timeout = random.choice((None, 0, 4_000, 20_000)), random.choice(list(OnTimeout))
    match kind:
        case "invoke":
            return invoke_any(
                invocation_id,
                scheduled_at=random.choice((None, None, START + random.randrange(90_000))),
                adopt=random.random() < 0.05,
                service=random.choice(("mail", "bill")),
                lease_ms=random.choice((None, 3_000, 30_000)),
            )
        case "report":
            retry_at = START + random.randrange(60_000)
            to, report_no = random.choice(_REPORTED), random.choice((None, number))
            return ReportTransition(invocation_id, random.randint(1, 3), None, report_no, to, retry_at)
        case "act":
            return Act(invocation_id, action, grace_ms, on_timeout, random.random() < 0.2)
        case "batch":
            filter_ = random.choice(_ENDED_ONLY if action in {Action.PURGE, Action.RESTART} else _FILTERS)
            batches.append(f"b{number}")
            return _batch(random, batches[-1], action, filter_, grace_ms=grace_ms, on_timeout=on_timeout)
        case "control":
            return ControlBatch(random.choice(batches[-3:]), random.choice(_CONTROLS))
        case _:
            turns = [random.randrange(3) for _ in range(random.randrange(1, 20))]
            return random.randrange(12_000) if kind == "time" else turns


def _batch(random: Random, batch_id: str, action: Action, filter_: Filter, **fields: Any) -> StartBatch:
    """A batch; some of them are slow, so that much happens beside them, and some stand."""
    if random.random() < 0.15:
        return StartBatch(batch_id, action, filter_, standing_until=START + random.randrange(20_000, 100_000), **fields)
    limit, max_rate = random.choice((None, None, None, 3)), random.choice((None, None, 0.1, 0.5, 7.0))
    dry_run = random.random() < 0.1
    return StartBatch(batch_id, action, filter_, dry_run, limit, max_rate, **fields)


long_histories = st.builds(_history, st.integers(0, 2**32), st.sampled_from((10, 40, 120, 120)))
