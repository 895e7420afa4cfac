"""`invocation list`: what it asks of the gateway, and what it shows."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from streams.cli.show.invocations import listed_invocations
from streams.codec.json_form import to_json
from streams.model import Cause, Ending, Status
from support.service.invocations_api import AS_OF, InvocationsApi, asked, printed_lines, view

if TYPE_CHECKING:
    import httpx

    from support.service.stand_in import Service

ID = "019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f"
NOW = 100_000
MANY = [view(f"i-{number}", created_at=1_000 * number) for number in range(1_200)]


def test_the_filter_options_become_query_parameters(service: Service) -> None:
    """In the singular, repeated for more; times as text."""
    service.api = api = InvocationsApi()
    words = ("-s", "a", "-s", "b/c", "--label", "k=v=w", "--label", "t=1", "--label", "t=2", "--status", "failed")
    left_out = ("--not-label", "k=x", "--not-service", "d e", "--not-created-before", "2026-01-01")
    service.run("invocation", "list", *words, "--created-after", "2026-01-31T18:00:00Z", *left_out, "-n", "7")
    parameters = [tuple(pair) for pair in api.asked[0].url.params.multi_items()]
    assert sorted(parameters) == sorted(
        [
            ("service", "a"),
            ("service", "b/c"),
            ("label", "k=v=w"),
            ("label", "t=1"),
            ("label", "t=2"),
            ("status", "FAILED"),
            ("created_from", "2026-01-31T18:00:00.000Z"),
            ("not_label", "k=x"),
            ("not_service", "d e"),
            ("not_created_until", "2026-01-01T00:00:00.000Z"),
            ("limit", "7"),
        ]
    )


def test_the_newest_50_are_listed_and_that_there_are_more_is_told(service: Service) -> None:
    """Without a terminal each is one line, with whole times."""
    service.api = InvocationsApi(*MANY)
    result = service.run("invocation", "list")
    first, *rows = result.stdout.splitlines()
    assert first.split() == ["invocation", "status", "handler", "since", "created", "attempt"]
    assert [row.split()[0] for row in rows] == [f"i-{number}" for number in range(1_199, 1_149, -1)]
    times = ["1970-01-01", "00:00:02Z", "1970-01-01", "00:19:59Z"]
    assert rows[0].split() == ["i-1199", "RUNNING", "mail/send", *times, "1"]
    assert (result.exit_code, result.stderr) == (0, "there are more: --limit N shows N of them, --all every one\n")


@pytest.mark.parametrize(
    ("words", "count", "requests"),
    [
        (["--all"], 1_200, ["limit=500", "limit=500&cursor=500", "limit=500&cursor=1000"]),
        (["--limit", "700"], 700, ["limit=500", "limit=200&cursor=500"]),
        (["--limit", "3", "--cursor", "1198"], 2, ["limit=3&cursor=1198"]),
    ],
)
def test_further_pages_are_asked_for_as_far_as_they_are_wanted(
    service: Service, words: list[str], count: int, requests: list[str]
) -> None:
    """No page is larger than the API allows, none is asked for in vain."""
    service.api = api = InvocationsApi(*MANY)
    result = service.run("invocation", "list", "--ids-only", *words)
    assert len(result.stdout.splitlines()) == count
    assert asked(api) == [f"invocations?{each}" for each in requests]
    assert result.exit_code == 0


def test_json_is_one_object_with_what_is_needed_to_go_on(service: Service) -> None:
    """The items as the API gives them."""
    service.api = InvocationsApi(*MANY)
    shown = json.loads(service.run("invocation", "list", "--json", "-n", "2").stdout)
    assert shown == {
        "invocations": [to_json(MANY[1_199]), to_json(MANY[1_198])],
        "as_of": AS_OF,
        "missing_partitions": [],
        "next_cursor": "2",
    }


def test_ids_only_are_what_a_file_of_ids_takes(service: Service) -> None:
    """An id that a line cannot hold is told, and not written as another one."""
    odd = [view(" a", created_at=3_000), view('"b', created_at=2_000), view("c\u2028d", created_at=1_000)]
    service.api = InvocationsApi(view("a/b~c d", created_at=4_000), *odd)
    result = service.run("invocation", "list", "--ids-only")
    assert result.stdout == "a/b~c d\n"
    assert [line.split(" is left out")[0] for line in result.stderr.splitlines()] == [
        "error: ' a'",
        "error: '\"b'",
        "error: 'c\\u2028d'",
    ]


def test_a_long_list_of_ids_is_written_page_by_page_and_kept_nowhere(service: Service) -> None:
    """At the last page the program has as many blocks of memory as at the second; an item would be dozens."""
    held: list[int] = []

    class Weighed(InvocationsApi):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            held.append(sys.getallocatedblocks())
            return super().__call__(request)

    service.api = Weighed(*(view(f"i-{number}", created_at=number) for number in range(5_000)))
    result = service.run("invocation", "list", "--all", "--ids-only")
    assert len(result.stdout.splitlines()) == 5_000
    assert len(held) == 10
    assert held[-1] - held[1] < 10_000


def test_many_ids_are_asked_for_in_several_requests(service: Service) -> None:
    """A query has a bound, as it is sent and not as it is typed; nothing is asked for twice."""
    ids = [f"{number:04}-{'x' * 30}{'/' * 30}" for number in range(200)]
    service.api = api = InvocationsApi(*(view(each, created_at=n) for n, each in enumerate(ids)))
    result = service.run("invocation", "list", "--ids-only", *(word for each in ids for word in ("--id", each)))
    assert sorted(result.stdout.split()) == ids
    assert all(len(each) < 8_000 for each in asked(api))
    counted = json.loads(
        service.run("invocation", "count", "--json", *(word for each in ids for word in ("--id", each))).stdout
    )
    assert (counted["total"], counted["counts"], counted["exact"]) == (200, {"RUNNING": 200}, True)


def test_a_partition_without_an_answer_is_told_and_is_exit_code_3(service: Service) -> None:
    """A list to the end does not ask for it for ever."""
    service.api = api = InvocationsApi(*MANY[:3], missing=(1, 4))
    result = service.run("invocation", "list", "--all")
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 4
    assert "partitions that gave no answer: 1, 4; what they hold is not listed" in result.stderr
    assert len(api.asked) <= 3
    result = service.run("invocation", "count")
    assert (result.exit_code, "what they hold is not counted" in result.stderr) == (3, True)


def test_a_partition_that_answers_again_has_not_answered_before(service: Service) -> None:
    """Of many ids, asked for in several requests: what the first ones lack is told at the end."""
    ids = [f"{number:05}-{'x' * 40}" for number in range(300)]
    answered = 0

    def api(request: httpx.Request) -> httpx.Response:
        nonlocal answered
        answered += 1
        return InvocationsApi(*map(view, ids), missing=(2,) if answered <= 2 else ())(request)

    service.api = api
    result = service.run("invocation", "list", "--json", *(word for each in ids for word in ("--id", each)))
    assert answered > 2
    assert (result.exit_code, json.loads(result.stdout)["missing_partitions"]) == (3, [2])
    assert "partitions that gave no answer: 2; what they hold is not listed" in result.stderr


def test_nothing_found_is_told_in_words(service: Service) -> None:
    """Exit code 0, nothing on stdout."""
    service.api = InvocationsApi()
    result = service.run("invocation", "list", "-s", "emials")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no invocations\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--json", "--ids-only"], "--ids-only: --json is given, too: leave one of them out"),
        (["--watch", "--json"], "--json: --watch is given, too"),
        (["--watch", "--cursor", "x"], "--cursor: --watch is given, too"),
        (["--all", "--limit", "5"], "--limit: --all is given, too"),
        (["--cursor", "x", "--id", "i"], "--id or --ids-file: --cursor is given, too"),
        (["emails"], "write -s emails for a service"),
        (["--status", "done"], "'done' is not a status"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_options_that_exclude_each_other_are_refused(service: Service, words: list[str], said: str) -> None:
    """Exit code 2, and nothing is asked."""
    service.api = api = InvocationsApi()
    result = service.run("invocation", "list", *words)
    assert (result.exit_code, api.asked) == (2, [])
    assert said in " ".join(result.stderr.replace("│", " ").split())


ROWS = [
    to_json(each)
    for each in (
        view(ID, Status.BACKING_OFF, service="billing-of-the-north", handler="charge-and-send-a-receipt"),
        view(
            f"accounts/{'key' * 30}~{ID}",
            Status.KILLED,
            flow_id="order-4711",
            labels={"tenant": "acme", "plan": "gold"},
            ending=Ending(Cause(batch_id="b-1", actor="ada@host", reason="bad\ndeploy")),
        ),
    )
]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_list_fits_the_terminal(width: int) -> None:
    """No id is cut; where there is room there is more to see."""
    lines = printed_lines(listed_invocations(ROWS, width, NOW), width)
    assert all(cell_len(line) <= width for line in lines)
    assert lines[1].split()[1] == "BACKING_OFF"
    assert width < 80 or lines[1].split()[0] == ID
    assert "key" * 30 in "".join(line.partition(" ")[0] for line in lines)
    assert [name in lines[0] for name in ("created", "ended by", "labels")] == [width > 80, width > 110, width > 120]
    if width == 200:
        assert "ada@host: bad deploy  order-4711  tenant=acme plan=gold" in " ".join(lines)
