"""Filters of batches: what they match. Which are refused stands in `streams.rules`.

`matches` says about one row in Python what the store's SQL says about many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.model import Action, Record
from streams.rules import TERMINAL

if TYPE_CHECKING:
    from streams.model import Filter, Invocation, Row


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
