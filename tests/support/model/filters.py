"""Which rows a filter names, and which filters are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.model import Action
from support.model.state import ENDED

if TYPE_CHECKING:
    from streams.model import Filter
    from support.model.state import Row


def matches(wanted: Filter, action: Action, row: Row, cutoff: int) -> bool:
    """Whether a page of the action finds this row, were it its turn now."""
    if row.seq >= cutoff or row.ended != (action is Action.PURGE):
        return False
    by_standing = wanted.statuses is not None or wanted.modified_from is not None or wanted.modified_until is not None
    if by_standing and row.started_seq is not None and row.started_seq > cutoff:
        return False
    return names(wanted, row)


def names(wanted: Filter, row: Row) -> bool:
    """Fields are ANDed, values within a list ORed, an absent field matches all."""
    invocation = row.invoke.invocation
    ended_by = row.ending.cause.batch_id if row.ending is not None else None
    lists = (
        (wanted.services, invocation.service),
        (wanted.handlers, invocation.handler),
        (wanted.object_keys, invocation.object_key),
        (wanted.deployment_ids, row.deployment_id or invocation.deployment_id),
        (wanted.statuses, row.status),
        (wanted.flow_ids, invocation.flow_id),
        (wanted.parent_ids, invocation.parent_id),
        (wanted.invocation_ids, invocation.invocation_id),
        (wanted.batch_ids, ended_by),
    )
    return (
        all(values is None or value in values for values, value in lists)
        and (wanted.created_from is None or row.created_at >= wanted.created_from)
        and (wanted.created_until is None or row.created_at < wanted.created_until)
        and (wanted.modified_from is None or row.modified_at >= wanted.modified_from)
        and (wanted.modified_until is None or row.modified_at < wanted.modified_until)
        and all(invocation.labels.get(key) == value for key, value in (wanted.labels or {}).items())
    )


def refused(wanted: Filter, action: Action) -> bool:
    """Whether a batch with this filter is refused."""
    given = {name: getattr(wanted, name) for name in wanted.__struct_fields__ if name != "match_all"}
    given = {name: value for name, value in given.items() if value is not None}
    if not given and not wanted.match_all:
        return True
    if any(value in ((), {}) for value in given.values()):
        return True
    for kind in ("created", "modified"):
        start, until = given.get(f"{kind}_from"), given.get(f"{kind}_until")
        if start is not None and until is not None and until < start:
            return True
    return action is not Action.PURGE and not ENDED.isdisjoint(wanted.statuses or ())
