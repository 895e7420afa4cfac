"""The login in a real browser: what it sends by itself is what the door asks for."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from streams.gateway.access.start_rules import server_options
from support.service.browser import Viewer, grave_findings
from support.service.door import LINES, OPERATOR, Door

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.broker  # like all that need a browser

ACT = "fetch(URL, {method: 'POST', headers: {'content-type': 'application/json'}, body: '{}'}).then(a => a.status)"
FORM = "<form method=post action={}><input name=token value={}></form><script>document.forms[0].submit()</script>"


@contextmanager
def _served(app: Any, door: Door) -> Iterator[str]:
    """The origin at which the door is served, by a thread."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", **server_options(door.settings)))
    ready = threading.Event()

    async def serve() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn tells it in no other way
            await asyncio.sleep(0.01)
        ready.set()
        await serving

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _another_site(folder: Path) -> Iterator[str]:
    """The origin of a site that serves this folder."""
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _log_in(page: Page, origin: str, token: str) -> int:
    """The status of the answer to the form."""
    page.goto(f"{origin}/login")
    page.get_by_label("Token").fill(token)
    with page.expect_response(lambda answer: answer.request.method == "POST") as sent:
        page.get_by_role("button", name="Log in").click()
    page.wait_for_load_state()
    return sent.value.status


def test_a_browser_logs_in_acts_and_logs_out(chromium: Browser, tmp_path: Path) -> None:
    """A wrong token first; the cookie is one that no script can read."""
    door = Door(tmp_path, gateway_http="127.0.0.1:0")
    with _served(door.access, door) as origin, chromium.new_context() as context:
        page = context.new_page()
        assert _log_in(page, origin, "wrong") == 401
        assert page.get_by_role("alert").inner_text() == "This token is not known."
        assert _log_in(page, origin, OPERATOR) == 303
        assert page.url == f"{origin}/"
        assert page.evaluate("document.cookie") == ""
        assert page.evaluate(ACT.replace("URL", "'/api/v1/acts'")) == 200
        assert page.evaluate("fetch('/logout', {method: 'POST', redirect: 'manual'}).then(a => a.type)")
        assert page.evaluate(ACT.replace("URL", "'/api/v1/acts'")) == 401


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_can_be_used_by_everybody(chromium: Browser, tmp_path: Path, scheme: Any) -> None:
    """No serious finding of axe, and nothing to scroll sideways on a small screen; the browser complains of nothing."""
    door = Door(tmp_path, gateway_http="127.0.0.1:0")
    with _served(door.access, door) as origin:
        viewer = Viewer(chromium, origin, color_scheme=scheme, viewport={"width": 360, "height": 640})
        page = viewer.page("login")
        assert grave_findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert viewer.complaints == []
        viewer.close()


@pytest.mark.parametrize("lines", [None, LINES])
def test_a_page_of_another_site_can_do_nothing(chromium: Browser, tmp_path: Path, lines: Any) -> None:
    """By a form that submits itself, or by a script; also where no token is asked for."""
    door = (
        Door(tmp_path, None, gateway_http="127.0.0.1:0")
        if lines is None
        else Door(tmp_path, gateway_http="127.0.0.1:0")
    )
    seen: list[str] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        seen.append(f"{scope['method']} {scope['path']}")
        await door.access(scope, receive, send)

    elsewhere = tmp_path / "elsewhere"
    with _served(watched, door) as origin, _another_site(elsewhere) as other, chromium.new_context() as context:
        page = context.new_page()
        if lines is not None:
            assert _log_in(page, origin, OPERATOR) == 303
        (elsewhere / "form.html").write_text(FORM.format(f"{origin}/login", OPERATOR))
        with page.expect_response(lambda answer: answer.request.method == "POST") as sent:
            page.goto(f"{other}/form.html")
        assert sent.value.status == 403
        (elsewhere / "empty.html").write_text("<title>another site</title>")
        page.goto(f"{other}/empty.html")
        refused = page.evaluate(
            ACT.replace("URL", f"'{origin}/api/v1/acts'").replace("a.status)", "a.status, () => 0)")
        )
        assert refused == 0
        assert "POST /api/v1/acts" not in seen
