"""The page as the gateway serves it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI

from streams.gateway.api.page import assets, router

if TYPE_CHECKING:
    from collections.abc import Mapping


def _get(path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> httpx.Response:
    app = FastAPI()
    app.include_router(router)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize("name", [name for name in assets() if name != "index.html"])
def test_every_file_of_the_page_is_served_with_a_type_that_browsers_take(name: str) -> None:
    """With `nosniff` a script or style of another type is not used."""
    answer = _get(f"/assets/{name}")
    assert answer.status_code == 200
    plain = {"txt": "text/plain", "md": "text/plain"}
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"} | plain
    assert answer.headers["content-type"].partition(";")[0] == kinds[name.rpartition(".")[2]]
    assert answer.content == assets()[name].content


def test_the_page_itself_is_html_and_is_asked_for_again() -> None:
    """A new release is seen at the next load: browsers may keep a copy, but ask whether it is the newest."""
    answer = _get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert '<div id="app">' in answer.text


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_a_browser_that_has_it_gets_no_body(form: str) -> None:
    """Proxies that compress weaken the tag."""
    tag = _get("/assets/app.js").headers["etag"]
    answer = _get("/assets/app.js", headers={"If-None-Match": form.format(tag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == tag


def test_another_copy_gets_the_new_one() -> None:
    """The tag is that of the content."""
    answer = _get("/assets/app.js", headers={"If-None-Match": '"0123456789abcdef"'})
    assert answer.status_code == 200
    assert answer.content


def test_a_head_says_the_same_without_the_body() -> None:
    """As HTTP has it."""
    answer = _get("/assets/app.js", "HEAD")
    assert answer.status_code == 200
    assert answer.headers["etag"] == _get("/assets/app.js").headers["etag"]


@pytest.mark.parametrize("path", ["/assets/none.js", "/assets/../app.py", "/assets/%2e%2e/api/page.py", "/assets/"])
def test_nothing_else_is_served(path: str) -> None:
    """No path reaches the disk."""
    assert _get(path).status_code == 404
