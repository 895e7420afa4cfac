"""The examples of the page about the HTTP API are requests that it takes."""

from __future__ import annotations

import asyncio
import re
import shlex
from typing import TYPE_CHECKING, Any

from streams.listing.views import InvocationView
from streams.model import Status
from support.records.flow_records import flow_progress
from support.service.api_world import ORIGIN, ApiWorld, Rows
from support.service.event_reader import EventReader
from support.service.programs import ROOT

if TYPE_CHECKING:
    import httpx

PAGE = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")


def requests() -> list[tuple[str, str, dict[str, str], str | None]]:
    """Method, path, headers and body of each `curl`."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if not words:
                continue
            headers = dict(words[place + 1].split(": ", 1) for place, word in enumerate(words) if word == "-H")
            body = next((words[place + 1] for place, word in enumerate(words) if word == "-d"), None)
            (url,) = [word for word in words if word.startswith("localhost:8080/")]
            found.append(("GET" if body is None else "POST", url.removeprefix("localhost:8080"), headers, body))
    return found


def test_every_example_of_the_page_is_taken() -> None:
    """In their order, on a service where what one has started is there for the next."""
    world = ApiWorld()
    world.services.listing = Rows(_row())
    world.publish(flow_progress("checkout-4711"))
    asked = requests()
    assert len(asked) > 15

    async def story(client: httpx.AsyncClient) -> None:
        for method, path, headers, body in asked:
            if path.endswith("/events"):
                async with EventReader(world.app, path) as reader:
                    assert await reader.event()
                continue
            before = len(world.starts())
            sending = client.request(method, f"{ORIGIN}{path}", headers=headers, content=body)
            answer = await _led(world, sending) if path == "/api/v1/batches" and body else await sending
            assert answer.status_code < 300, (path, answer.text)
            assert len(world.starts()) == before + (path == "/api/v1/batches" and body is not None)

    world.run(story)


async def _led(world: ApiWorld, sending: Any) -> Any:
    """The answer to a start, which a lead has taken up."""
    answer, _ = await asyncio.gather(sending, world.lead())
    return answer


def _row() -> InvocationView:
    return InvocationView(0, 1, "i-1", "emails", "send", Status.RUNNING, 1, -1, 1_000, 1_000, 5)
