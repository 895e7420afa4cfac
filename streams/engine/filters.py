"""Filters of batches: the rows they match. `streams.protocol.validation` says which filters are refused.

`matches` decides in Python for one row what the store's SQL decides for many.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from streams.model import ON_ENDED, TERMINAL, Filter, Record
from streams.protocol.batch_validation import CHANGING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from streams.model import Action, Exclusion, Invocation, Row

    Test = Callable[["Facts"], bool]


class Facts(Record, frozen=True):
    """The input of a filter: a row, and its invocation, which never changes."""

    row: Row
    invocation: Invocation

    @property
    def deployment_id(self) -> str | None:
        """The deployment pinned by a report, else the requested one."""
        pinned = self.row.deployment_id
        return self.invocation.deployment_id if pinned is None else pinned

    @property
    def batch_id(self) -> str | None:
        """The batch that ended the row or is cancelling it."""
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
"""Filter fields that list a row's allowed values, each with the place of that value."""


def matches(filter_: Filter, action: Action, cutoff: int, facts: Facts) -> bool:
    """True if a page of a slice with this cut-off acts on the row."""
    return matching(filter_, action, cutoff)(facts)


def matching(filter_: Filter, action: Action, cutoff: int) -> Test:
    """A slice's filter compiled into a test: does a page of the slice act on this row?

    `cutoff` is the offset of the slice's `StartSlice`. PURGE and RESTART match ended rows only, every other action
    the others only. A filter that uses statuses or modified time, in its exclusions too, matches no row first started
    after the cut-off.
    """
    says, ended = saying(filter_), action in ON_ENDED
    changing = any(getattr(part, name) is not None for part in (filter_, filter_.exclude) if part for name in CHANGING)

    def acts_on(facts: Facts) -> bool:
        row = facts.row
        if row.seq >= cutoff or (row.status in TERMINAL) is not ended:
            return False
        if changing and row.started_seq is not None and row.started_seq > cutoff:
            return False
        return says(facts)

    return acts_on


def saying(filter_: Filter) -> Test:
    """The filter compiled into a test: does a row have everything it asks for, and nothing it excludes?

    The cost per row does not grow with the length of the filter's lists.
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
    """One test per list, per pair of times, per label and per label's list."""
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
    """A test of the row's value against the list. A row without a value fails it."""
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
