"""`invocation show` and `count`: what they ask of the gateway, and what they show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from rich.cells import cell_len

from streams.cli.completion import invocation_ids
from streams.cli.gateway import HTTP
from streams.cli.show import watching
from streams.cli.show.counts import count_table
from streams.cli.show.invocations import invocation_table
from streams.codec.json_form import to_json
from streams.listing.views import Holder
from streams.model import Cause, Ending, OnTimeout, Status
from support.records.flow_records import flow_progress
from support.service.invocations_api import InvocationsApi, asked, nobody, printed_lines, problem, view

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.listing.views import InvocationView
    from support.service.stand_in import Service

NOW = 100_000


def _shown(item: InvocationView) -> dict[str, str]:
    """What is shown of an invocation, by name."""
    lines = printed_lines(invocation_table(to_json(item), NOW), 80)
    begin = 2 + max(len(line.partition("  ")[0]) for line in lines)
    return {line[:begin].strip(): line[begin:].strip() for line in lines}


def test_an_invocation_is_shown_with_all_that_is_known(service: Service) -> None:
    """Where it stands and since when, who asked for its end and why, what it belongs to."""
    item = view(
        "accounts/ada~1",
        Status.CANCELLING,
        object_key="ada",
        attempt=3,
        deployment_id="v2",
        requested_deployment_id="v1",
        flow_id="order-4711",
        parent_id="p-1",
        labels={"tenant": "acme", "plan": "gold"},
        ending=Ending(Cause("b-1", "f-1", "ada@host", "bad deploy"), OnTimeout.LEAVE, grace_until=NOW + 30_000),
        batch_id="b-1",
        children=flow_progress("accounts/ada~1", live=2, pending=1, ended=4),
        payload=b'{"to": "ada"}',
    )
    assert _shown(item) == {
        "invocation": "accounts/ada~1",
        "status": "CANCELLING",
        "since": "1970-01-01 00:00:02Z, 98s ago",
        "asked to end by": "ada@host",
        "reason": "bad deploy",
        "by batch": "b-1",
        "by flow": "f-1",
        "grace": "for 30s more, until 1970-01-01 00:02:10Z; then LEAVE",
        "handler": "mail/send",
        "attempt": "3",
        "created": "1970-01-01 00:00:01Z, 99s ago",
        "object": "ada",
        "deployment": "v2",
        "meant for": "deployment v1",
        "flow": "order-4711",
        "parent": "p-1",
        "label": "tenant=acme",
        "children": "CANCELLED: 2 live, 1 pending, 4 ended",
        "place": "partition 0, offset 0",
        "payload": '{"to": "ada"}',
    }
    service.api = api = InvocationsApi(item)
    result = service.run("invocation", "show", "accounts/ada~1")
    assert result.exit_code == 0
    assert "payload" not in result.stdout
    assert 'payload          {"to": "ada"}' in service.run("invocation", "show", "accounts/ada~1", "--payload").stdout
    assert json.loads(service.run("invocation", "show", "accounts/ada~1", "--json").stdout)["attempt"] == 3
    assert asked(api) == [f"invocations/accounts%2Fada~1{more}" for more in ("", "?payload=true", "")]


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"status": Status.PAUSED, "paused_from": Status.RUNNING}, "status", "PAUSED, was RUNNING"),
        ({"held": True}, "status", "RUNNING, held"),
        ({"status": Status.SCHEDULED, "due_at": NOW + 7_200_000}, "starts", "1970-01-01 02:01:40Z, in 2h"),
        ({"status": Status.BACKING_OFF, "due_at": NOW}, "tries again", "1970-01-01 00:01:40Z, 0s ago"),
        ({"status": Status.COMPLETED, "due_at": NOW}, "starts", None),
        ({"status": Status.KILLED, "ending": Ending(Cause(actor="eve"))}, "killed by", "eve"),
        ({"status": Status.FAILED, "ending": Ending(error="no such file")}, "error", "no such file"),
        ({"held_by": Holder(invocation_id="i-1")}, "waits for", "invocation i-1, which has its object"),
        ({"held_by": Holder(batch_id="b-1")}, "waits for", "batch b-1, which is about to end it"),
        ({"held_by": Holder(flow_id="f-1")}, "waits for", "flow f-1, which is being cancelled"),
        ({"held_by": Holder(parent_id="p-1")}, "waits for", "invocation p-1, whose children are being cancelled"),
        ({"payload": b"\xff\x00"}, "payload", "2 bytes, base64: /wA="),
        ({"payload": b""}, "payload", "empty"),
    ],
)
def test_what_holds_or_has_ended_it_is_said_in_words(changes: dict[str, Any], name: str, said: str | None) -> None:
    """What does not apply is left out."""
    assert _shown(view("i", **changes)).get(name) == said


def test_an_unknown_invocation_is_an_error(service: Service) -> None:
    """Exit code 1, and where to look; ids that a path cannot carry are asked for all the same."""
    service.api = api = InvocationsApi(view(".."))
    assert "there is no invocation nobody: the id is another" in str(
        service.run("invocation", "show", "nobody").exception
    )
    assert service.run("invocation", "show", "..").exit_code == 0
    assert asked(api)[-1] == "invocations?invocation_id=..&limit=1"


def test_a_watched_invocation_is_shown_until_it_has_ended(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each change; a gateway that is gone for a while is waited for, or a worker that is."""
    monkeypatch.setattr(watching, "_EVERY_S", 0.0)
    stages: list[Callable[[httpx.Request], httpx.Response]] = [
        InvocationsApi(view("i", Status.READY)),
        InvocationsApi(view("i", Status.READY)),
        service.api,
        service.api,
        lambda _: problem(503, "partition 0 is not served"),
        InvocationsApi(view("i", Status.COMPLETED)),
    ]

    def api(request: httpx.Request) -> httpx.Response:
        return stages.pop(0)(request)

    service.api = api
    result = service.run("invocation", "show", "i", "--watch")
    assert result.exit_code == 0
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("status")] == [
        "READY",
        "COMPLETED",
    ]
    assert result.stderr.count("does not answer") == 1
    assert result.stderr.count("partition 0 is not served") == 1


@pytest.mark.parametrize("verb", ["list", "count"])
def test_what_a_watched_table_lacks_is_told_when_it_changes(
    verb: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer rows are not fewer invocations."""
    lacking: list[tuple[int, ...]] = [(), (2,), (2,), (), (2, 3)]

    def sleep(_: float) -> None:
        del lacking[0]
        if not lacking:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)

    def api(request: httpx.Request) -> httpx.Response:
        return InvocationsApi(view("i"), missing=lacking[0])(request)

    service.api = api
    result = service.run("invocation", verb, "--watch")
    assert result.exit_code == 130
    told = [line for line in result.stderr.splitlines() if "gave no answer" in line]
    assert [line.partition(";")[0] for line in told] == [
        "partitions that gave no answer: 2",
        "partitions that gave no answer: 2, 3",
    ]


def test_ctrl_c_ends_a_watched_list(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130."""

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    service.api = InvocationsApi(view("i"), view("j"))
    result = service.run("invocation", "list", "--watch")
    assert (result.exit_code, len(result.stdout.splitlines())) == (130, 3)


def test_ids_of_the_newest_invocations_are_completed() -> None:
    """With their status; none without a gateway."""
    api = InvocationsApi(view("a-1"), view("a-2", Status.KILLED, created_at=5_000), view("b-1"))
    for answer, found in ((api, [("a-2", "KILLED"), ("a-1", "RUNNING")]), (nobody, [])):
        token = HTTP.set(httpx.Client(transport=httpx.MockTransport(answer)))
        try:
            assert invocation_ids("a-") == found
        finally:
            HTTP.reset(token)


COUNTED = [
    *(view(f"a-{number}", Status.RUNNING, service="a", deployment_id="v1") for number in range(3)),
    view("b-1", Status.KILLED, service="b"),
]


def test_invocations_are_counted_by_status(service: Service) -> None:
    """In the order of a life, and all together."""
    service.api = InvocationsApi(*COUNTED)
    lines = service.run("invocation", "count", "--all").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["status", "invocations"],
        ["RUNNING", "3"],
        ["KILLED", "1"],
        ["all", "4"],
    ]


@pytest.mark.parametrize(
    ("by", "field", "rows"),
    [
        ("service", "service", [["a", "3", "3"], ["b", "1", "1"]]),
        ("deployment", "deployment_id", [["v1", "3", "3"], ["-", "1", "1"]]),
    ],
)
def test_invocations_are_counted_by_a_field_too(service: Service, by: str, field: str, rows: list[list[str]]) -> None:
    """The largest first, a column for each status."""
    service.api = api = InvocationsApi(*COUNTED)
    lines = service.run("invocation", "count", "--group-by", by).stdout.splitlines()
    assert [line.split() for line in lines] == [[by, "all", "RUNNING", "KILLED"], *rows, ["all", "4", "3", "1"]]
    assert asked(api) == [f"invocation-counts?group_by={field}"]


def test_counts_fit_a_narrow_terminal() -> None:
    """Statuses that find no room are left out, the sums stay."""
    counts = {str(status): 1_000_000 for status in Status}
    found = {"total": 12_000_000, "counts": counts, "group_by": "service", "groups": [{"value": "a", "counts": counts}]}
    lines = printed_lines(count_table(found, 80), 80)
    assert all(cell_len(line) <= 80 for line in lines)
    assert lines[1].split()[:3] == ["a", "12,000,000", "1,000,000"]
