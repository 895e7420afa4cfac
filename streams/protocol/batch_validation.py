"""Rules of a `StartBatch` and its filter, shared by its senders and the engine.

Each check returns quietly, or raises `CommandRefusedError` with `invalid_<field>`, the rule and the way out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from streams.model import ENDING_ACTIONS, ON_ENDED, TERMINAL, Action, Status
from streams.protocol.validation import (
    MAX_LABELS,
    CommandRefusedError,
    are_ids,
    check_grace,
    check_id,
    check_limit,
    check_rate,
    check_text,
    id_fault,
    labels_fault,
    refuse,
    text_fault,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.model import Exclusion, Filter, StartBatch

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
_NOT_ENDED: Final = (frozenset(Status) - TERMINAL, "what has not ended")
_LOOKED_AT: Final = {
    **dict.fromkeys(ON_ENDED, (TERMINAL, "what has ended")),
    Action.RESUME: (frozenset({Status.PAUSED}), "what is PAUSED"),
}
"""The statuses of rows on which a batch of an action may act, and those in words; any other has `_NOT_ENDED`."""
_NOTHING_TO_DO: Final = {
    Action.PAUSE: frozenset({Status.PAUSED, Status.CANCELLING}),
    Action.CANCEL: frozenset({Status.CANCELLING}),
}
"""Statuses that an action matches only to skip them."""
CHANGING: Final = ("statuses", "modified_from", "modified_until")
"""Fields of a filter, and of its exclusions, about values that change while a batch runs."""
_NEVER_STANDING: Final = (*CHANGING, "invocation_ids", "batch_ids")
_AT_THE_DOOR: Final = "it says nothing of an invocation that arrives"
_UNBOUNDED: Final = "what arrives is ended at once, however much it is"
_RANGES: Final = (("created_from", "created_until"), ("modified_from", "modified_until"))

_encode = msgspec.msgpack.Encoder().encode


def looked_at(action: Action) -> frozenset[Status]:
    """The statuses of the rows on which a batch of the action may act."""
    return _LOOKED_AT.get(action, _NOT_ENDED)[0]


def check_start_batch(command: StartBatch, now: int | None = None) -> None:
    """Check all fields of a `StartBatch`, its filter included; its times only if `now` (ms since 1970) is given."""
    check_id("batch_id", command.batch_id)
    check_text("actor", command.actor)
    check_text("reason", command.reason)
    check_grace(command.grace_ms)
    check_limit(command.limit)
    check_rate(command.max_rate)
    if now is not None:
        _check_times(command, now)
    check_filter(command.filter, command.action)
    check_standing(command)


def _check_times(command: StartBatch, now: int) -> None:
    """Check that its times lie ahead. A sender's clock differs from the log's, so only the engine checks them."""
    if command.expires_at is not None and command.expires_at <= now:
        refuse("expires_at", f"{command.expires_at} has passed: give a later time in ms since 1970, or leave it out")
    if command.standing_until is not None and command.standing_until <= now:
        refuse("standing_until", f"{command.standing_until} has passed: give a later time in ms since 1970")


def check_standing(command: StartBatch) -> None:
    """Check a standing batch: only a CANCEL or KILL may stand, and its filter may only ask what arrivals can answer."""
    if command.standing_until is None:
        return
    if command.action not in ENDING_ACTIONS:
        refuse("standing_until", f"is set with {command.action}: leave it out, only CANCEL and KILL stand")
    for path, said in _parts(command.filter):
        for field in _NEVER_STANDING:
            if getattr(said, field, None) is not None:
                refuse("standing_until", f"is set together with {path}.{field}: leave one of them out, {_AT_THE_DOOR}")
    for field in ("limit", "max_rate"):
        if getattr(command, field) is not None:
            refuse("standing_until", f"is set together with {field}: leave one of them out, {_UNBOUNDED}")


def check_filter(filter_: Filter, action: Action) -> None:
    """Check that a filter is clear and not too large."""
    if fault := filter_fault(filter_, action):
        raise CommandRefusedError("invalid_filter", fault)


def filter_fault(filter_: Filter, action: Action | None) -> str | None:
    """The reason why `filter_` is refused for `action`: the field, the rule and the way out; None if it is valid.

    Without an action, as in a list, any status may be asked for.
    """
    # No encoding of ours is longer than this one, except for one byte per absent field.
    size = len(_encode(filter_))
    if size > MAX_FILTER_BYTES:
        return f"filter has {size} bytes, at most {MAX_FILTER_BYTES} are allowed: use several batches"
    if fault := _emptiness_fault(filter_):
        return fault
    for path, said in _parts(filter_):
        fault = _range_fault(path, said) or _ids_fault(path, said) or _labels_fault(path, said)
        if fault:
            return fault
    return None if action is None else _statuses_fault(filter_, action)


def _parts(filter_: Filter) -> Iterator[tuple[str, Filter | Exclusion]]:
    """The filter and its exclusions, by name."""
    yield "filter", filter_
    if filter_.exclude is not None:
        yield "filter.exclude", filter_.exclude


def _emptiness_fault(filter_: Filter) -> str | None:
    given = _given(filter_)
    left_out = given.pop("exclude", None)
    if not given.pop("match_all") and not given:
        what = "is empty" if left_out is None else "only says what to leave out"
        return f"filter.match_all is not set and the filter {what}: set it, or say what to match"
    for field, value in given.items():
        if _is_empty(value):
            return f"filter.{field} is empty and would match nothing: leave it out, or say what to match"
    if left_out is None:
        return None
    unwanted = _given(left_out)
    empty = [f".{field}" for field, value in unwanted.items() if _is_empty(value)] or ([] if unwanted else [""])
    rule = "is empty and would leave nothing out: say what to leave out, or drop it"
    return f"filter.exclude{empty[0]} {rule}" if empty else None


def _given(said: Filter | Exclusion) -> dict[str, Any]:
    return {field: value for field in said.__struct_fields__ if (value := getattr(said, field)) is not None}


def _is_empty(value: object) -> bool:
    """True if the value is an empty list or map, or a map with an empty list."""
    return value in ((), {}) or (isinstance(value, dict) and () in value.values())


def _range_fault(path: str, said: Filter | Exclusion) -> str | None:
    for lower, upper in _RANGES:
        start, end = getattr(said, lower), getattr(said, upper)
        if start is not None and end is not None and end < start:
            return f"{path}.{upper} {end} lies before {lower} {start}: exchange them"
    return None


def _ids_fault(path: str, said: Filter | Exclusion) -> str | None:
    for field in _ID_LISTS:
        values = getattr(said, field, None) or ()
        if are_ids(values):
            continue
        for value in values:
            if fault := id_fault(value):
                return f"{path}.{field} holds one that {fault}"
    count = len(getattr(said, "invocation_ids", None) or ())
    if count > MAX_INVOCATION_IDS:
        return f"{path}.invocation_ids has {count} ids, at most {MAX_INVOCATION_IDS} are allowed: use several batches"
    return None


def _labels_fault(path: str, said: Filter | Exclusion) -> str | None:
    labels, lists = said.labels or {}, said.labels_in or {}
    if fault := labels_fault(labels):
        return f"{path}.labels {fault}"
    count = len(labels) + len(lists)
    if count > MAX_LABELS:
        return f"{path}.labels_in makes it {count} labels, at most {MAX_LABELS} are allowed: leave some out"
    for key, values in lists.items():
        if fault := text_fault(key):
            return f"{path}.labels_in has a key that {fault}"
        for value in values:
            if fault := text_fault(value):
                return f"{path}.labels_in lists a value for {key!r} that {fault}"
    return None


def _statuses_fault(filter_: Filter, action: Action) -> str | None:
    """The fault of a filter with a status that the action never looks at, or without any that it could act on."""
    found, what = _LOOKED_AT.get(action, _NOT_ENDED)
    for path, said in _parts(filter_):
        for status in said.statuses or ():
            if status not in found:
                return f"{path}.statuses holds {status}, and {action} only acts on {what}: leave it out"
    unwanted = () if filter_.exclude is None else filter_.exclude.statuses or ()
    left = set(filter_.statuses or found).difference(unwanted)
    if left <= _NOTHING_TO_DO.get(action, frozenset()):
        path = "filter.exclude.statuses leaves" if unwanted else "filter.statuses holds"
        stand = f"only {' and '.join(sorted(left))}" if left else "no status"
        return f"{path} {stand}, on which {action} does nothing: say another status, or leave it out"
    return None
