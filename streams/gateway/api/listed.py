"""Lists of batches and of flows, a page at a time, newest first."""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, TypeVar

from fastapi.responses import JSONResponse

from streams.codec.json_form import to_json
from streams.gateway.api.queries import ListPlace, cursor_behind, place_of_cursor
from streams.model import BatchProgress, FlowProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_Item = TypeVar("_Item", BatchProgress, FlowProgress)


def page_of(
    found: Iterable[_Item], name: Callable[[_Item], str], asked: object, limit: int, cursor: str | None
) -> JSONResponse:
    """The page of a list that begins behind the cursor.

    Args:
        found: all that the list has.
        name: the id of an item.
        asked: what the list was asked for; a cursor belongs to it.
        limit: most items.
        cursor: of the page before.
    """

    def place(item: _Item) -> ListPlace:
        return ListPlace(item.created_at, name(item))

    if cursor is not None:
        begin = place_of_cursor(cursor, asked)
        found = [each for each in found if place(each) < begin]
    first = nlargest(limit + 1, found, place)
    body: dict[str, object] = {"items": [to_json(each, whole=False) for each in first[:limit]]}
    if len(first) > limit:
        body["next_cursor"] = cursor_behind(place(first[limit - 1]), asked)
    return JSONResponse(body)
