"""The tokens file: a line each, `name:role:sha256-hex`. It is read again while the gateway runs."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
import time
from typing import TYPE_CHECKING

import structlog

from streams.config import variable
from streams.errors import ConfigError
from streams.gateway.access.callers import Caller, Role, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

LOOK_EVERY_S = 1.0
"""Time between two looks at the file, seconds."""

_COMPLAIN_EVERY_S = 60.0
_MOST_BYTES = 1024 * 1024
_NAME = r"[A-Za-z0-9._@-]{1,100}"
_LINE = re.compile(rf"({_NAME}):(viewer|operator):([0-9A-Fa-f]{{64}})")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

log = structlog.get_logger("streams.gateway.access")


def new_secret() -> str:
    """A secret of 256 random bits; its beginning tells those who find one where it belongs."""
    return f"streams_{secrets.token_urlsafe(32)}"


def digest_of(secret: str) -> bytes:
    """What the file knows of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def line_of(name: str, role: Role, secret: str) -> str:
    """The line of a token.

    Raises:
        ConfigError: a name that cannot be one.
    """
    if not re.fullmatch(_NAME, name):
        raise ConfigError(f"the name {name!r} cannot be a token's: up to 100 letters, digits, '.', '_', '-' and '@'")
    return f"{name}:{role}:{digest_of(secret).hex()}"


def read_tokens(path: Path) -> frozenset[Token]:
    """The tokens of a file. Empty lines, and those that begin with `#`, are none.

    Raises:
        ConfigError: it cannot be read, others may write it, or a line breaks a rule. No message repeats a line: a
            secret may stand there by mistake.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{variable('gateway_tokens_file')}={path} cannot be read: {error.strerror}") from None
    if mode & _OTHERS_WRITE:
        raise ConfigError(f"{path} may be written by others than its owner: run `chmod go-w {path}`")
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{path} is larger than a file of tokens can be ({_MOST_BYTES:,} bytes)")
    return _parsed(path, content.decode(errors="replace").splitlines())


def _parsed(path: Path, lines: Iterable[str]) -> frozenset[Token]:
    found: dict[str, Token] = {}
    digests: set[bytes] = set()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        parts = _LINE.fullmatch(text)
        if parts is None:
            raise ConfigError(f"{path}, line {number}: must be NAME:ROLE:SHA256, as `streams token new` prints it")
        name, role, digest = parts[1], Role(parts[2]), bytes.fromhex(parts[3])
        if name in found:
            raise ConfigError(f"{path}, line {number}: the name {name} is there twice: give each token its own")
        if digest in digests:
            raise ConfigError(f"{path}, line {number}: {name} has the secret of an earlier line: make a new one")
        digests.add(digest)
        found[name] = Token(Caller(name, role), digest)
    return frozenset(found.values())


class Tokens:
    """The tokens that hold now. A change that breaks a rule leaves those before it, and is logged until it is mended.

    `clock`: seconds, for intervals only.

    Raises:
        ConfigError: the file cannot be used.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._trouble = ""
        self._complains_next = 0.0
        self._looks_next = clock() + LOOK_EVERY_S
        self.held = read_tokens(path)
        if not self.held:
            log.warning("the tokens file has no token: nobody can log in", file=str(path))

    def find(self, secret: str) -> Token | None:
        """The token with this secret. The time it takes tells nothing: every line is compared, to its end."""
        digest = digest_of(secret)
        found = None
        for token in self.held:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    def named(self, name: str) -> Token | None:
        """The token of this name."""
        return next((token for token in self.held if token.caller.name == name), None)

    def refresh(self) -> bool:
        """Read the file again, unless that was done a moment ago; True if other tokens hold now."""
        now = self._clock()
        if now < self._looks_next:
            return False
        self._looks_next = now + LOOK_EVERY_S
        try:
            found = read_tokens(self._path)
        except ConfigError as error:
            self._complain(str(error), now)
            return False
        if self._trouble:
            self._trouble = ""
            log.info("the tokens file can be used again", file=str(self._path))
        if found == self.held:
            return False
        log.info("tokens changed", came=_names(found - self.held), went=_names(self.held - found))
        self.held = found
        return True

    def _complain(self, trouble: str, now: float) -> None:
        if trouble == self._trouble and now < self._complains_next:
            return
        self._trouble, self._complains_next = trouble, now + _COMPLAIN_EVERY_S
        log.error("the tokens file cannot be used: the last good one still holds", reason=trouble)


def _names(tokens: Iterable[Token]) -> list[str]:
    return sorted(token.caller.name for token in tokens)
