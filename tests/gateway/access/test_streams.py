"""Streams of events: how many, and what ends them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from streams.gateway.access import middleware
from streams.gateway.access.running import MOST_STREAMS
from streams.gateway.access.sessions import LASTS_S
from support.service.door import LINES, OPERATOR, VIEWER, Door

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping
    from pathlib import Path

    import pytest

PATIENCE_S = 10.0


class Stream:
    """A stream as the server sees it: a task, and what was sent to the client."""

    def __init__(self, door: Door, **headers: str) -> None:
        self.sent: list[MutableMapping[str, Any]] = []
        self.begun = asyncio.Event()
        named = {"host": "127.0.0.1:8080", **headers}
        self._scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/events",
            "query_string": b"",
            "headers": [(name.encode(), text.encode()) for name, text in named.items()],
            "client": ("192.0.2.1", 4711),
            "server": ("127.0.0.1", 8080),
        }
        self._task = asyncio.create_task(door.access(self._scope, self._receive, self._send))

    @property
    def status(self) -> int:
        """Of the answer."""
        return int(self.sent[0]["status"])

    @property
    def ended(self) -> bool:
        """True if the client has got all of it."""
        return self.sent[-1].get("more_body") is not True

    async def over(self) -> None:
        """Wait until the server has done with it."""
        await asyncio.wait_for(asyncio.shield(self._task), PATIENCE_S)

    async def leave(self) -> None:
        """The client goes away."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _receive(self) -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.begun.set()


def _bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@asynccontextmanager
async def _running(door: Door, *headers: dict[str, str]) -> AsyncIterator[list[Stream]]:
    """Streams that have begun; none is left over."""
    streams = [Stream(door, **each) for each in headers]
    try:
        for each in streams:
            await asyncio.wait_for(each.begun.wait(), PATIENCE_S)
        yield streams
    finally:
        for each in streams:
            await each.leave()


def test_a_hundred_streams_of_a_token_and_no_more(tmp_path: Path) -> None:
    """The next is told so; another's is not in the way, and one that ends makes room."""

    async def story() -> None:
        door = Door(tmp_path)
        async with _running(door, *[_bearer(OPERATOR)] * (MOST_STREAMS + 1), _bearer(VIEWER)) as streams:
            *hundred, refused, other = streams
            assert {each.status for each in [*hundred, other]} == {200}
            await refused.over()
            assert (refused.status, refused.ended) == (429, True)
            await hundred[0].leave()
            async with _running(door, _bearer(OPERATOR)) as [again]:
                assert (again.status, again.ended) == (200, False)

    asyncio.run(story())


def test_a_removed_line_ends_its_streams_and_no_others(tmp_path: Path) -> None:
    """They end as if the server had no more to say, so that clients come back and are refused."""

    async def story() -> None:
        door = Door(tmp_path)
        cookie = await asyncio.to_thread(_session, door)
        async with _running(door, _bearer(OPERATOR), {"cookie": cookie}, _bearer(VIEWER)) as streams:
            door.write(LINES[1])
            door.timer += 1.0
            door.access.look()
            for each in streams[:2]:
                await each.over()
            assert [each.ended for each in streams] == [True, True, False]

    asyncio.run(story())


def test_nobody_needs_to_ask_for_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is looked at as long as the application lives."""
    monkeypatch.setattr(middleware, "LOOK_EVERY_S", 0.01)

    async def story() -> None:
        door = Door(tmp_path)
        stop = asyncio.Event()

        async def lives(scope: Any, *_: Any) -> None:
            assert scope["type"] == "lifespan"
            await stop.wait()

        serving, door.access._app = door.access._app, lives
        life = asyncio.create_task(door.access({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        door.access._app = serving
        async with _running(door, _bearer(OPERATOR)) as [stream]:
            door.write(LINES[1])
            door.timer += 1.0
            await stream.over()
            assert stream.ended
        stop.set()
        await life
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(story())


def test_a_logout_ends_the_streams_of_its_session_only(tmp_path: Path) -> None:
    """Those of other browsers and of the token itself go on."""

    async def story() -> None:
        door = Door(tmp_path)
        here, there = [await asyncio.to_thread(_session, door) for _ in range(2)]
        async with _running(door, {"cookie": here}, {"cookie": there}, _bearer(OPERATOR)) as streams:
            asked = {"cookie": here, "origin": "http://127.0.0.1:8080"}
            # It ends them by the loop in which it is asked.
            request = Stream(door, **asked)
            request._scope |= {"method": "POST", "path": "/logout"}
            await request.over()
            assert request.status == 303
            await streams[0].over()
            assert [each.ended for each in streams] == [True, False, False]

    asyncio.run(story())


def test_a_stream_ends_with_its_session(tmp_path: Path) -> None:
    """It does not outlive the twelve hours."""

    async def story() -> None:
        door = Door(tmp_path)
        cookie = await asyncio.to_thread(_session, door)
        door.now += LASTS_S - 0.05
        async with _running(door, {"cookie": cookie}, _bearer(OPERATOR)) as streams:
            await streams[0].over()
            assert [each.ended for each in streams] == [True, False]

    asyncio.run(story())


def test_without_tokens_there_is_no_number(tmp_path: Path) -> None:
    """Nobody is asked who they are."""

    async def story() -> None:
        async with _running(Door(tmp_path, None), *[{}] * (MOST_STREAMS + 5)) as streams:
            assert {each.status for each in streams} == {200}

    asyncio.run(story())


def _session(door: Door) -> str:
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = door.ask("POST", "/login", headers=form, content=f"token={OPERATOR}".encode())
    return str(answer.headers["set-cookie"].partition(";")[0])
