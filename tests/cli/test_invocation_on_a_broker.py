"""`streams invocation` by a real gateway, which asks a real worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from streams.client import new_invocation_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.command_line import CommandLine


@pytest.fixture
def answering(live: CommandLine) -> CommandLine:
    """A service whose gateway knows the workers of all partitions."""
    deadline = time.monotonic() + 60
    while live.run("invocation", "count")[0] != 0:
        assert time.monotonic() < deadline
    return live


@pytest.fixture
def rows(answering: CommandLine, load: Callable[[str, int], list[str]]) -> Callable[[str, int], list[str]]:
    """As `load`, and the tables have their rows: a list may be asked for as soon as it returns."""

    def rows(service: str, count: int) -> list[str]:
        ids = load(service, count)
        deadline = time.monotonic() + 60
        while answering.json("invocation", "count", "-s", service)["total"] < count:
            assert time.monotonic() < deadline
        return ids

    return rows


def test_invocations_are_listed_counted_and_ended_by_their_ids(
    answering: CommandLine, rows: Callable[[str, int], list[str]]
) -> None:
    """What is listed is what is killed, and then listed as such; the newest comes first."""
    service = f"listed-{uuid4().hex[:8]}"
    ids = rows(service, 20)
    code, stdout, stderr = answering.run("invocation", "list", "-s", service, "--ids-only")
    assert (code, sorted(stdout.split()), stderr) == (0, sorted(ids), "")
    five = "".join(f"{each}\n" for each in stdout.split()[:5])
    words = ("kill", "--ids-file", "-", "--yes", "--reason", "why", "--actor", "ada", "--batch-id", f"b-{service}")
    assert answering.json(*words, stdin=five)["done"] == 5
    counted = answering.json("invocation", "count", "-s", service, "--group-by", "service")
    assert (counted["total"], counted["groups"][0]["counts"]) == (20, {"KILLED": 5, "READY": 15})
    killed = answering.json("invocation", "list", "--batch", f"b-{service}")["invocations"]
    assert sorted(each["invocation_id"] for each in killed) == sorted(five.split())
    shown = answering.json("invocation", "show", five.split()[0], "--payload")
    assert (shown["status"], shown["ending"]["cause"]["actor"], shown["batch_id"]) == ("KILLED", "ada", f"b-{service}")
    code, stdout, _ = answering.run("invocation", "show", five.split()[0])
    assert code == 0
    assert [line.split() for line in stdout.splitlines() if line.startswith(("killed by", "reason"))] == [
        ["killed", "by", "ada"],
        ["reason", "why"],
    ]


def test_pages_of_a_list_go_on_where_it_ended(answering: CommandLine, rows: Callable[[str, int], list[str]]) -> None:
    """By the cursor of the JSON form; every id comes once."""
    service = f"paged-{uuid4().hex[:8]}"
    ids = rows(service, 7)
    found: list[str] = []
    more: list[str] = []
    for _ in range(10):
        page = answering.json("invocation", "list", "-s", service, "-n", "3", *more)
        found += [each["invocation_id"] for each in page["invocations"]]
        if "next_cursor" not in page:
            break
        more = ["--cursor", page["next_cursor"]]
    assert sorted(found) == sorted(ids)
    code, _, stderr = answering.run("invocation", "list", "-s", "other", *more, COLUMNS="200")
    assert (code, "cursor" in stderr) == (2, True)


def test_what_an_invocation_waits_for_is_shown(answering: CommandLine) -> None:
    """The one that has its object. An id that nobody has is an error."""
    key = f"key-{uuid4().hex[:8]}"
    first, second = (
        answering.json("invoke", "accounts", "book", "x/y", "--object-key", key)["invocation_id"] for _ in range(2)
    )
    assert answering.json("invocation", "show", second)["held_by"] == {"invocation_id": first}
    assert f"invocation {first}, which" in answering.run("invocation", "show", second)[1]
    code, _, stderr = answering.run("invocation", "show", new_invocation_id())
    assert code == 1
    assert "error: there is no invocation" in stderr


def test_a_cancel_ends_with_how_they_ended(answering: CommandLine, load: Callable[[str, int], list[str]]) -> None:
    """Without an executor all are killed after their grace."""
    service = f"slow-{uuid4().hex[:8]}"
    load(service, 4)
    done = answering.json("cancel", "-s", service, "--grace", "300ms", "--yes")
    assert (done["done"], done["ended_as"]) == (4, {"KILLED": 4})


def test_a_gateway_that_is_not_there_is_one_clear_line(answering: CommandLine) -> None:
    """Exit code 1, nothing on stdout."""
    code, stdout, stderr = answering.run("invocation", "list", STREAMS_GATEWAY_URL="http://127.0.0.1:1")
    assert (code, stdout, len(stderr.splitlines())) == (1, "", 1)
    assert stderr.startswith("error: the gateway at http://127.0.0.1:1 does not answer (")
    assert "STREAMS_GATEWAY_URL names another" in stderr
