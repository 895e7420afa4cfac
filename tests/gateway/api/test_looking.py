"""What the API shows: lists a page at a time, one by its id, and what it cannot show now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from streams import codec
from streams.cli.app import app
from streams.cli.context import Connection
from streams.codec.json_form import time_text
from streams.config import Topic
from streams.listing.query import CountQuery, GroupBy, ListQuery, OneQuery
from streams.listing.views import InvocationView
from streams.metrics import OfApi, metrics_of
from streams.model import ENGINE_VERSION, Act, Action, BatchState, Exclusion, Filter, SliceState, Status
from support.records.flow_records import flow_progress
from support.records.progress_records import header, slice_progress
from support.service.api_world import BATCHES, INVOCATIONS, ApiWorld, Rows

if TYPE_CHECKING:
    import httpx

IDS = ["a/b~c", "a%2Fb", "ü~世界", "a b", "?x=1", "#", "%", "a//b", "..a", "events", "x/events"]
ROW = InvocationView(3, 7, "a/b~c", "emails", "send", Status.RUNNING, 1, -1, 1_000, 2_000, 5)


def test_a_list_is_paged_newest_first_and_keeps_its_filter() -> None:
    """Each batch once; a cursor belongs to what the list was asked for."""
    world = ApiWorld()
    for number in range(7):
        name = f"b-{number}"
        world.publish(replace(header(batch_id=name, partitions=1), created_at=number // 2))

    async def story(client: httpx.AsyncClient) -> None:
        found: list[str] = []
        query: dict[str, Any] = {"limit": 3, "state": ["STARTING", "PAUSED"]}
        while True:
            page = (await client.get(BATCHES, params=query)).json()
            found += [each["batch_id"] for each in page["items"]]
            if "next_cursor" not in page:
                break
            query["cursor"] = page["next_cursor"]
        assert found == [f"b-{number}" for number in reversed(range(7))]
        other = await client.get(BATCHES, params={**query, "state": "RUNNING"})
        assert (other.status_code, other.json()["field"]) == (422, "cursor")
        assert (await client.get(BATCHES, params={"cursor": "x"})).json()["field"] == "cursor"

    world.run(story)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=COMPLETED", ["b"]),
        ("state=COMPLETED&state=RUNNING", ["b", "a"]),
        ("action=KILL&action=CANCEL", ["b", "a"]),
        ("action=PAUSE", []),
        ("actor=who", ["b"]),
        ("actor=nobody", []),
        ("dry_run=true", ["a"]),
        ("batch_id=a", ["a"]),
        ("created_from=1970-01-01T00:16:40.001Z", ["b"]),
        ("created_until=1970-01-01T00:16:40.001%2B00:00", ["a"]),
        ("limit=1", ["b"]),
    ],
)
def test_batches_are_found_by_what_they_are(query: str, found: list[str]) -> None:
    """Parameters are ANDed, values of one ORed."""
    world = ApiWorld()
    world.publish(
        replace(header(batch_id="a", partitions=1), dry_run=True, actor="ada"), slice_progress(0, batch_id="a")
    )
    world.publish(replace(header(batch_id="b", partitions=1), created_at=2_000_000))
    world.publish(slice_progress(0, batch_id="b", state=SliceState.COMPLETED))

    async def story(client: httpx.AsyncClient) -> None:
        page = (await client.get(f"{BATCHES}?{query}")).json()
        assert [each["batch_id"] for each in page["items"]] == found

    world.run(story)


def test_flows_are_listed_and_shown() -> None:
    """By state and actor; a forgotten one is gone."""
    world = ApiWorld()
    world.publish(flow_progress("f"), replace(flow_progress("g"), created_at=5_000, actor="bob"))

    async def story(client: httpx.AsyncClient) -> None:
        for query, found in (("", ["g", "f"]), ("?actor=bob", ["g"]), ("?state=OPEN", []), ("?flow_id=f", ["f"])):
            page = (await client.get(f"/api/v1/flows{query}")).json()
            assert [each["flow_id"] for each in page["items"]] == found
        assert (await client.get("/api/v1/flows/f")).json()["created_at"] == "1970-01-01T00:00:01.000Z"
        world.write(Topic.FLOWS, "f", None)
        await world.seen(lambda: "f" not in world.services.board.flows.flows)
        assert (await client.get("/api/v1/flows/f")).status_code == 404

    world.run(story)


@pytest.mark.parametrize("name", IDS)
def test_any_id_is_found_by_its_path(name: str) -> None:
    """A batch and a flow as one segment; an invocation as the rest of the path, encoded or not."""
    world = ApiWorld()
    world.publish(header(batch_id=name), flow_progress(name))
    world.services.listing = Rows(replace(ROW, invocation_id=name))

    async def story(client: httpx.AsyncClient) -> None:
        segment = quote(name, safe="")
        assert (await client.get(f"{BATCHES}/{segment}")).json()["batch_id"] == name
        assert (await client.get(f"/api/v1/flows/{segment}")).json()["flow_id"] == name
        for path in (segment, quote(name, safe="/~")):
            assert (await client.get(f"{INVOCATIONS}/{path}")).json()["invocation_id"] == name

    world.run(story)


def test_no_route_hides_behind_an_encoded_path() -> None:
    """An encoded slash is not a slash, and a segment that is not text is not an id."""
    world = ApiWorld()
    world.publish(header(batch_id="b"))

    async def story(client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/v1%2Fbatches")).status_code == 404
        assert (await client.get(f"{BATCHES}/a/b")).status_code == 404
        answer = await client.get(f"{BATCHES}/%FF")
        assert (answer.status_code, answer.json()["field"]) == (422, "batch_id")
        assert (await client.get(f"{INVOCATIONS}/%FF")).json()["field"] == "invocation_id"
        assert (await client.put(BATCHES)).headers["content-type"] == "application/problem+json"

    world.run(story)


def test_a_filter_of_invocations_is_that_of_its_parameters() -> None:
    """Singular names, repeated for more; labels with one `=` behind their key; what is left out begins with not_."""
    world = ApiWorld()
    world.services.listing = rows = Rows(ROW, missing=(2,))

    async def story(client: httpx.AsyncClient) -> None:
        query = (
            "service=emails&service=sms&status=RUNNING&label=k=a=b&label=x%5C%3Dy==z&label=zone=eu&label=zone=us&batch_id=b"
            "&created_from=1970-01-01T00:00:01Z&not_handler=send&not_label=tenant=acme&not_created_until=5"
        )
        page = (await client.get(f"{INVOCATIONS}?{query}&limit=7")).json()
        assert (page["as_of"], page["missing_partitions"]) == ("1970-01-01T00:00:05.000Z", [2])
        assert page["items"][0]["status"] == "RUNNING"
        counts = (await client.get(f"/api/v1/invocation-counts?{query}&group_by=service")).json()
        assert (counts["total"], counts["counts"], counts["exact"]) == (1, {"RUNNING": 1}, False)
        assert counts["groups"] == [{"value": "emails", "counts": {"RUNNING": 1}}]
        await client.get(INVOCATIONS)

    world.run(story)
    chosen = Filter(
        created_from=1_000,
        services=("emails", "sms"),
        statuses=(Status.RUNNING,),
        batch_ids=("b",),
        labels={"k": "a=b", "x=y": "=z"},
        labels_in={"zone": ("eu", "us")},
        exclude=Exclusion(created_until=5, handlers=("send",), labels={"tenant": "acme"}),
    )
    assert rows.asked == [ListQuery(chosen, 7), CountQuery(chosen, GroupBy.SERVICE), ListQuery()]


def test_an_invocation_is_shown_and_its_payload_only_if_asked_for() -> None:
    """404 where there is none, 503 where nobody serves its partition."""
    world = ApiWorld()
    world.services.listing = rows = Rows(replace(ROW, payload=b"hello"))

    async def story(client: httpx.AsyncClient) -> None:
        shown = (await client.get(f"{INVOCATIONS}/a/b~c?payload=true")).json()
        assert (shown["payload"], shown["as_of"]) == ("aGVsbG8=", "1970-01-01T00:00:05.000Z")
        assert (await client.get(f"{INVOCATIONS}/other")).status_code == 404
        world.services.listing = Rows(missing=(3,))
        answer = await client.get(f"{INVOCATIONS}/other")
        assert (answer.status_code, answer.json()["partition"], answer.headers["retry-after"]) == (503, 3, "2")

    world.run(story)
    assert rows.asked == [OneQuery("a/b~c", payload=True), OneQuery("other")]


def test_a_dead_letter_is_shown_as_the_command_line_shows_it() -> None:
    """Names, times and bytes alike; here with the record that it holds."""
    world = ApiWorld()
    headers = [("error-code", b"c"), ("error-message", b"m"), ("source-partition", b"1"), ("source-timestamp", b"5000")]
    value = codec.encode(Act("i", Action.KILL))
    world.cluster.append((world.settings.topic(Topic.DEAD_LETTERS), 0), b"\xff", value, headers)
    told: list[dict[str, Any]] = []

    async def story(client: httpx.AsyncClient) -> None:
        told.extend((await client.get("/api/v1/dead-letters")).json()["items"])

    world.run(story)
    arguments = ["dead-letters", "list", "--json"]
    listed = CliRunner().invoke(app, arguments, obj=Connection(world.settings, world.cluster))
    assert told[0].pop("record")["type"] == "Act"
    assert json.loads(listed.stdout)["dead_letters"] == told
    assert (told[0]["place"], told[0]["key"]) == ("0:0", {"base64": "/w=="})
    assert told[0]["timestamp"] == time_text(world.cluster.now)


def test_a_forgotten_batch_is_gone_and_its_id_may_come_again() -> None:
    """With the header's tombstone, whatever is left of its slices."""
    world = ApiWorld()
    world.publish(header(batch_id="b", partitions=1), slice_progress(0, batch_id="b", state=SliceState.COMPLETED))

    async def story(client: httpx.AsyncClient) -> None:
        assert (await client.get(f"{BATCHES}/b")).json()["state"] == BatchState.COMPLETED.value
        assert (await client.get(f"{BATCHES}/b")).json()["slices"][0]["partition"] == 0
        world.write(Topic.BATCH_SLICES, "b/lead", None)
        await world.seen(lambda: world.services.board.batches.header("b") is None)
        assert (await client.get(f"{BATCHES}/b")).status_code == 404
        assert (await client.get(BATCHES)).json() == {"items": []}
        world.publish(header(batch_id="b", partitions=1, revision=90))
        await world.seen(lambda: world.services.board.batches.header("b"))
        assert (await client.get(f"{BATCHES}/b")).json()["state"] == BatchState.STARTING.value

    world.run(story)


def test_requests_are_counted_beside_the_metrics_of_the_merge() -> None:
    """All that is defined is served; a merge that gives none is told."""
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        await client.get(BATCHES)
        await client.get(f"{BATCHES}/unknown")
        text = (await client.get("/metrics")).text
        names = {family.name for family in text_string_to_metric_families(text)}
        assert names == {metric.name.removesuffix("_total") for metric in metrics_of(OfApi)}
        for line in (
            'requests_total{answer="2xx"} 1',
            'requests_total{answer="4xx"} 1',
            "merge_up 0",
            "seconds_count 2",
        ):
            assert line in text

    world.run(story)


def test_the_caller_and_the_health_of_the_whole() -> None:
    """Nobody has to say who they are here; ready once the topics are read."""
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/v1/me")).json() == {
            "name": "local",
            "role": "operator",
            "open": True,
            "engine_version": ENGINE_VERSION,
        }
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()) == (200, {"ready": True, "missing": []})
        assert (await client.get("/health/live")).status_code == 200

    world.run(story)
