"""Sessions of the page: a cookie instead of the token.

A session is a random id, signed with a key that only holders of the tokens file can derive. So each gateway on the same
file knows the sessions of the others, also after a restart, and a token that is removed takes its sessions with it.
Only a logout is remembered, by the gateway that was asked.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

from itsdangerous import BadSignature, TimestampSigner

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.gateway.access.callers import Token
    from streams.gateway.access.tokens import Tokens

LASTS_S = 12 * 3600
"""Life of a session, seconds."""

_PURPOSE = b"session of the streams gateway"


class Session(NamedTuple):
    """A session that holds; `ends_at`: seconds since 1970."""

    session_id: str
    token: Token
    ends_at: float


class Sessions:
    """The sessions of these tokens. `clock`: seconds since 1970."""

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._clock = clock
        self._over: dict[str, float] = {}

    def begin(self, token: Token) -> str:
        """A new session's cookie."""
        value = f"{token.caller.name}:{secrets.token_urlsafe(32)}"
        return self._signer(token).sign(value).decode()

    def of(self, cookie: str) -> Session | None:
        """The session of a cookie; None if it is forged, too old or over, or if its token is gone."""
        token = self._tokens.named(cookie.partition(":")[0])
        if token is None:
            return None
        try:
            value, begun = self._signer(token).unsign(cookie, max_age=LASTS_S, return_timestamp=True)
        except BadSignature:
            return None
        session_id = value.decode().partition(":")[2]
        return None if session_id in self._over else Session(session_id, token, begun.timestamp() + LASTS_S)

    def end(self, session: Session) -> None:
        """Log out."""
        now = self._clock()
        self._over = {each: ends_at for each, ends_at in self._over.items() if ends_at > now}
        self._over[session.session_id] = session.ends_at

    def _signer(self, token: Token) -> _Signer:
        key = hmac.digest(token.digest, _PURPOSE, hashlib.sha256)
        return _Signer(key, self._clock)


class _Signer(TimestampSigner):
    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        super().__init__(key, key_derivation="hmac", digest_method=hashlib.sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())
