"""Rules of the fields of clients' commands, shared by their senders and the engine.

Each check returns quietly, or raises `CommandRefusedError` with `invalid_<field>`, the rule and the way out.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Final, NoReturn

from streams.model import ControlOperation, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from streams.model import (
        Act,
        CancelFlow,
        Cause,
        ControlBatch,
        Invocation,
        Invoke,
        ReportTransition,
    )

MAX_LONG: Final = 2**63 - 1
"""The highest integer that a record can hold."""
MAX_ID: Final = 256
MAX_TEXT: Final = 1_000
MAX_LABELS: Final = 64
MAX_LABEL_BYTES: Final = 64 * 1024
"""Most bytes of all label keys and values of one invocation, or of one filter, together."""
MAX_PAYLOAD: Final = 256 * 1024
MAX_COMMAND: Final = 1024 * 1024
"""Most bytes of a record of the command log."""
MAX_GRACE_MS: Final = 24 * 60 * 60 * 1000
MAX_LEASE_MS: Final = 366 * 24 * 60 * 60 * 1000
"""A year: a time plus a lease must still be a valid time."""
_KNOWN_CALLEES: Final = 1_024


class CommandRefusedError(Exception):
    """A command that breaks a rule of the protocol; in the log it becomes a dead letter and changes nothing.

    `code` is the dead letter's `error-code`; the message names the field, the rule and the way out.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def refuse(field: str, rule: str) -> NoReturn:
    """Refuse a command for one of its fields; the text of `rule` follows the field's name."""
    raise CommandRefusedError(f"invalid_{field}", f"{field} {rule}")


def id_fault(value: str) -> str | None:
    """The rule of ids that `value` breaks; None if it is valid."""
    if not value:
        return f"is empty: give 1 to {MAX_ID} characters"
    if len(value) > MAX_ID:
        return f"has {len(value)} characters, at most {MAX_ID} are allowed: shorten it"
    # Printable text has no control character; text that is not printable may have none, either, such as a no-break
    # space.
    if not value.isprintable() and any(unicodedata.category(char) == "Cc" for char in value):
        return "holds a control character: remove it"
    return None


def are_ids(values: Collection[str]) -> bool:
    """True if all are certainly valid ids, checked at once for thousands. False also for some rare valid ones."""
    if not values:
        return True
    return min(map(len, values)) > 0 and max(map(len, values)) <= MAX_ID and "".join(values).isprintable()


def text_fault(value: str) -> str | None:
    """The rule of free text that `value` breaks; None if it is valid."""
    if len(value) <= MAX_TEXT:
        return None
    return f"has {len(value)} characters, at most {MAX_TEXT} are allowed: shorten it"


def labels_fault(labels: Mapping[str, str]) -> str | None:
    """The rule of labels that is broken; None if all are valid."""
    if len(labels) > MAX_LABELS:
        return f"has {len(labels)} labels, at most {MAX_LABELS} are allowed: leave some out"
    length = 0
    for key, value in labels.items():
        if len(key) > MAX_TEXT:
            return f"has a key of {len(key)} characters, at most {MAX_TEXT} are allowed: shorten it"
        if len(value) > MAX_TEXT:
            return f"{key!r} has {len(value)} characters, at most {MAX_TEXT} are allowed: shorten it"
        length += len(key) + len(value)
    # A character has at most four bytes, so most labels need not be encoded to be measured.
    if 4 * length > MAX_LABEL_BYTES:
        size = sum(len(key.encode()) + len(value.encode()) for key, value in labels.items())
        if size > MAX_LABEL_BYTES:
            return f"has {size} bytes in all keys and values, at most {MAX_LABEL_BYTES} are allowed: leave some out"
    return None


def check_id(field: str, value: str | None) -> None:
    """Check an id: 1 to 256 characters, no control character; it may be absent."""
    if value is None or (0 < len(value) <= MAX_ID and value.isprintable()):
        return
    if fault := id_fault(value):
        refuse(field, fault)


def check_text(field: str, value: str | None) -> None:
    """Check a free text: at most 1,000 characters; it may be absent."""
    if value is not None and (fault := text_fault(value)):
        refuse(field, fault)


def check_grace(grace_ms: int | None) -> None:
    """Check a grace: 0 to 24 hours; it may be absent."""
    if grace_ms is not None and not 0 <= grace_ms <= MAX_GRACE_MS:
        refuse("grace_ms", f"is {grace_ms}: give 0 to {MAX_GRACE_MS} milliseconds, or leave it out")


def check_limit(limit: int | None) -> None:
    """Check a limit: at least one row; it may be absent."""
    if limit is not None and not 1 <= limit <= MAX_LONG:
        refuse("limit", f"is {limit}: give 1 to {MAX_LONG}, or leave it out")


def check_rate(max_rate: float | None) -> None:
    """Check a rate: a number of rows per second, above 0; it may be absent."""
    if max_rate is not None and not 0 < max_rate < inf:
        refuse("max_rate", f"is {max_rate}: give rows per second, a number above 0, or leave it out")


def check_cause(cause: Cause) -> None:
    """Check a cause: its ids, and a reason of at most 1,000 characters."""
    check_id("batch_id", cause.batch_id)
    check_id("flow_id", cause.flow_id)
    check_text("actor", cause.actor)
    check_text("reason", cause.reason)


def check_invocation(invocation: Invocation) -> None:
    """Check all fields of an `Invocation`."""
    check_id("invocation_id", invocation.invocation_id)
    _check_callee(invocation.service, invocation.handler, invocation.deployment_id)
    lease_ms = invocation.lease_ms
    if lease_ms is not None and not 0 < lease_ms <= MAX_LEASE_MS:
        refuse("lease_ms", f"is {lease_ms}: give 1 to {MAX_LEASE_MS} milliseconds, or leave it out")
    if invocation.labels and (fault := labels_fault(invocation.labels)):
        refuse("labels", fault)
    if invocation.object_key is not None:
        _check_object(invocation.invocation_id, invocation.service, invocation.object_key)
    check_id("flow_id", invocation.flow_id)
    check_id("parent_id", invocation.parent_id)


@lru_cache(_KNOWN_CALLEES)
def _check_callee(service: str, handler: str, deployment_id: str | None) -> None:
    """Check the fields that many invocations share, once for each combination of them."""
    check_id("service", service)
    check_id("handler", handler)
    check_id("deployment_id", deployment_id)


def _check_object(invocation_id: str, service: str, object_key: str) -> None:
    """Check that the id up to its last `~` names the object, so that the object's invocations share a partition."""
    check_id("object_key", object_key)
    head, _, unique = invocation_id.rpartition("~")
    if not unique or head != f"{service}/{object_key}":
        refuse(
            "invocation_id",
            f"{invocation_id} does not belong to object {object_key} of {service}: make it {service}/{object_key}~ and "
            "something unique without a ~, or leave the object_key out",
        )


def check_invoke(command: Invoke) -> None:
    """Check all fields of an `Invoke`."""
    check_invocation(command.invocation)
    if command.payload is not None and len(command.payload) > MAX_PAYLOAD:
        refuse("payload", f"has {len(command.payload)} bytes, at most {MAX_PAYLOAD} are allowed: pass a reference")
    if command.adopt and command.scheduled_at is not None:
        refuse("scheduled_at", "is set on an adopted invocation, which runs already: leave one of them out")


def check_report(command: ReportTransition) -> None:
    """Check all fields of a `ReportTransition`."""
    check_id("invocation_id", command.invocation_id)
    check_id("deployment_id", command.deployment_id)
    check_text("error", command.error)
    if command.retry_at is None and command.to is Status.BACKING_OFF:
        refuse("retry_at", "is missing from a report of BACKING_OFF: say when to try again")


def check_act(command: Act) -> None:
    """Check all fields of an `Act`."""
    check_id("invocation_id", command.invocation_id)
    check_grace(command.grace_ms)
    check_cause(command.cause)


def check_control_batch(command: ControlBatch) -> None:
    """Check all fields of a `ControlBatch`."""
    check_id("batch_id", command.batch_id)
    check_text("actor", command.actor)
    sets_rate = command.operation is ControlOperation.SET_RATE
    if sets_rate and command.max_rate is None:
        refuse("max_rate", "is missing from a SET_RATE: say how many rows per second")
    if not sets_rate and command.max_rate is not None:
        refuse("max_rate", f"is set with {command.operation}: leave it out, only SET_RATE takes one")
    check_rate(command.max_rate)


def check_cancel_flow(command: CancelFlow) -> None:
    """Check all fields of a `CancelFlow`."""
    check_id("flow_id", command.flow_id)
    check_grace(command.grace_ms)
    check_text("actor", command.actor)
    check_text("reason", command.reason)
