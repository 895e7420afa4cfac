"""Queries and answers between gateways and workers: JSON with the fields of these structs, times in milliseconds."""

from __future__ import annotations

import difflib
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from streams.listing.views import InvocationView
from streams.model import Exclusion, Filter, Status
from streams.model.base import Record
from streams.protocol.batch_validation import filter_fault

MAX_LIMIT: Final = 500
"""Most invocations of one page."""
MAX_QUERY_BYTES: Final = 1024 * 1024
"""Most bytes of an encoded query."""

_R = TypeVar("_R", bound=Record)
_NESTED: Final = {"filter": Filter, "exclude": Exclusion}
_encode: Final = msgspec.json.Encoder().encode


class GroupBy(StrEnum):
    """The value by which invocations are counted, besides their status."""

    SERVICE = "service"
    HANDLER = "handler"
    DEPLOYMENT_ID = "deployment_id"


class QueryRefusedError(ValueError):
    """A query that breaks a rule; `field` is the field's name, where there is one."""

    def __init__(self, text: str, field: str | None = None) -> None:
        super().__init__(text)
        self.field = field


class ListQuery(Record, frozen=True):
    """A page of the invocations that a filter matches, newest first. `cursor`: of the page before."""

    filter: Filter = Filter(match_all=True)
    limit: int = 50
    cursor: str | None = None


class CountQuery(Record, frozen=True):
    """The number of invocations that a filter matches, by status."""

    filter: Filter = Filter(match_all=True)
    group_by: GroupBy | None = None


class OneQuery(Record, frozen=True):
    """One invocation. `payload`: whether its payload is wanted."""

    invocation_id: str
    payload: bool = False


class ListRequest(Record, frozen=True):
    """`POST /queries/list`. `places`: by partition, the seq below which its rows are wanted; None: all of them."""

    filter: Filter
    limit: int
    places: dict[int, int | None]


class Reached(Record, frozen=True):
    """The place up to which a partition's rows were looked at, newest first: all those from `seq` up.

    `created_at`: no row below was created later. `done`: none below matches.
    """

    seq: int
    created_at: int
    done: bool = False


class ListAnswer(Record, frozen=True):
    """Matching rows, newest first, and the place that each partition has reached; partitions not owned are left out."""

    as_of: int
    items: tuple[InvocationView, ...]
    reached: dict[int, Reached]


class CountRequest(Record, frozen=True):
    """`POST /queries/count`."""

    filter: Filter
    partitions: tuple[int, ...]
    group_by: GroupBy | None = None


class CountedGroup(Record, frozen=True):
    """Numbers of invocations by status. `value`: that of `group_by`; None: without such a value, or not grouped."""

    counts: dict[Status, int]
    value: str | None = None


class PartitionCounts(Record, frozen=True):
    """The counts of one partition; its clock, and the offsets between its table and the end of its log, if known."""

    groups: tuple[CountedGroup, ...]
    clock: int
    lag: int | None = None


class CountAnswer(Record, frozen=True):
    """The counts by partition; partitions not owned, or not counted in time, are left out."""

    as_of: int
    partitions: dict[int, PartitionCounts]


class OneRequest(Record, frozen=True):
    """`POST /queries/one`."""

    invocation_id: str
    partition: int
    payload: bool = False


class OneAnswer(Record, frozen=True):
    """`owned`: the worker has the partition; `view` is None if no row has the id."""

    as_of: int
    owned: bool = True
    view: InvocationView | None = None


def check_query(filter_: Filter, limit: int = 1) -> None:
    """Raise `QueryRefusedError` for a filter that is unclear or too large, or a limit out of bounds."""
    if not 1 <= limit <= MAX_LIMIT:
        raise QueryRefusedError(f"limit is {limit}: at least 1 and at most {MAX_LIMIT}", "limit")
    if fault := filter_fault(filter_, None):
        raise QueryRefusedError(fault, "filter")


def encode_query(record: Record) -> bytes:
    """The JSON of a query or an answer."""
    return _encode(record)


def decode_query(kind: type[_R], body: bytes) -> _R:
    """The query in a body.

    Raises:
        QueryRefusedError: it is not one, or has a field that this release does not know: it would change the meaning.
    """
    try:
        value = msgspec.json.decode(body)
        _refuse_unknown(kind, value)
        return msgspec.convert(value, kind, str_keys=True)
    except msgspec.MsgspecError as error:
        raise QueryRefusedError(str(error)) from error


def decode_answer(kind: type[_R], body: bytes) -> _R:
    """The answer in a body; fields of a later release are ignored. Raises `QueryRefusedError` if it is not one."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise QueryRefusedError(str(error)) from error


def _refuse_unknown(kind: Any, value: Any) -> None:
    if not isinstance(value, dict):
        return
    known = kind.__struct_fields__
    for name, part in value.items():
        if name not in known:
            meant = difflib.get_close_matches(name, known, n=1)
            way_out = f": did you mean {meant[0]}?" if meant else ""
            raise QueryRefusedError(f"{kind.__name__} has no field {name!r}{way_out}", name)
        if name in _NESTED:
            _refuse_unknown(_NESTED[name], part)
