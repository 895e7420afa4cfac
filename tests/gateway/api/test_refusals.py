"""Bodies and queries that are refused: 422 with the field, and nothing is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from streams.gateway.api.bodies import ActBody, CancelFlowBody, ControlBatchBody, InvokeBody, StartBatchBody
from support.service.api_world import (
    ACTS,
    BATCHES,
    BODIES,
    CONTROLS,
    FLOW_CANCELS,
    INVOCATIONS,
    KILL,
    REPLAY,
    ApiWorld,
)

if TYPE_CHECKING:
    import httpx

CALL = {"service": "emails", "handler": "send"}

LONG, LONGER = "x" * 257, "x" * 1_001
MANY_LABELS = {f"k{number}": "v" for number in range(65)}


def killed(**filter_: Any) -> dict[str, Any]:
    """A kill with this filter."""
    return {"action": "KILL", "filter": filter_}


def acted(action: str, **filter_: Any) -> dict[str, Any]:
    """A batch of another action."""
    return {"action": action, "filter": filter_}


def called(**fields: Any) -> dict[str, Any]:
    """An invocation with these fields."""
    return {"invocation": {**CALL, **fields}}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    # A batch.
    (BATCHES, {**KILL, "batch_id": ""}, "batch_id"),
    (BATCHES, {**KILL, "batch_id": LONG}, "batch_id"),
    (BATCHES, {**KILL, "batch_id": "a\nb"}, "batch_id"),
    (BATCHES, {**KILL, "actor": "me"}, "actor"),
    (BATCHES, {**KILL, "reason": LONGER}, "reason"),
    (BATCHES, {**KILL, "grace_ms": -1}, "grace_ms"),
    (BATCHES, {**KILL, "grace_ms": 86_400_001}, "grace_ms"),
    (BATCHES, {**KILL, "limit": 0}, "limit"),
    (BATCHES, {**KILL, "max_rate": 0}, "max_rate"),
    (BATCHES, {**KILL, "max_rate": "Infinity"}, "max_rate"),
    (BATCHES, {**KILL, "action": "UNKNOWN"}, "action"),
    (BATCHES, {**KILL, "on_timeout": "WAIT"}, "on_timeout"),
    (BATCHES, {"filter": {"match_all": True}}, "action"),
    (BATCHES, {"action": "KILL"}, "filter"),
    # Its filter.
    (BATCHES, killed(), "filter.match_all"),
    (BATCHES, killed(exclude={"services": ["a"]}), "filter.match_all"),
    (BATCHES, killed(services=[]), "filter.services"),
    (BATCHES, killed(services=[""]), "filter.services[0]"),
    (BATCHES, killed(services=[LONG]), "filter.services"),
    (BATCHES, killed(labels={}), "filter.labels"),
    (BATCHES, killed(labels=MANY_LABELS), "filter.labels"),
    (BATCHES, killed(labels={"k": LONGER}), "filter.labels"),
    (BATCHES, killed(labels_in={"k": []}), "filter.labels_in.k"),
    (BATCHES, killed(match_all=True, exclude={}), "filter.exclude"),
    (BATCHES, killed(match_all=True, exclude={"handlers": []}), "filter.exclude.handlers"),
    (BATCHES, killed(match_all=True, exclude={"match_all": True}), "filter.exclude.match_all"),
    (BATCHES, killed(created_from=2, created_until=1), "filter.created_until"),
    (
        BATCHES,
        killed(match_all=True, exclude={"modified_from": 2, "modified_until": 1}),
        "filter.exclude.modified_until",
    ),
    (BATCHES, killed(invocation_ids=[f"i-{number}" for number in range(10_001)]), "filter.invocation_ids"),
    (BATCHES, killed(services=["s" * 250 + str(number) for number in range(1_100)]), "filter"),
    (BATCHES, killed(statuses=["GONE"]), "filter.statuses[0]"),
    (BATCHES, killed(statuses=["COMPLETED"]), "filter.statuses"),
    (BATCHES, acted("PURGE", statuses=["RUNNING"]), "filter.statuses"),
    (BATCHES, acted("RESUME", statuses=["RUNNING"]), "filter.statuses"),
    (BATCHES, acted("PAUSE", statuses=["PAUSED", "CANCELLING"]), "filter.statuses"),
    (BATCHES, acted("CANCEL", statuses=["CANCELLING"]), "filter.statuses"),
    # A standing one.
    *(
        (BATCHES, {**killed(services=["a"], **more), "standing_until": 9_999_999_999_999}, "standing_until")
        for more in ({"statuses": ["RUNNING"]}, {"modified_from": 1}, {"invocation_ids": ["i"]}, {"batch_ids": ["b"]})
    ),
    (BATCHES, {**KILL, "standing_until": 9_999_999_999_999, "limit": 1}, "standing_until"),
    (BATCHES, {**KILL, "standing_until": 9_999_999_999_999, "max_rate": 1}, "standing_until"),
    (BATCHES, {**acted("PAUSE", services=["a"]), "standing_until": 9_999_999_999_999}, "standing_until"),
    # A control.
    (CONTROLS, {"batch_id": "b", "operation": "SET_RATE"}, "max_rate"),
    (CONTROLS, {"batch_id": "b", "operation": "PAUSE", "max_rate": 1}, "max_rate"),
    (CONTROLS, {"batch_id": "b", "operation": "SET_RATE", "max_rate": -1}, "max_rate"),
    (CONTROLS, {"batch_id": "", "operation": "PAUSE"}, "batch_id"),
    (CONTROLS, {"batch_id": "b", "operation": "STOP"}, "operation"),
    # An act.
    (ACTS, {"invocation_id": "i", "action": "CANCEL", "grace_ms": -1}, "grace_ms"),
    (ACTS, {"invocation_id": LONG, "action": "KILL"}, "invocation_id"),
    (ACTS, {"invocation_id": "i", "action": "KILL", "reason": LONGER}, "reason"),
    (ACTS, {"invocation_id": "i", "action": "KILL", "cause": {"batch_id": "b"}}, "cause"),
    # An invocation.
    (INVOCATIONS, called(invocation_id=LONG), "invocation.invocation_id"),
    (INVOCATIONS, called(lease_ms=0), "invocation.lease_ms"),
    (INVOCATIONS, called(labels=MANY_LABELS), "invocation.labels"),
    (INVOCATIONS, called(flow_id="a\tb"), "invocation.flow_id"),
    (INVOCATIONS, called(object_key="k", invocation_id="elsewhere~1"), "invocation.invocation_id"),
    (INVOCATIONS, {**called(), "payload": "A" * 400_000}, "payload"),
    (INVOCATIONS, {**called(), "payload": "!"}, "payload"),
    (INVOCATIONS, {**called(), "adopt": True, "scheduled_at": 1}, "scheduled_at"),
    (INVOCATIONS, {**called(), "scheduled_at": "tomorrow"}, "scheduled_at"),
    # A flow's cancel.
    (FLOW_CANCELS, {"flow_id": LONG}, "flow_id"),
    *((FLOW_CANCELS, {"flow_id": "f", "grace_ms": wrong}, "grace_ms") for wrong in (-1, 1.5, 86_400_001)),
    (FLOW_CANCELS, {"flow_id": "f", "policy": "SOME"}, "policy"),
    # Dead letters.
    (REPLAY, {}, ""),
    (REPLAY, {"all": True, "codes": ["x"]}, ""),
    (REPLAY, {"places": ["0:17"]}, "places"),
]


def test_every_refusal_names_its_field() -> None:
    """All of the protocol's rules, at the gateway: 422, and the log stays empty."""
    world = ApiWorld()
    told: list[tuple[int, str, str]] = []

    async def story(client: httpx.AsyncClient) -> None:
        for path, body, _ in REFUSED:
            answer = await client.post(path, json=body)
            problem = answer.json()
            told.append((answer.status_code, path, problem.get("field")))
            assert {each["field"] for each in problem["faults"]} == {problem["field"]}, (body, problem)

    world.run(story)
    assert told == [(422, path, field) for path, _, field in REFUSED]
    assert world.commands() == []


@pytest.mark.parametrize("path", BODIES)
def test_a_misspelt_field_is_refused_by_its_name(path: str) -> None:
    """Each field of each body, in records within it too: it must never mean that the field is absent."""
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        for body, field in misspelt(BODIES[path], ""):
            answer = await client.post(path, json=body)
            assert (answer.status_code, field in [each["field"] for each in answer.json()["faults"]]) == (422, True)

    world.run(story)
    assert world.commands() == []


def misspelt(body: dict[str, Any], path: str) -> list[tuple[dict[str, Any], str]]:
    """The body with each of its fields misspelt in turn, and the path of that field."""
    found = []
    for name, value in body.items():
        others = {other: kept for other, kept in body.items() if other != name}
        found.append(({**others, f"{name}x": value}, f"{path}{name}x"))
        if isinstance(value, dict):
            inner = misspelt(value, f"{path}{name}.")
            found += [({**others, name: changed}, field) for changed, field in inner]
    return found


def test_a_body_has_the_fields_that_its_caller_may_give() -> None:
    """Those of the command, without what the gateway or the engine fills in; a new one is given on purpose."""
    kinds = (StartBatchBody, ControlBatchBody, ActBody, CancelFlowBody, InvokeBody)
    assert {kind.__name__: " ".join(sorted(kind.__struct_fields__)) for kind in kinds} == {
        "StartBatchBody": "action batch_id dry_run expires_at filter grace_ms limit max_rate on_timeout reason "
        "standing_until",
        "ControlBatchBody": "batch_id max_rate operation",
        "ActBody": "action grace_ms invocation_id on_timeout reason",
        "CancelFlowBody": "action children flow_id grace_ms on_timeout policy reason",
        "InvokeBody": "adopt invocation payload scheduled_at",
    }


ALL_AT_ONCE: list[tuple[str, dict[str, Any], str]] = [
    (
        BATCHES,
        {"action": "KILL", "filter": {"servces": ["a"], "handlers": []}, "limit": "3", "actor": "me"},
        "actor filter.handlers filter.servces limit",
    ),
    (
        BATCHES,
        {"action": "KIL", "filter": {"services": []}, "limit": 0, "reason": LONGER},
        "action filter.services limit reason",
    ),
    (
        BATCHES,
        {
            **killed(services=[LONG], labels={"k": LONGER}, created_from=2, created_until=1),
            "limit": 0,
            "grace_ms": -1,
        },
        "filter.created_until filter.labels filter.services grace_ms limit",
    ),
    (
        BATCHES,
        killed(services=[LONG], handlers=[], exclude={"services": [], "handlers": [LONG]}),
        "filter.exclude.handlers filter.exclude.services filter.handlers filter.services",
    ),
    # What depends on a field that cannot be read is not guessed at.
    (BATCHES, {"action": "KIL", "filter": {"statuses": ["COMPLETED"]}, "limit": 0}, "action limit"),
    # null is an absent field.
    (BATCHES, {"action": "KIL", "filter": {"services": ["a"], "exclude": None}, "limit": 0}, "action limit"),
    (BATCHES, {"batch_id": LONG, "service": "a", "limit": 0}, "action batch_id filter limit service"),
    (CONTROLS, {"batch_id": LONG, "operation": "STOP", "max_rate": 1}, "batch_id operation"),
    (CONTROLS, {"batch_id": LONG, "operation": "SET_RATE", "max_rate": -1}, "batch_id max_rate"),
    (ACTS, {"invocation_id": LONG, "action": "KIL", "grace_ms": -1}, "action grace_ms invocation_id"),
    (ACTS, {"action": "KILL", "grace_ms": -1, "reasn": "x"}, "grace_ms invocation_id reasn"),
    (FLOW_CANCELS, {"flow_id": LONG, "policy": "SOME", "grace_ms": -1}, "flow_id grace_ms policy"),
    (
        INVOCATIONS,
        {**called(service=5, handler=LONG, lease_ms=0, object_key="k"), "payload": "A" * 400_000, "adopt": "no"},
        "adopt invocation.handler invocation.lease_ms invocation.service payload",
    ),
    (INVOCATIONS, {"payload": "A" * 400_000}, "invocation payload"),
    (
        INVOCATIONS,
        called(invocation_id="a~1", handler=LONG, object_key="k", labels=MANY_LABELS, lease_ms=0),
        "invocation.handler invocation.invocation_id invocation.labels invocation.lease_ms",
    ),
]


@pytest.mark.parametrize(("path", "body", "fields"), ALL_AT_ONCE)
def test_all_faults_are_told_at_once(path: str, body: dict[str, Any], fields: str) -> None:
    """Of a body, and of the rules that the readable rest of it breaks; each once."""
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post(path, json=body)
        assert answer.status_code == 422
        assert " ".join(sorted(each["field"].partition("[")[0] for each in answer.json()["faults"])) == fields

    world.run(story)
    assert world.commands() == []


def test_a_body_must_be_json_and_say_so() -> None:
    """400, 413, 415, and 422 for a JSON value that is not an object; each with words."""
    world = ApiWorld()
    json_ = {"Content-Type": "application/json"}

    async def story(client: httpx.AsyncClient) -> None:
        for content, headers, status in (
            (b"{", json_, 400),
            (b"\xff", json_, 400),
            (b"[" * 100_000, json_, 400),
            (b'{"limit": NaN}', json_, 400),
            (b"[]", json_, 422),
            (b'{"action": "KILL", "action": "CANCEL"}', json_, 422),
            (b"{}", {"Content-Type": "text/plain"}, 415),
            (b"{}", {}, 415),
            (b" " * (2 * 1024 * 1024 + 1), json_, 413),
        ):
            answer = await client.post(BATCHES, content=content, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
            assert answer.json()["status"] == status
            assert answer.json()["detail"]

    world.run(story)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("servce=a", "servce"),
        ("service=", "service"),
        ("status=GONE", "status"),
        ("label=a", "label"),
        ("label==a", "label"),
        ("label=a%5C=b", "label"),
        ("not_label=a", "not_label"),
        ("not_service=", "not_service"),
        ("not_invocation_id=i", "not_invocation_id"),
        ("created_from=yesterday", "created_from"),
        ("created_from=1&created_from=2", "created_from"),
        ("created_from=2&created_until=1", "created_until"),
        ("not_modified_from=2&not_modified_until=1", "not_modified_until"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=%C2%B2", "limit"),
        ("cursor=nonsense", "cursor"),
        ("service=%FF", ""),
    ],
)
def test_a_query_is_refused_by_its_parameter(query: str, field: str) -> None:
    """A filter that is not understood never means all."""
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get(f"{INVOCATIONS}?{query}")
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text

    world.run(story)


@pytest.mark.parametrize("path", ["batches", "flows", "dead-letters", "me", "partitions", "events"])
def test_other_queries_are_as_strict(path: str) -> None:
    """An unknown parameter is refused everywhere."""
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get(f"/api/v1/{path}?stat=RUNNING")
        assert (answer.status_code, answer.json()["field"]) == (422, "stat")

    world.run(story)


def test_a_sound_body_of_each_kind_is_sent() -> None:
    """What the tables above begin with is right: 202, or 404 where it names what is not there."""
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        started = asyncio.gather(client.post(BATCHES, json=BODIES[BATCHES]), world.lead())
        assert (await started)[0].status_code == 202
        for path, body in BODIES.items():
            assert (await client.post(path, json=body)).status_code == 202, path

    world.run(story)
    assert sorted(type(each).__name__ for each in world.commands()) == [
        "Act",
        "CancelFlow",
        "ControlBatch",
        "Invoke",
        "StartBatch",
    ]
