"""Lists of batches and of flows, a page at a time, newest first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from fastapi.responses import JSONResponse

from streams.codec.json_form import to_json
from streams.gateway.api.queries import cursor_behind, place_of_cursor
from streams.model import BatchProgress, FlowProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.gateway.newest import ListPlace, NewestFirst

_AT_ONCE: Final = 500

_Item = TypeVar("_Item", BatchProgress, FlowProgress)


async def page_of(
    newest: NewestFirst,
    item: Callable[[str], _Item | None],
    wanted: Callable[[_Item], bool],
    asked: object,
    limit: int,
    cursor: str | None,
) -> JSONResponse:
    """The page of a list that begins behind the cursor. Others are served while a long list is looked through.

    Args:
        newest: the places of all items.
        item: the item of an id; None if it is gone.
        wanted: whether it belongs to the list.
        asked: what the list was asked for; a cursor belongs to it.
        limit: most items.
        cursor: of the page before.
    """
    place: ListPlace | None = None if cursor is None else place_of_cursor(cursor, asked)
    found: list[tuple[ListPlace, _Item]] = []
    while len(found) <= limit and (places := newest.behind(place, _AT_ONCE)):
        place = places[-1]
        items = ((each, item(each.name)) for each in places)
        found += [(each, one) for each, one in items if one is not None and wanted(one)]
        await asyncio.sleep(0)
    body: dict[str, object] = {"items": [to_json(each, whole=False) for _, each in found[:limit]]}
    if len(found) > limit:
        body["next_cursor"] = cursor_behind(found[limit - 1][0], asked)
    return JSONResponse(body)
