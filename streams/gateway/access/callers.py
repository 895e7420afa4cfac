"""Who makes a request, and what that lets them do."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """A viewer sees all but payloads; an operator sees all and may change it."""

    VIEWER = "viewer"
    OPERATOR = "operator"


class Caller(NamedTuple):
    """Whoever makes a request; `name` is the `actor` of the commands that it becomes."""

    name: str
    role: Role


class Token(NamedTuple):
    """One line of the tokens file; `digest` is the SHA-256 of the secret, 32 bytes."""

    caller: Caller
    digest: bytes
