"""Rules of the fields. Each check returns quietly, or refuses with `invalid_<field>`, the rule and the way out."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final, NoReturn

from streams.engine.errors import CommandRefusedError, NewerEngineError
from streams.model import ENGINE_VERSION, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.engine.view import At
    from streams.model import Act, Cause, Internal, Invocation, Invoke, ReportTransition

MAX_ID: Final = 256
MAX_TEXT: Final = 1_000
MAX_PAYLOAD: Final = 256 * 1024
MAX_GRACE_MS: Final = 24 * 60 * 60 * 1000
MAX_LEASE_MS: Final = 366 * 24 * 60 * 60 * 1000
"""A year: whatever is added to a time must stay one."""


def refuse(field: str, rule: str) -> NoReturn:
    """Refuse a command for one of its fields; `rule` goes on where the field's name ends."""
    raise CommandRefusedError(f"invalid_{field}", f"{field} {rule}")


def not_supported(what: str, instead: str) -> NoReturn:
    """Refuse by name what this version does not do."""
    raise CommandRefusedError("not_supported", f"{what} is not supported by this version: {instead}")


def id_fault(value: str) -> str | None:
    """Which rule of ids `value` breaks, None when it is a good one."""
    if not value:
        return f"is empty: give 1 to {MAX_ID} characters"
    if len(value) > MAX_ID:
        return f"has {len(value)} characters, at most {MAX_ID} are allowed: shorten it"
    # What is printable holds no control character; what is not may hold none either, such as a no-break space.
    if not value.isprintable() and any(unicodedata.category(char) == "Cc" for char in value):
        return "holds a control character: remove it"
    return None


def text_fault(value: str) -> str | None:
    """Which rule of free text `value` breaks, None when it is fine."""
    if len(value) <= MAX_TEXT:
        return None
    return f"has {len(value)} characters, at most {MAX_TEXT} are allowed: shorten it"


def labels_fault(labels: Mapping[str, str]) -> str | None:
    """Which rule of labels is broken, None when all are fine."""
    for key, value in labels.items():
        if len(key) > MAX_TEXT:
            return f"has a key of {len(key)} characters, at most {MAX_TEXT} are allowed: shorten it"
        if len(value) > MAX_TEXT:
            return f"{key!r} has {len(value)} characters, at most {MAX_TEXT} are allowed: shorten it"
    return None


def check_id(field: str, value: str | None) -> None:
    """Ids have 1 to 256 characters and no control character; an absent one is fine."""
    if value is None or (0 < len(value) <= MAX_ID and value.isprintable()):
        return
    if fault := id_fault(value):
        refuse(field, fault)


def check_text(field: str, value: str | None) -> None:
    """Free text has at most 1,000 characters; an absent one is fine."""
    if value is not None and (fault := text_fault(value)):
        refuse(field, fault)


def check_grace(grace_ms: int | None) -> None:
    """A grace lasts 0 to 24 hours; an absent one is fine."""
    if grace_ms is not None and not 0 <= grace_ms <= MAX_GRACE_MS:
        refuse("grace_ms", f"is {grace_ms}: give 0 to {MAX_GRACE_MS} milliseconds, or leave it out")


def check_cause(cause: Cause) -> None:
    """A cause names ids and says why in at most 1,000 characters."""
    check_id("batch_id", cause.batch_id)
    check_id("flow_id", cause.flow_id)
    check_text("actor", cause.actor)
    check_text("reason", cause.reason)


def check_invocation(invocation: Invocation) -> None:
    """All fields of an `Invocation`."""
    check_id("invocation_id", invocation.invocation_id)
    check_id("service", invocation.service)
    check_id("handler", invocation.handler)
    check_id("deployment_id", invocation.deployment_id)
    lease_ms = invocation.lease_ms
    if lease_ms is not None and not 0 < lease_ms <= MAX_LEASE_MS:
        refuse("lease_ms", f"is {lease_ms}: give 1 to {MAX_LEASE_MS} milliseconds, or leave it out")
    if invocation.labels and (fault := labels_fault(invocation.labels)):
        refuse("labels", fault)
    if invocation.object_key is not None:
        not_supported("object_key", "leave it out")
    if invocation.flow_id is not None:
        not_supported("flow_id", "leave it out")
    if invocation.parent_id is not None:
        not_supported("parent_id", "leave it out")


def check_invoke(command: Invoke) -> None:
    """All fields of an `Invoke`."""
    check_invocation(command.invocation)
    if command.payload is not None and len(command.payload) > MAX_PAYLOAD:
        refuse("payload", f"has {len(command.payload)} bytes, at most {MAX_PAYLOAD} are allowed: pass a reference")
    if command.adopt and command.scheduled_at is not None:
        refuse("scheduled_at", "is set on an adopted invocation, which runs already: leave one of them out")


def check_report(command: ReportTransition) -> None:
    """All fields of a `ReportTransition`."""
    check_id("invocation_id", command.invocation_id)
    check_id("deployment_id", command.deployment_id)
    check_text("error", command.error)
    if command.retry_at is None and command.to is Status.BACKING_OFF:
        refuse("retry_at", "is missing from a report of BACKING_OFF: say when to try again")


def check_act(command: Act) -> None:
    """All fields of an `Act`."""
    check_id("invocation_id", command.invocation_id)
    check_grace(command.grace_ms)
    check_cause(command.cause)


def check_internal(command: Internal, at: At) -> None:
    """An internal command is of this engine or an older one, and lies on the partition it names.

    Raises:
        NewerEngineError: it was written by a newer engine.
    """
    if command.engine_version > ENGINE_VERSION:
        raise NewerEngineError(command.engine_version, ENGINE_VERSION)
    if command.partition != at.partition:
        refuse("partition", f"is {command.partition} but the record lies on {at.partition}: only workers write these")


def check_positive(field: str, value: int) -> None:
    """A size of which less than one would never get on."""
    if value < 1:
        refuse(field, f"is {value}: it must be at least 1")
