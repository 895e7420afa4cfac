"""A filter as an SQL condition on rows. Values reach SQLite as bound parameters only."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streams.model import ON_ENDED
from streams.protocol.batch_validation import CHANGING
from streams.state import lists
from streams.state.labels import LABEL_END, escape_label, label_head, label_text
from streams.state.schema import CODES, FIRST_TERMINAL
from streams.state.shared import JOIN, whichever

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streams.model import Action, Exclusion, Filter

_BOUND_ONE_BY_ONE: Final = 32
"""Longer lists are known to `lists`: SQLite limits parameters and depth of a statement, a filter limits neither."""

_TRIED_ONE_BY_ONE: Final = 4
"""Up to this number of values of a label, trying each is faster than a look-up."""

_IN_A_CHAIN: Final = 200
"""Longest chain of conditions: its depth is its length, and SQLite limits the depth to 1,000."""

_DEPLOYMENTS: Final = ("r.pinned", "i.deployment_id", "s.deployment_id")

_BATCH: Final = (
    "CASE WHEN delta IS NULL THEN batch_id ELSE (SELECT d.batch_id FROM deltas d WHERE d.offset = delta) END"
)


class Condition(NamedTuple):
    """An SQL expression over `rows r`, its parameters, and the lists that must be passed to `lists.know` first."""

    sql: str
    params: tuple[Any, ...]
    lists: tuple[tuple[str, ...], ...] = ()


def _among(expression: str, values: Iterable[str]) -> Condition:
    """A condition: the expression is one of the values."""
    wanted = tuple(values)
    if len(wanted) <= _BOUND_ONE_BY_ONE:
        return Condition(f"{expression} IN ({', '.join('?' * len(wanted))})", wanted)
    return Condition(f"{lists.AMONG}({expression}, ?)", (lists.number_of(wanted),), (wanted,))


def _labelled(column: str, labels: dict[str, str]) -> list[Condition]:
    """One condition per label: the row has it. `column`: that of its labels."""
    # Not one JSON list: SQLite would parse it again for every row.
    return [Condition(f"instr({column}, ?)", (label_text(key, value),)) for key, value in labels.items()]


def _labelled_among(column: str, key: str, values: Iterable[str]) -> Condition:
    """A condition: the row has the label with one of these values. For many, its value is cut out and looked up."""
    few = list(values)
    if len(few) <= _TRIED_ONE_BY_ONE:
        tried = " OR ".join([f"instr({column}, ?)"] * len(few))
        return Condition(f"({tried})", tuple(label_text(key, value) for value in few))
    head = label_head(key)
    tail = f"substr({column}, nullif(instr({column}, ?), 0) + ?)"
    cut = (head, len(head))
    among = _among(f"substr({tail}, 1, instr({tail}, {LABEL_END}) - 1)", map(escape_label, few))
    return among._replace(params=(*cut, *cut, *among.params))


def condition_of(filter_: Filter, action: Action, cutoff: int) -> Condition:
    """The condition under which a slice with this filter, action and cut-off acts on a row.

    PURGE and RESTART match terminal rows only, every other action the others only. A filter that uses statuses or
    modified time, in its exclusions too, never matches a row first started after the cut-off.
    """
    parts = [Condition(f"status {'>=' if action in ON_ENDED else '<'} {FIRST_TERMINAL}", ())]
    said = (filter_, filter_.exclude)
    if any(getattr(part, name) is not None for part in said if part for name in CHANGING):
        parts.append(Condition("(started_seq IS NULL OR started_seq <= ?)", (cutoff,)))
    changing, lasting = _halves(filter_)
    if lasting:
        of_it = _all(lasting)
        other_half = f"SELECT 1 FROM invocations i {JOIN} WHERE i.seq = r.seq AND {of_it.sql}"  # noqa: S608 - our own names
        changing.append(of_it._replace(sql=f"EXISTS ({other_half})"))
    return _all(parts + changing)


def condition_of_filter(filter_: Filter) -> tuple[Condition, bool]:
    """The condition under which a row, of any status, is what the filter says.

    Also returns whether it concerns `invocations i`, too, which the statement must then join.
    """
    changing, lasting = _halves(filter_)
    return _all([*changing, *lasting] or [Condition("TRUE", ())]), bool(lasting)


def _halves(filter_: Filter) -> tuple[list[Condition], list[Condition]]:
    """The filter's conditions on `rows`, and those on `invocations`."""
    changing, lasting, left_out = _changing(filter_), _lasting(filter_), filter_.exclude
    if left_out is not None:
        changing += map(_not, _changing(left_out))
        lasting += map(_not, _lasting(left_out))
    own = _shareable("i.{}".format, filter_)
    if len(own.params) > _BOUND_ONE_BY_ONE:
        lasting.append(_shareable(whichever, filter_))
    elif own.sql:
        lasting.append(_either(own, _shareable("s.{}".format, filter_)))
    return changing, lasting


def _changing(said: Filter | Exclusion) -> list[Condition]:
    """Its conditions on `rows`: one per list and per pair of times."""
    parts = []
    if said.statuses is not None:
        codes = sorted({CODES[status] for status in said.statuses})
        parts.append(Condition(f"status IN ({', '.join('?' * len(codes))})", tuple(codes)))
    parts += _between("modified_at", said.modified_from, said.modified_until)
    return parts + _lists(("service", said.services), ("object_key", said.object_keys), (_BATCH, said.batch_ids))


def _lasting(said: Filter | Exclusion) -> list[Condition]:
    """Its conditions on `invocations`, besides the `_shareable` ones: likewise."""
    parts = _between("created_at", said.created_from, said.created_until)
    parts += _lists(
        ("flow_id", said.flow_ids),
        ("parent_id", said.parent_ids),
        ("id", getattr(said, "invocation_ids", None)),
    )
    if said.deployment_ids is not None:
        pinned, own, shared = (_among(column, said.deployment_ids) for column in _DEPLOYMENTS)
        asked = _either(own, shared)
        sql = f"CASE WHEN r.pinned IS NULL THEN {asked.sql} ELSE {pinned.sql} END"
        parts.append(Condition(sql, (*asked.params, *pinned.params), pinned.lists))
    return parts


def _shareable(column: Callable[[str], str], filter_: Filter) -> Condition:
    """The filter's condition on handler and labels, empty if it has none. `column`: SQL for these, by name."""
    handler, labels = column("handler"), column("labels")
    parts: list[Condition] = []
    for said in (filter_, filter_.exclude):
        if said is not None:
            of_it = _lists((handler, said.handlers)) + _labelled(labels, said.labels or {})
            of_it += [_labelled_among(labels, *each) for each in (said.labels_in or {}).items()]
            parts += of_it if said is filter_ else map(_not, of_it)
    return _all(parts)


def _either(own: Condition, shared: Condition) -> Condition:
    """The condition on an invocation's own columns, or on those it shares: these are looked at once in a statement."""
    among = f"i.shared IN (SELECT s.number FROM shared s WHERE {shared.sql})"  # noqa: S608 - our own names
    sql = f"CASE WHEN i.shared IS NULL THEN {own.sql} ELSE {among} END"
    return Condition(sql, (*own.params, *shared.params), own.lists)


def _not(part: Condition) -> Condition:
    """The negated condition. It holds for a row without the value, where SQL's answer is NULL."""
    return part._replace(sql=f"({part.sql}) IS NOT TRUE")


def _between(column: str, start: int | None, end: int | None) -> list[Condition]:
    bounds = [(f"{column} >= ?", start), (f"{column} < ?", end)]
    given = [Condition(sql, (bound,)) for sql, bound in bounds if bound is not None]
    return [_all(given)] if given else []


def _lists(*given: tuple[str, Iterable[str] | None]) -> list[Condition]:
    return [_among(expression, values) for expression, values in given if values is not None]


def _all(parts: list[Condition]) -> Condition:
    sqls = [part.sql for part in parts]
    while len(sqls) > _IN_A_CHAIN:
        chains = [sqls[start : start + _IN_A_CHAIN] for start in range(0, len(sqls), _IN_A_CHAIN)]
        sqls = [f"({' AND '.join(chain)})" for chain in chains]
    params = chain.from_iterable(part.params for part in parts)
    return Condition(" AND ".join(sqls), tuple(params), tuple(chain.from_iterable(part.lists for part in parts)))
