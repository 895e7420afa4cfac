"""The OpenAPI document: complete, and the API keeps to it whatever it is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from jsonschema_rs import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from streams.gateway.api import batches
from streams.gateway.api.app import ROUTERS
from streams.gateway.api.openapi import document
from streams.model import Action, Filter, StartBatch
from support.effort import examples
from support.records.flow_records import flow_progress
from support.records.progress_records import slice_progress
from support.service.api_world import ORIGIN, ApiWorld, Rows, header_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

pytestmark = pytest.mark.long

PATHS: dict[str, dict[str, Any]] = document()["paths"]
OURS = StartBatch("b", Action.KILL, Filter(match_all=True), actor="local")
OPERATIONS = [(method, path) for path, methods in PATHS.items() for method in methods]
STREAMS = [path for path, methods in PATHS.items() if "text/event-stream" in str(methods)]


def test_every_route_is_in_the_document_and_the_other_way_round() -> None:
    """What belongs to the page, to probes or to the document itself is no API."""
    routes = {
        (method.lower(), route.path.replace(":path", ""))
        for router in ROUTERS
        for route in router.routes
        for method in route.methods
        if route.path.startswith("/api/")
    }
    assert routes == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_route_is_described_with_its_problems_and_examples(method: str, path: str) -> None:
    """Words, an answer, problems by RFC 9457; a body has an example that its own schema takes."""
    route = PATHS[path][method]
    assert route["summary"]
    assert route["operationId"]
    for status, answer in route["responses"].items():
        kind = "application/problem+json" if int(status) >= 400 else "application/json"
        assert path in STREAMS or kind in answer["content"]
    if "requestBody" in route:
        content = route["requestBody"]["content"]["application/json"]
        schema = {**content["schema"], "components": document()["components"]}
        assert content["examples"]
        for example in content["examples"].values():
            Draft202012Validator(schema).validate(example["value"])


def test_each_reference_leads_to_a_schema() -> None:
    """And each schema is used."""
    text = str(document())
    schemas = document()["components"]["schemas"]
    names = {part.partition("'")[0] for part in text.split("#/components/schemas/")[1:]}
    assert names - schemas.keys() == set()
    assert schemas.keys() - names == set()


def test_document_and_page_are_served_without_another_host() -> None:
    """Nothing on the page comes from elsewhere."""
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        assert (await client.get("/openapi.json")).json()["openapi"] == "3.1.0"
        for path, kind in (
            ("/docs", "text/html"),
            ("/docs/docs.js", "text/javascript"),
            ("/docs/docs.css", "text/css"),
        ):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)
            assert "//" not in answer.text.replace("// The API", "")
        assert (await client.get("/docs/..%2fdocs.py")).status_code == 404

    world.run(story)


SCHEMA = schemathesis.openapi.from_dict(document()).include(path_regex="^/api/").exclude(path=STREAMS)


@SCHEMA.parametrize()
@settings(max_examples=examples(30), suppress_health_check=list(HealthCheck))
def test_no_request_gets_an_answer_that_is_not_in_the_document(case: Any, running: RunningApi) -> None:
    """No 500, no undocumented status, header or body."""
    case.validate_response(running.answer(case), checks=_CHECKS)


_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


class RunningApi:
    """An API on a service with a batch and a flow, which takes one request after the other."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._world = ApiWorld()
        self._world.services.listing = Rows()
        self._world.publish(header_for(OURS), slice_progress(0, batch_id="b"), flow_progress("f"))
        self._running = self._world.client()
        self._client = runner.run(self._running.__aenter__())

    def answer(self, case: Any) -> httpx.Response:
        """The answer to one request."""
        arguments = case.as_transport_kwargs(base_url=ORIGIN)
        arguments.pop("cookies", None)
        if isinstance(arguments.get("data"), bytes | str):
            arguments["content"] = arguments.pop("data")
        return self._runner.run(self._client.request(**arguments))

    def close(self) -> None:
        """End it."""
        self._runner.run(self._running.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def running() -> Iterator[RunningApi]:
    """One for all requests."""
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patched:
        patched.setattr(batches, "SEEN_WITHIN_S", 0.0)
        made = RunningApi(runner)
        yield made
        made.close()
