"""The API behind the door: no route of it is forgotten, and no page of it needs what the policy forbids."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import APIRoute

from support.service.api_world import ApiWorld
from support.service.door import OPERATOR, VIEWER, Door
from support.service.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

OPEN = re.compile(r"/|/favicon\.ico|/assets/.*|/health/(live|ready)|/metrics")
PAGES = sorted((ROOT / "streams" / "gateway").rglob("*.html"))


def _routes(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """All of an application, those of its parts too."""
    for each in routes:
        if isinstance(each, APIRoute):
            yield each
        else:
            yield from _routes(each.original_router.routes)


ROUTES = sorted(
    {
        (method, re.sub(r"{[^}]*}", "x", each.path))
        for each in _routes(ApiWorld().app.routes)
        for method in each.methods or ()
    }
)
"""Method and path of each, its parameters filled in."""


def test_there_are_routes_to_look_at() -> None:
    """Those that read, and those that change something."""
    assert ("POST", "/api/v1/batches") in ROUTES
    assert ("GET", "/api/v1/invocations/x") in ROUTES


@pytest.mark.parametrize(("method", "path"), [each for each in ROUTES if not OPEN.fullmatch(each[1])])
def test_a_route_of_the_api_is_closed(tmp_path: Path, method: str, path: str) -> None:
    """Without a token, with a wrong one, in a URL; and for a viewer where it changes something."""
    door = Door(tmp_path)
    assert door.ask(method, path).status_code == 401
    assert door.ask(method, path, token=VIEWER[1:]).status_code == 401
    assert door.ask(method, f"{path}?access_token={OPERATOR}").status_code == 401
    if path.endswith("/events"):  # without an end here; `test_streams.py` reads them
        return
    reads = method in {"GET", "HEAD"}
    answer = door.ask(method, path, token=VIEWER, content=None if reads else b"{}")
    assert answer.status_code == (200 if reads else 403)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_needs_nothing_that_the_policy_forbids(page: Path) -> None:
    """No code or style within it, and nothing of other hosts."""
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", text) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text) == []
    assert re.findall(r'(?:src|href|action)="(?:https?:)?//[^"]*"', text) == []
