"""All faults of a command at once; the protocol's own checks stop at the first."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.codec.json_form import Fault
from streams.gateway.api.problems import FaultsError
from streams.model import Act, CancelFlow, ControlBatch, Exclusion, Filter, Invocation, Invoke, StartBatch
from streams.protocol import batch_validation as of_batch
from streams.protocol import validation as rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.model import Action

    Check = Callable[[], None]

_RANGES = (("created_from", "created_until"), ("modified_from", "modified_until"))
_PLAIN = Invocation("i", "s", "h")


def require_faultless(command: StartBatch | ControlBatch | Act | CancelFlow | Invoke) -> None:
    """Raise a `FaultsError` with each field that breaks a rule of the protocol."""
    found: dict[str, Fault] = {}
    for check in _checks(command):
        try:
            check()
        except rules.CommandRefusedError as refusal:
            fault = _fault(command, refusal.message)
            found.setdefault(fault.field, fault)
    if found:
        raise FaultsError(list(found.values()))


def fault_of(error: str) -> Fault:
    """The fault in a batch's error, `<code>: <field> <rule>`."""
    field, _, rule = error.partition(": ")[2].partition(" ")
    return Fault(field, rule)


def _fault(command: object, message: str) -> Fault:
    field, _, rule = message.partition(" ")
    if isinstance(command, Invoke) and field not in {"payload", "scheduled_at"}:
        field = f"invocation.{field}"
    return Fault(field, rule)


def _checks(command: StartBatch | ControlBatch | Act | CancelFlow | Invoke) -> Iterator[Check]:
    match command:
        case StartBatch():
            yield from _of_start(command)
        case ControlBatch():
            yield partial(rules.check_id, "batch_id", command.batch_id)
            yield partial(rules.check_control_batch, replace(command, batch_id="b"))
        case Act():
            yield partial(rules.check_id, "invocation_id", command.invocation_id)
            yield partial(rules.check_grace, command.grace_ms)
            yield partial(rules.check_text, "reason", command.cause.reason)
        case CancelFlow():
            yield partial(rules.check_id, "flow_id", command.flow_id)
            yield partial(rules.check_grace, command.grace_ms)
            yield partial(rules.check_text, "reason", command.reason)
        case Invoke():
            yield from _of_invoke(command)


def _of_start(start: StartBatch) -> Iterator[Check]:
    yield partial(rules.check_id, "batch_id", start.batch_id)
    yield partial(rules.check_text, "reason", start.reason)
    yield partial(rules.check_grace, start.grace_ms)
    yield partial(rules.check_limit, start.limit)
    yield partial(rules.check_rate, start.max_rate)
    yield partial(of_batch.check_filter, start.filter, start.action)
    for part in parts_of(start.filter):
        yield partial(of_batch.check_filter, part, start.action)
    yield partial(of_batch.check_standing, start)


def parts_of(chosen: Filter) -> Iterator[Filter]:
    """A filter for each field that is set, alone: each then shows its own fault, whatever is wrong with the others."""
    for field, value in _given(chosen):
        if field not in {"match_all", "exclude"}:
            yield replace(Filter(match_all=True), **{field: value})
    for lower, upper in _RANGES:
        yield Filter(match_all=True, **{name: getattr(chosen, name) for name in (lower, upper)})
    if chosen.exclude is None:
        return
    yield Filter(match_all=True, exclude=chosen.exclude)
    for field, value in _given(chosen.exclude):
        yield Filter(match_all=True, exclude=replace(Exclusion(), **{field: value}))
    for lower, upper in _RANGES:
        bounds = {name: getattr(chosen.exclude, name) for name in (lower, upper)}
        if any(value is not None for value in bounds.values()):
            yield Filter(match_all=True, exclude=Exclusion(**bounds))


def _given(said: Filter | Exclusion) -> Iterator[tuple[str, object]]:
    for field in said.__struct_fields__:
        if (value := getattr(said, field)) is not None:
            yield field, value


def _of_invoke(command: Invoke) -> Iterator[Check]:
    invocation = command.invocation
    for field in ("invocation_id", "service", "handler", "deployment_id", "object_key", "flow_id", "parent_id"):
        yield partial(rules.check_id, field, getattr(invocation, field))
    for fields in (("lease_ms",), ("labels",), ("invocation_id", "service", "object_key")):
        given = {field: getattr(invocation, field) for field in fields}
        yield partial(rules.check_invocation, replace(_PLAIN, **given))
    yield partial(rules.check_invoke, replace(command, invocation=_PLAIN))
    yield partial(rules.check_invoke, replace(command, invocation=_PLAIN, payload=None))


def statuses_aside(chosen: Filter) -> Filter:
    """The filter without its statuses, which only an action could refuse."""
    left_out = None if chosen.exclude is None else replace(chosen.exclude, statuses=None)
    return replace(chosen, statuses=None, exclude=None if left_out == Exclusion() else left_out, match_all=True)


def filter_faults(chosen: Filter, action: Action) -> list[Fault]:
    """The faults of a filter that only looks."""
    found: dict[str, Fault] = {}
    looked_at = statuses_aside(chosen)
    for part in (looked_at, *parts_of(looked_at)):
        if message := of_batch.filter_fault(part, action):
            fault = _fault(None, message)
            found.setdefault(fault.field, fault)
    return list(found.values())
