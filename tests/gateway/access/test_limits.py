"""Sizes, times and rates of requests; and the headers of every answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from streams.gateway.access import requests
from streams.gateway.access.middleware import MOST_BODY_BYTES
from support.service.door import JSON, OPERATOR, VIEWER, Door

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ACTS = "/api/v1/acts"


@pytest.mark.parametrize("lines", [None, (), "tokens"])
def test_an_oversized_body_is_refused_and_the_largest_good_one_taken(tmp_path: Path, lines: Any) -> None:
    """Whether its length is told, or only found while it is read."""
    door = Door(tmp_path) if lines == "tokens" else Door(tmp_path, lines)
    if lines == ():
        assert door.ask("POST", ACTS, content=b"x" * (MOST_BODY_BYTES + 1)).status_code == 401
        return
    taken = door.ask("POST", ACTS, OPERATOR, content=b"x" * MOST_BODY_BYTES)
    assert (taken.status_code, taken.json()["size"]) == (200, MOST_BODY_BYTES)
    assert door.ask("POST", ACTS, OPERATOR, content=b"x" * (MOST_BODY_BYTES + 1)).status_code == 413

    async def endless(client: Any) -> Any:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(2 * MOST_BODY_BYTES // 65_536):
                yield b"x" * 65_536

        return await client.post(ACTS, headers=JSON | {"authorization": f"Bearer {OPERATOR}"}, content=pieces())

    assert door.talk(endless).status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e9", "99999999999999999999", "x"])
def test_a_length_that_is_none_is_refused(tmp_path: Path, length: str) -> None:
    """It is not read to see how long it is."""
    answer = Door(tmp_path, None).ask("POST", ACTS, headers={"content-length": length}, content=b"{}")
    assert answer.status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that send a byte now and then would otherwise hold the gateway."""
    monkeypatch.setattr(requests, "BODY_WITHIN_S", 0.02)
    door = Door(tmp_path, None)

    async def slow(client: Any) -> Any:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.sleep(30)

        return await client.post(ACTS, headers=JSON, content=pieces())

    assert door.talk(slow).status_code == 408


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", None])
def test_what_changes_something_must_be_json(tmp_path: Path, kind: str | None) -> None:
    """The kinds that a form can send without asking first are refused."""
    headers = {} if kind is None else {"content-type": kind}

    async def post(client: Any) -> Any:
        return await client.post(ACTS, headers=headers, content=b"{}")

    assert Door(tmp_path, None).talk(post).status_code == 415


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_may_name_its_encoding(tmp_path: Path, kind: str) -> None:
    """As clients do."""
    assert Door(tmp_path, None).ask("POST", ACTS, headers={"content-type": kind}, content=b"{}").status_code == 200


def _statuses(door: Door, number: int, headers: dict[str, str], path: str = "/api/v1/batches") -> list[Any]:
    async def ask(client: Any) -> list[Any]:
        return [await client.get(path, headers=headers) for _ in range(number)]

    answers: list[Any] = door.talk(ask)
    return answers


def test_a_thousand_requests_a_second_are_refused(tmp_path: Path) -> None:
    """A burst of 200 gets through, then 50 a second; the answer says when to come again. Others are not held up."""
    door = Door(tmp_path)
    ann, vic = ({"authorization": f"Bearer {each}"} for each in (OPERATOR, VIEWER))
    answers = _statuses(door, 1_000, ann)
    assert Counter(each.status_code for each in answers) == {200: 200, 429: 800}
    assert (answers[-1].headers["retry-after"], answers[-1].json()["rule"]) == ("1", "rate")
    assert Counter(each.status_code for each in _statuses(door, 100, vic)) == {200: 100}
    door.timer += 1.0
    assert Counter(each.status_code for each in _statuses(door, 100, ann)) == {200: 50, 429: 50}
    door.timer += 60.0
    assert Counter(each.status_code for each in _statuses(door, 300, ann)) == {200: 200, 429: 100}


def test_guessing_is_limited_for_each_address(tmp_path: Path) -> None:
    """Without a good token the address is what counts; a whole network of IPv6 is one address."""
    door = Door(tmp_path)
    assert Counter(each.status_code for each in _statuses(door, 300, {})) == {401: 200, 429: 100}
    assert door.ask("GET", "/api/v1/batches", token=OPERATOR).status_code == 200
    assert door.ask("GET", "/api/v1/batches", address="192.0.2.2").status_code == 401
    for number in range(201):
        last = door.ask("GET", "/api/v1/batches", address=f"2001:db8::{number:x}")
    assert last.status_code == 429
    assert door.ask("GET", "/api/v1/batches", address="2001:db8:0:1::1").status_code == 401


def test_open_paths_are_not_counted(tmp_path: Path) -> None:
    """Probes and assets never meet a limit; nor does anybody where no token is asked for."""
    door = Door(tmp_path)
    for path in ("/health/ready", "/assets/page.js"):
        assert Counter(each.status_code for each in _statuses(door, 300, {}, path)) == {200: 300}
    assert Counter(each.status_code for each in _statuses(Door(tmp_path, None), 300, {})) == {200: 300}


def test_a_url_without_end_is_refused(tmp_path: Path) -> None:
    """Whatever it asks for."""
    assert Door(tmp_path).ask("GET", "/?q=" + "x" * 40_000).status_code == 414


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/api/v1/batches"), ("POST", ACTS), ("GET", "/login")]
)
@pytest.mark.parametrize("token", [None, OPERATOR])
def test_every_answer_has_the_headers(tmp_path: Path, method: str, path: str, token: str | None) -> None:
    """Refusals too. Nothing of others may be loaded, nobody may frame it, nothing is kept in caches."""
    headers = Door(tmp_path).ask(method, path, token=token).headers
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers
    assert "strict-transport-security" not in headers


def test_browsers_that_came_by_tls_are_told_to_do_so_again(tmp_path: Path) -> None:
    """By the gateway's own TLS or by the proxy's; not when a program on this machine asks it directly."""
    own = Door(tmp_path, gateway_tls_cert="x", gateway_tls_key="y")
    assert "strict-transport-security" in own.ask("GET", "/").headers
    proxied = Door(tmp_path, gateway_public_url="https://streams.example.com")
    assert "strict-transport-security" in proxied.ask("GET", "/", headers={"host": "streams.example.com"}).headers
    assert "strict-transport-security" not in proxied.ask("GET", "/").headers
