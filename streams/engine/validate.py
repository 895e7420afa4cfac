"""What only the engine checks: which features this version has, and what workers write to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from streams import rules
from streams.engine.errors import CommandRefusedError
from streams.model import ENGINE_VERSION
from streams.rules import refuse

if TYPE_CHECKING:
    from streams.engine.view import At
    from streams.model import Internal, Invoke


def not_supported(what: str, instead: str) -> NoReturn:
    """Refuse by name what this version does not do."""
    raise CommandRefusedError("not_supported", f"{what} is not supported by this version: {instead}")


def check_invoke(command: Invoke) -> None:
    """All fields of an `Invoke`, and that this version knows what it asks for."""
    rules.check_invoke(command)
    invocation = command.invocation
    if invocation.flow_id is not None:
        not_supported("flow_id", "leave it out")
    if invocation.parent_id is not None:
        not_supported("parent_id", "leave it out")


def check_internal(command: Internal, at: At) -> None:
    """An internal command is of this engine or an older one, and lies on the partition it names.

    Whether this worker is too old for its table is decided by `m/` alone, which only workers write: anybody who may
    write to `commands` could otherwise stop every partition with one record.
    """
    if command.engine_version > ENGINE_VERSION:
        raise CommandRefusedError(
            "newer_engine",
            f"engine_version {command.engine_version} is newer than this worker's, {ENGINE_VERSION}: upgrade the "
            "workers, then send it again",
        )
    if command.partition != at.partition:
        refuse("partition", f"is {command.partition} but the record lies on {at.partition}: only workers write these")


def check_positive(field: str, value: int) -> None:
    """A size of which less than one would never get on."""
    if value < 1:
        refuse(field, f"is {value}: it must be at least 1")


def check_bytes(value: int) -> None:
    """A page's `max_bytes`; 0 means as many as usual."""
    if value < 0:
        refuse("max_bytes", f"is {value}: it must be at least 0")
