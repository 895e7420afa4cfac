"""Filters of batches: which are refused, and what they match.

`matches` says about one row in Python what the store's SQL says about many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streams.engine.lifecycle import TERMINAL
from streams.engine.validate import id_fault, labels_fault
from streams.model import Action, Record

if TYPE_CHECKING:
    from streams.model import Filter, Invocation, Row

MAX_FILTER_BYTES: Final = 256 * 1024
MAX_INVOCATION_IDS: Final = 10_000
_ID_LISTS: Final = (
    "services",
    "handlers",
    "object_keys",
    "deployment_ids",
    "flow_ids",
    "parent_ids",
    "invocation_ids",
    "batch_ids",
)
_RANGES: Final = (("created_from", "created_until"), ("modified_from", "modified_until"))

_encode = msgspec.msgpack.Encoder().encode


class Facts(Record, frozen=True):
    """What a filter looks at: a row, and the part of it that never changes."""

    row: Row
    invocation: Invocation

    @property
    def deployment_id(self) -> str | None:
        """The deployment pinned by a report, else the one asked for."""
        pinned = self.row.deployment_id
        return self.invocation.deployment_id if pinned is None else pinned

    @property
    def batch_id(self) -> str | None:
        """The batch by which the row was ended or is being cancelled."""
        return None if self.row.ending is None else self.row.ending.cause.batch_id


def filter_fault(filter_: Filter, action: Action) -> str | None:
    """Why `filter_` is refused for `action`: the field, the rule and the way out; None when it is fine."""
    # No encoding of ours is longer than this one, but for a byte for each field that is absent.
    size = len(_encode(filter_))
    if size > MAX_FILTER_BYTES:
        return f"filter has {size} bytes, at most {MAX_FILTER_BYTES} are allowed: use several batches"
    return (
        _emptiness_fault(filter_)
        or _range_fault(filter_)
        or _ids_fault(filter_)
        or _labels_fault(filter_)
        or _statuses_fault(filter_, action)
    )


def _emptiness_fault(filter_: Filter) -> str | None:
    given = {field: value for field in filter_.__struct_fields__ if (value := getattr(filter_, field)) is not None}
    if not given.pop("match_all") and not given:
        return "filter.match_all is not set and the filter is empty: set it, or say what to match"
    for field, value in given.items():
        if value in ((), {}):
            return f"filter.{field} is empty and would match nothing: leave it out, or say what to match"
    return None


def _range_fault(filter_: Filter) -> str | None:
    for lower, upper in _RANGES:
        start, end = getattr(filter_, lower), getattr(filter_, upper)
        if start is not None and end is not None and end < start:
            return f"filter.{upper} {end} lies before {lower} {start}: exchange them"
    return None


def _ids_fault(filter_: Filter) -> str | None:
    for field in _ID_LISTS:
        for value in getattr(filter_, field) or ():
            if fault := id_fault(value):
                return f"filter.{field} holds one that {fault}"
    count = len(filter_.invocation_ids or ())
    if count > MAX_INVOCATION_IDS:
        return f"filter.invocation_ids has {count} ids, at most {MAX_INVOCATION_IDS} are allowed: use several batches"
    return None


def _labels_fault(filter_: Filter) -> str | None:
    fault = labels_fault(filter_.labels or {})
    return fault and f"filter.labels {fault}"


def _statuses_fault(filter_: Filter, action: Action) -> str | None:
    if action is Action.PURGE:
        return None
    for status in filter_.statuses or ():
        if status in TERMINAL:
            return f"filter.statuses holds {status}, and {action} only acts on what has not ended: leave it out"
    return None


def matches(filter_: Filter, action: Action, cutoff: int, facts: Facts) -> bool:
    """Whether a page of a slice with this cut-off acts on the row.

    `cutoff` is the offset of the slice's `StartSlice`. PURGE matches rows that have ended, all else those that have
    not. A filter on statuses or modified time leaves out what was first started behind the cut-off.
    """
    row = facts.row
    if row.seq >= cutoff or (row.status in TERMINAL) is not (action is Action.PURGE):
        return False
    moving = (filter_.statuses, filter_.modified_from, filter_.modified_until)
    if row.started_seq is not None and row.started_seq > cutoff and any(value is not None for value in moving):
        return False
    return _times_match(filter_, row) and _values_match(filter_, facts) and _labels_match(filter_, facts.invocation)


def _times_match(filter_: Filter, row: Row) -> bool:
    return (
        (filter_.created_from is None or row.created_at >= filter_.created_from)
        and (filter_.created_until is None or row.created_at < filter_.created_until)
        and (filter_.modified_from is None or row.modified_at >= filter_.modified_from)
        and (filter_.modified_until is None or row.modified_at < filter_.modified_until)
    )


def _values_match(filter_: Filter, facts: Facts) -> bool:
    invocation = facts.invocation
    pairs = (
        (filter_.services, invocation.service),
        (filter_.handlers, invocation.handler),
        (filter_.object_keys, invocation.object_key),
        (filter_.deployment_ids, facts.deployment_id),
        (filter_.statuses, facts.row.status),
        (filter_.flow_ids, invocation.flow_id),
        (filter_.parent_ids, invocation.parent_id),
        (filter_.invocation_ids, invocation.invocation_id),
        (filter_.batch_ids, facts.batch_id),
    )
    return all(wanted is None or value in wanted for wanted, value in pairs)


def _labels_match(filter_: Filter, invocation: Invocation) -> bool:
    wanted = filter_.labels or {}
    return all(invocation.labels.get(key) == value for key, value in wanted.items())
