"""Who makes a request, and what that lets them do."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from streams.config import Settings


class Role(StrEnum):
    """A viewer sees all but payloads; an operator sees all and may change it."""

    VIEWER = "viewer"
    OPERATOR = "operator"


class Caller(NamedTuple):
    """Whoever makes a request; `name` is the `actor` of the commands that it becomes."""

    name: str
    role: Role


def nobody(settings: Settings) -> Caller:
    """The caller where nobody has to say who they are."""
    return Caller(settings.actor or "local", Role.OPERATOR)


class Token(NamedTuple):
    """One line of the tokens file; `digest` is the SHA-256 of the secret, 32 bytes."""

    caller: Caller
    digest: bytes
