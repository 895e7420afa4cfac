"""`/openapi.json`, and a page that shows it and needs no other host."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from streams.gateway.api.openapi import document
from streams.gateway.api.problems import ProblemError

_FOLDER: Final = Path(__file__).parent / "docs_page"
_KINDS: Final = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}
_FILES: Final = {
    each.name: (each.read_bytes(), _KINDS[each.suffix]) for each in sorted(_FOLDER.iterdir()) if each.suffix in _KINDS
}

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def get_openapi() -> Response:
    """The OpenAPI document."""
    return JSONResponse(document())


@router.get("/docs")
async def get_docs() -> Response:
    """The page."""
    return _file("index.html")


@router.get("/docs/{name}")
async def get_docs_file(name: str) -> Response:
    """What belongs to the page."""
    return _file(name)


def _file(name: str) -> Response:
    if name not in _FILES:
        raise ProblemError(HTTPStatus.NOT_FOUND, "not-found", f"there is no {name}")
    content, kind = _FILES[name]
    return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})
