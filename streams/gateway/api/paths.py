"""Ids in paths: they hold `/`, `~`, `%` and any Unicode, so that paths are matched as they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from streams.codec.json_form import Fault
from streams.gateway.api.problems import FaultsError
from streams.protocol.validation import id_fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    Scope = MutableMapping[str, Any]
    App = Callable[[Scope, Any, Any], Awaitable[None]]


class RawPaths:
    """Matches the routes of the app within on the raw path: `a%2Fb` is one segment, and no slash appears in it.

    A path parameter is then still percent-encoded; `id_of` decodes it.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Hand the request on."""
        if scope["type"] == "http" and (raw := scope.get("raw_path")):
            scope = {**scope, "path": raw.partition(b"?")[0].decode("latin-1")}
        await self._app(scope, receive, send)


def id_of(field: str, segment: str) -> str:
    """The id that a part of a path stands for.

    Raises:
        FaultsError: its bytes are not UTF-8, or it breaks a rule of ids.
    """
    try:
        found = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise FaultsError([Fault(field, "is not UTF-8")]) from None
    if fault := id_fault(found):
        raise FaultsError([Fault(field, fault)])
    return found
