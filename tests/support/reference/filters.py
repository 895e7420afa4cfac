"""Which rows a filter names, and which filters are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.model import Action, Exclusion, Filter, Status
from support.reference.state import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.model import Invocation
    from support.reference.state import Row

TO_ACT_ON = {
    Action.KILL: set(Status) - ENDED,
    Action.CANCEL: set(Status) - ENDED - {Status.CANCELLING},
    Action.PAUSE: set(Status) - ENDED - {Status.CANCELLING, Status.PAUSED},
    Action.RESUME: {Status.PAUSED},
    Action.PURGE: set(ENDED),
    Action.RESTART: set(ENDED),
}
"""Statuses in which an action has something to do."""
ON_ENDED = {Action.PURGE, Action.RESTART}


class Seen(NamedTuple):
    """What a filter looks at; `deployment_id`: pinned, else asked for, `ended_by`: the batch that ends or ended it."""

    invocation: Invocation
    seq: int
    status: Status
    deployment_id: str | None
    created_at: int
    modified_at: int
    started_seq: int | None
    ended_by: str | None


def seen(row: Row) -> Seen:
    """What a filter looks at of this row."""
    invocation = row.invoke.invocation
    return Seen(
        invocation,
        row.seq,
        row.status,
        row.deployment_id or invocation.deployment_id,
        row.created_at,
        row.modified_at,
        row.started_seq,
        row.ending.cause.batch_id if row.ending is not None else None,
    )


def matches(wanted: Filter, action: Action, row: Seen, cutoff: int) -> bool:
    """Whether a page of the action finds this row, were it its turn now."""
    if row.seq >= cutoff or (row.status in ENDED) != (action in ON_ENDED):
        return False
    if asks_for_what_moves(wanted) and row.started_seq is not None and row.started_seq > cutoff:
        return False
    return names(wanted, row)


def asks_for_what_moves(wanted: Filter) -> bool:
    """Statuses and modified times, also of what is left out."""
    said: list[Filter | Exclusion] = [wanted] if wanted.exclude is None else [wanted, wanted.exclude]
    return any(
        each.statuses is not None or each.modified_from is not None or each.modified_until is not None for each in said
    )


def names(wanted: Filter, row: Seen) -> bool:
    """Fields are ANDed, values within a list ORed, an absent field matches all; then what is left out is taken off."""
    if wanted.invocation_ids is not None and row.invocation.invocation_id not in wanted.invocation_ids:
        return False
    return all(_fields(wanted, row)) and not (wanted.exclude is not None and any(_fields(wanted.exclude, row)))


def _fields(said: Filter | Exclusion, row: Seen) -> Iterator[bool]:
    """Whether the row is of each list, each label, each label's list and each pair of bounds that is given."""
    invocation = row.invocation
    lists = (
        (said.services, invocation.service),
        (said.handlers, invocation.handler),
        (said.object_keys, invocation.object_key),
        (said.deployment_ids, row.deployment_id),
        (said.statuses, row.status),
        (said.flow_ids, invocation.flow_id),
        (said.parent_ids, invocation.parent_id),
        (said.batch_ids, row.ended_by),
    )
    for values, value in lists:
        if values is not None:
            yield value is not None and value in values
    pairs = (
        (said.created_from, said.created_until, row.created_at),
        (said.modified_from, said.modified_until, row.modified_at),
    )
    for start, until, at in pairs:
        if start is not None or until is not None:
            yield (start is None or start <= at) and (until is None or at < until)
    for key, value in (said.labels or {}).items():
        yield key in invocation.labels and invocation.labels[key] == value
    for key, values in (said.labels_in or {}).items():
        yield key in invocation.labels and invocation.labels[key] in values


def refused(wanted: Filter, action: Action) -> bool:
    """Whether a batch with this filter is refused."""
    given = _given(wanted)
    left_out = given.pop("exclude", None)
    if not given and not wanted.match_all:
        return True
    excluded = {} if left_out is None else _given(wanted.exclude)
    if left_out is not None and not excluded:
        return True
    return _malformed(given) or _malformed(excluded) or _pointless(wanted, action)


def _given(said: Filter | Exclusion | None) -> dict[str, object]:
    names_ = [] if said is None else [name for name in said.__struct_fields__ if name != "match_all"]
    return {name: getattr(said, name) for name in names_ if getattr(said, name) is not None}


def _malformed(given: dict[str, object]) -> bool:
    """An empty list or map, or an inverted range."""
    lists = given.get("labels_in")
    if any(value in ((), {}) for value in given.values()) or (isinstance(lists, dict) and () in lists.values()):
        return True
    for kind in ("created", "modified"):
        start, until = given.get(f"{kind}_from"), given.get(f"{kind}_until")
        if isinstance(start, int) and isinstance(until, int) and until < start:
            return True
    return False


def _pointless(wanted: Filter, action: Action) -> bool:
    """A status that the action never finds, or none left in which it has something to do."""
    chosen = set(Status) if wanted.statuses is None else set(wanted.statuses)
    left_out = set() if wanted.exclude is None else set(wanted.exclude.statuses or ())
    named = left_out | (set() if wanted.statuses is None else chosen)
    if action is Action.RESUME and named - {Status.PAUSED}:
        return True
    if any((status in ENDED) != (action in ON_ENDED) for status in named):
        return True
    return not (chosen - left_out) & TO_ACT_ON[action]
