"""Filters of batches: what they match. Which are refused stands in `streams.rules`.

`matches` says about one row in Python what the store's SQL says about many.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from streams.batch_rules import MOVING
from streams.model import Action, Filter, Record
from streams.rules import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from streams.model import Exclusion, Invocation, Row

    Test = Callable[["Facts"], bool]


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


_LISTS: Final = (
    ("services", attrgetter("invocation.service")),
    ("handlers", attrgetter("invocation.handler")),
    ("object_keys", attrgetter("invocation.object_key")),
    ("deployment_ids", attrgetter("deployment_id")),
    ("statuses", attrgetter("row.status")),
    ("flow_ids", attrgetter("invocation.flow_id")),
    ("parent_ids", attrgetter("invocation.parent_id")),
    ("invocation_ids", attrgetter("invocation.invocation_id")),
    ("batch_ids", attrgetter("batch_id")),
)
"""Fields that list what a row's value may be, and where that value is."""


def matches(filter_: Filter, action: Action, cutoff: int, facts: Facts) -> bool:
    """Whether a page of a slice with this cut-off acts on the row."""
    return matching(filter_, action, cutoff)(facts)


def matching(filter_: Filter, action: Action, cutoff: int) -> Test:
    """The filter of a slice made ready to say whether a page of it acts on a row, as `saying` does.

    `cutoff` is the offset of the slice's `StartSlice`. PURGE matches rows that have ended, all else those that have
    not. A filter on statuses or modified time, also of what it leaves out, matches none that was first started behind
    the cut-off.
    """
    says, ended = saying(filter_), action is Action.PURGE
    moving = any(getattr(part, name) is not None for part in (filter_, filter_.exclude) if part for name in MOVING)

    def acts_on(facts: Facts) -> bool:
        row = facts.row
        if row.seq >= cutoff or (row.status in TERMINAL) is not ended:
            return False
        if moving and row.started_seq is not None and row.started_seq > cutoff:
            return False
        return says(facts)

    return acts_on


def saying(filter_: Filter) -> Test:
    """The filter made ready to say whether a row has what it asks for and nothing that it leaves out.

    What a row costs does not grow with the filter's lists.
    """
    wanted, unwanted = _tests(filter_), [] if filter_.exclude is None else _tests(filter_.exclude)

    def says(facts: Facts) -> bool:
        for test in wanted:
            if not test(facts):
                return False
        for test in unwanted:  # noqa: SIM110 - `any` would make a generator for every row
            if test(facts):
                return False
        return True

    return says


def _tests(said: Filter | Exclusion) -> list[Test]:
    """One for each list, each pair of times, each label and each label's list."""
    lists = [(read, getattr(said, name, None)) for name, read in _LISTS]
    tests = [_among(read, values) for read, values in lists if values is not None]
    for name in ("created", "modified"):
        start, end = getattr(said, f"{name}_from"), getattr(said, f"{name}_until")
        if start is not None or end is not None:
            tests.append(_between(attrgetter(f"row.{name}_at"), start, end))
    tests += [_labelled(key, (value,)) for key, value in (said.labels or {}).items()]
    tests += [_labelled(key, values) for key, values in (said.labels_in or {}).items()]
    return tests


def _among(read: Callable[[Facts], str | None], values: Collection[str]) -> Test:
    """A row without such a value has none of them."""
    wanted = frozenset(values)
    return lambda facts: read(facts) in wanted


def _between(read: Callable[[Facts], int], start: int | None, end: int | None) -> Test:
    def test(facts: Facts) -> bool:
        at = read(facts)
        return (start is None or at >= start) and (end is None or at < end)

    return test


def _labelled(key: str, values: Collection[str]) -> Test:
    wanted = frozenset(values)
    return lambda facts: facts.invocation.labels.get(key) in wanted
