"""Two gateways beside each other: one answer, and one that dies is not missed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx

from streams.model import CancelFlow, CancelPolicy, FlowAction
from support.service.api_world import KILL
from support.service.running_gateways import (
    PATIENCE_S,
    events_of,
    follow,
    gateway_of,
    invoke_many,
    require_no_orphans,
)

if TYPE_CHECKING:
    from support.service.harness import Service


def test_two_gateways_give_the_same_answers(service: Service) -> None:
    """Whatever is asked, and a list that was begun at one goes on at the other."""
    (_, first), (_, second) = gateway_of(service, "one"), gateway_of(service, "two")
    invoke_many(service, 500)
    service.send(CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL))
    service.send_raw(b"bad", "bad")
    for name in ("one", "two", "three"):
        httpx.post(f"{first}/api/v1/batches", json={**KILL, "batch_id": name, "limit": 100}).raise_for_status()
        *_, last = events_of(second, f"/api/v1/batches/{name}/events")
        assert last["done"] == 100
    service.settle()
    for path, count in (
        ("batches", 3),
        ("batches?state=COMPLETED&limit=2", 2),
        ("flows", 1),
        ("invocations?limit=500", 500),
        ("invocations?batch_id=two&limit=500", 100),
        ("dead-letters", 1),
        ("partitions", 4),
    ):
        _await_same(first, second, path, count)
    for path in ("batches/two", "flows/f", "invocations/emails-7", "invocation-counts?group_by=service", "me"):
        _await_same(first, second, path)
    found, cursor = list[str](), ""
    for address in (first, second) * 5:
        page = httpx.get(f"{address}/api/v1/invocations?limit=50{cursor}").json()
        found += [each["invocation_id"] for each in page["items"]]
        cursor = f"&cursor={page.get('next_cursor')}"
    assert sorted(found) == sorted(f"emails-{number}" for number in range(500))


def _await_same(first: str, second: str, path: str, count: int | None = None) -> None:
    """Both give one answer, but for the moment at which it was true: soon, as each reads the topics for itself."""
    deadline = time.monotonic() + 10
    while True:
        one, other = (httpx.get(f"{each}/api/v1/{path}", timeout=PATIENCE_S) for each in (first, second))
        assert (one.status_code, other.status_code) == (200, 200), (one.text, other.text)
        answers = [{name: value for name, value in each.json().items() if name != "as_of"} for each in (one, other)]
        if answers[0] == answers[1] and count in (None, len(answers[0].get("items", ()))):
            return
        assert time.monotonic() < deadline, (path, answers)


def test_a_gateway_is_killed_while_a_batch_runs_and_the_other_goes_on(service: Service) -> None:
    """Who follows at the other notices nothing; who followed at the dead one goes on there, and nothing goes back."""
    (one, first), (_, second) = gateway_of(service, "one"), gateway_of(service, "two")
    invoke_many(service, 2_000)
    path = "/api/v1/batches/b"
    httpx.post(f"{first}/api/v1/batches", json={**KILL, "batch_id": "b", "max_rate": 400}).raise_for_status()
    moved: list[list[dict[str, Any]]] = []
    stayed: list[list[dict[str, Any]]] = []
    with ThreadPoolExecutor() as pool:
        readers = [pool.submit(follow, moved, f"{path}/events", first, second)]
        readers.append(pool.submit(follow, stayed, f"{path}/events", second))
        deadline = time.monotonic() + PATIENCE_S
        while not all(lives and lives[0] and 0 < lives[0][-1]["done"] < 2_000 for lives in (moved, stayed)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        one.kill9()
        assert httpx.get(f"{second}/api/v1/invocation-counts").json()["total"] == 2_000
        for each in readers:
            each.result()
    assert (len(moved), len(stayed)) == (2, 1)
    assert moved[0][-1]["state"] == "RUNNING"
    for lives in (moved, stayed):
        states = [each for life in lives for each in life]
        for counter in ("done", "scanned", "revision"):
            numbers = [each[counter] for each in states]
            assert numbers == sorted(numbers), counter
        assert (states[-1]["state"], states[-1]["done"]) == ("COMPLETED", 2_000)
    require_no_orphans(one)
