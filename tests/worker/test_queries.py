"""What a worker answers about its partitions, to whom, and where it says that it can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from streams.config import Topic
from streams.errors import StreamsError
from streams.health import Endpoint, serving
from streams.listing.query import (
    MAX_QUERY_BYTES,
    CountAnswer,
    CountRequest,
    GroupBy,
    ListAnswer,
    ListRequest,
    OneAnswer,
    OneRequest,
    encode_query,
)
from streams.listing.signing import QuerySecret, answer_signature, signed
from streams.listing.views import InvocationView
from streams.model import ENGINE_VERSION, Act, Action, Cause, Filter, Invocation, Invoke, StartBatch, Status
from streams.worker.observer import WorkerObserver
from streams.worker.queries import Queries, url_of
from support.service.queries_asked import Asked, ask
from support.service.scrape import get
from support.service.worker_world import PARTITIONS, World, invocations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALL = Filter(match_all=True)
EVERYWHERE: dict[int, int | None] = dict.fromkeys(range(PARTITIONS))
BOTH = tuple(range(PARTITIONS))


class Hand:
    """A clock that is moved by hand, seconds."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def asking(world: World, clock: Hand | None = None, **settings: Any) -> Queries:
    """The queries of the world's next worker."""
    world.settings = world.settings.model_copy(update=settings)
    queries = world.queries = Queries(world.settings, world.wall_clock, lambda partition: partition, clock or Hand())
    queries.served_at(Endpoint("127.0.0.1", 8081))
    return queries


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service with twenty invocations; its worker answers queries."""
    made = World(tmp_path)
    asking(made)
    made.invoke(*invocations(range(20)))
    made.run_until_idle()
    yield made
    made.close()


@pytest.fixture
def queries(world: World) -> Queries:
    """Its worker's queries."""
    assert world.queries is not None
    return world.queries


def test_a_list_has_the_rows_of_all_partitions_newest_first(queries: Queries) -> None:
    """Pages go on where each partition stands, to the end."""
    places, found = dict(EVERYWHERE), list[InvocationView]()
    while places:
        answer = ask(queries, ListAnswer, ListRequest(ALL, 3, places))
        assert len(answer.items) <= 3
        found += answer.items
        assert answer.reached.keys() == places.keys()
        places = {partition: place.seq for partition, place in answer.reached.items() if not place.done}
    keys = [(view.created_at, view.partition, view.seq) for view in found]
    assert keys == sorted(keys, reverse=True)
    assert {view.invocation_id for view in found} == {f"i-{number}" for number in range(20)}


def test_what_a_page_has_done_is_seen(world: World, queries: Queries) -> None:
    """Ended by a batch, and being cancelled by hand: by whom, why, since when."""
    world.send(StartBatch("b", Action.KILL, Filter(invocation_ids=("i-3", "i-4")), reason="bug", actor="eve"), key="b")
    world.run_until_idle()
    world.send(Act("i-5", Action.CANCEL, cause=Cause(actor="bob", reason="no")), key="i-5")
    world.run_until_idle()
    killed = ask(queries, ListAnswer, ListRequest(Filter(batch_ids=("b",)), 9, EVERYWHERE)).items
    assert {view.invocation_id for view in killed} == {"i-3", "i-4"}
    assert {(view.status, view.batch_id) for view in killed} == {(Status.KILLED, "b")}
    assert {(view.ending.cause.actor, view.ending.cause.reason) for view in killed if view.ending} == {("eve", "bug")}
    asked = ask(queries, ListAnswer, ListRequest(Filter(statuses=(Status.CANCELLING,)), 9, EVERYWHERE))
    (view,) = asked.items
    assert view.ending is not None
    assert (view.invocation_id, view.ending.cause) == ("i-5", Cause(actor="bob", reason="no"))
    assert 0 <= asked.as_of - view.modified_at < 1_000


def test_one_invocation_has_its_payload_only_where_it_is_wanted(world: World, queries: Queries) -> None:
    """It is found on its own partition; one that nobody has invoked is not there."""
    world.invoke(Invoke(Invocation("mine", "orders", "run"), payload=b"secret"))
    world.run_until_idle()
    answers = [ask(queries, OneAnswer, OneRequest("mine", partition)) for partition in range(PARTITIONS)]
    (view,) = [answer.view for answer in answers if answer.view]
    assert view.payload is None
    found = ask(queries, OneAnswer, OneRequest("mine", view.partition, payload=True))
    assert found.view is not None
    assert found.view.payload == b"secret"
    nobody = ask(queries, OneAnswer, OneRequest("nobody", 0))
    assert (nobody.owned, nobody.view) == (True, None)


def test_counts_are_by_status_and_by_a_value(world: World, queries: Queries) -> None:
    """With the partition's clock and lag."""
    world.invoke(*invocations(range(5), "j", "mail"))
    world.run_until_idle()
    answer = ask(queries, CountAnswer, CountRequest(ALL, BOTH, GroupBy.SERVICE))
    groups = [(group.value, group.counts) for each in answer.partitions.values() for group in each.groups]
    assert sum(counts[Status.READY] for value, counts in groups if value == "orders") == 20
    assert sum(counts[Status.READY] for value, counts in groups if value == "mail") == 5
    plain = ask(queries, CountAnswer, CountRequest(ALL, BOTH)).partitions
    assert sum(group.counts[Status.READY] for each in plain.values() for group in each.groups) == 25
    assert {number: each.lag for number, each in plain.items()} == {0: 0, 1: 1}
    assert all(0 <= world.cluster.now - each.clock < 1_000 for each in plain.values())


def test_a_partition_that_is_not_the_workers_is_left_out(world: World, queries: Queries) -> None:
    """One that it never had, and one that was taken away, given up or is claimed again."""
    assert ask(queries, CountAnswer, CountRequest(ALL, (0, 7))).partitions.keys() == {0}
    assert not ask(queries, OneAnswer, OneRequest("i-1", 7)).owned
    assert world.worker is not None
    world.worker.tasks[0].claim()
    assert ask(queries, ListAnswer, ListRequest(ALL, 3, EVERYWHERE)).reached.keys() == {1}
    world.run_until_idle()
    assert ask(queries, ListAnswer, ListRequest(ALL, 3, EVERYWHERE)).reached.keys() == {0, 1}
    world.close()
    assert not ask(queries, ListAnswer, ListRequest(ALL, 3, EVERYWHERE)).reached


def test_a_loop_that_stands_still_answers_for_the_time_of_its_last_round(tmp_path: Path) -> None:
    """And no longer than its partitions are certain to be its own."""
    clock, world = Hand(), World(tmp_path)
    queries = asking(world, clock)
    world.invoke(*invocations(range(2)))
    world.run_until_idle()
    clock.now += 5
    world.cluster.now += 5_000
    answer = ask(queries, ListAnswer, ListRequest(ALL, 3, EVERYWHERE))
    assert (answer.as_of, len(answer.items)) == (world.cluster.now - 5_000, 2)
    clock.now += 6
    assert not ask(queries, ListAnswer, ListRequest(ALL, 3, EVERYWHERE)).reached
    world.close()


def test_an_address_is_published_once_per_takeover_and_overwritten_by_the_next(tmp_path: Path) -> None:
    """Idle partitions too; the revision rises, whoever takes over."""
    world = World(tmp_path)
    asking(world, worker_url="http://one:1")
    world.run_until_idle()
    first = {address.partition: address for address in world.published(Topic.WORKERS)}
    assert world.published_count(Topic.WORKERS) == PARTITIONS
    assert {(each.url, each.worker_id, each.engine_version) for each in first.values()} == {
        ("http://one:1", "w", ENGINE_VERSION)
    }
    world.close()
    asking(world, worker_url="http://two:2", state_dir=tmp_path / "other")
    world.run_until_idle()
    second = {address.partition: address for address in world.published(Topic.WORKERS)[PARTITIONS:]}
    assert {each.url for each in second.values()} == {"http://two:2"}
    assert all(second[number].revision > first[number].revision for number in range(PARTITIONS))
    assert all(second[number].since > first[number].since for number in range(PARTITIONS))
    records = world.cluster.records(world.settings.topic(Topic.WORKERS))
    assert {record.key for record in records} == {b"0", b"1"}
    world.assert_log_and_changelog_agree()
    world.close()


def test_a_worker_that_serves_nothing_takes_the_address_before_it_away(tmp_path: Path) -> None:
    """Once per takeover: gateways would ask whoever is there now, and go by the engine of a worker that is gone."""
    world = World(tmp_path)
    for queries in (asking(world), None):
        world.queries = queries
        world.run_until_idle()
        world.close()
    records = world.cluster.records(world.settings.topic(Topic.WORKERS))
    assert {record.key: record.value for record in records} == {b"0": None, b"1": None}
    assert len(records) == 2 * PARTITIONS
    world.assert_log_and_changelog_agree()


@pytest.mark.parametrize(
    ("host", "url"), [("10.0.0.7", "http://10.0.0.7:81"), ("::1", "http://[::1]:81"), ("::", "http://me:81")]
)
def test_the_url_is_the_servers_or_the_machines(host: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on all interfaces is reached by the machine's name."""
    monkeypatch.setattr("socket.gethostname", lambda: "me")
    assert url_of(Endpoint(host, 81)) == url


LIST = encode_query(ListRequest(ALL, 3, EVERYWHERE))


@pytest.mark.parametrize(
    ("status", "said", "body", "changes"),
    [
        (404, "/queries/one", LIST, {"PATH_INFO": "/queries/all"}),
        (405, "POST", LIST, {"REQUEST_METHOD": "GET"}),
        (411, "Content-Length", LIST, {"CONTENT_LENGTH": None}),
        (411, "Content-Length", LIST, {"CONTENT_LENGTH": "-1"}),
        (413, "at most", LIST, {"CONTENT_LENGTH": str(MAX_QUERY_BYTES + 1)}),
        (413, "at most", LIST, {"CONTENT_LENGTH": "9" * 5_000}),
        (415, "application/json", LIST, {"CONTENT_TYPE": "text/plain"}),
        (403, "only this machine", LIST, {"REMOTE_ADDR": "10.0.0.7"}),
        (403, "only this machine", LIST, {"REMOTE_ADDR": "::ffff:10.0.0.7"}),
        (403, "only this machine", LIST, {"HTTP_HOST": "evil.example:8081"}),
        (200, "items", LIST, {"REMOTE_ADDR": "::1", "HTTP_HOST": "localhost"}),
        (200, "items", LIST, {"REMOTE_ADDR": "::ffff:127.0.0.1", "HTTP_HOST": "[::1]:8081"}),
        (400, "did you mean services", b'{"filter": {"servces": ["a"]}, "limit": 1, "places": {}}', {}),
        (400, "filter.services is empty", b'{"filter": {"services": []}, "limit": 1, "places": {}}', {}),
        (400, "match_all", b'{"filter": {}, "limit": 1, "places": {}}', {}),
        (400, "limit is 501", b'{"filter": {"match_all": true}, "limit": 501, "places": {}}', {}),
        (400, "truncated", b"{", {}),
    ],
)
def test_what_is_no_query_of_this_machine_is_refused(
    queries: Queries, status: int, said: str, body: bytes, changes: dict[str, str | None]
) -> None:
    """By name, before anything is read."""
    asked = Asked(queries, "/queries/list", body, **changes)
    assert asked.status == status
    assert said in asked.body.decode()


KEY = b"0123456789abcdef" * 2


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[World]:
    """A service whose worker has a secret."""
    file = tmp_path / "secret"
    file.write_bytes(KEY + b"\n")
    file.chmod(0o600)
    made = World(tmp_path)
    asking(made, worker_query_secret_file=file)
    made.run_until_idle()
    yield made
    made.close()


def environ(world: World, key: bytes = KEY, body: bytes = LIST, age_ms: int = 0) -> dict[str, str | None]:
    """What makes a request one of another machine, signed with the key."""
    headers = signed(key, "POST", "/queries/list", "", body, world.cluster.now - age_ms)
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return {**named, "REMOTE_ADDR": "10.0.0.7", "HTTP_HOST": "w"}


def asked_with(world: World, named: dict[str, str | None], body: bytes = LIST) -> Asked:
    """The answer to such a request."""
    assert world.queries is not None
    return Asked(world.queries, "/queries/list", body, **named)


def test_a_signed_request_is_answered_once_wherever_it_comes_from(guarded: World) -> None:
    """The answer is signed for that request; the same request again is refused."""
    named = environ(guarded)
    good = asked_with(guarded, named)
    nonce = named["HTTP_STREAMS_NONCE"] or ""
    assert (good.status, good.signature) == (200, answer_signature(KEY, nonce, 200, good.body))
    again = asked_with(guarded, named)
    assert (again.status, b"seen before" in again.body, again.signature) == (401, True, None)
    guarded.pass_time(61_000)
    assert asked_with(guarded, environ(guarded)).status == 200
    assert (late := asked_with(guarded, named)).status == 401
    assert b"older than 30 s" in late.body


def test_a_request_that_is_old_altered_or_signed_by_others_is_refused(guarded: World) -> None:
    """From this machine, too: with a secret, nobody is answered without it."""
    assert asked_with(guarded, environ(guarded, age_ms=30_000)).status == 200
    assert asked_with(guarded, environ(guarded, age_ms=30_001)).status == 401
    assert asked_with(guarded, environ(guarded, age_ms=-30_001)).status == 401
    assert asked_with(guarded, environ(guarded, b"x" * 32)).status == 401
    assert asked_with(guarded, environ(guarded), LIST.replace(b"3", b"4", 1)).status == 401
    for altered in ("QUERY_STRING", "HTTP_STREAMS_SIGNATURE", "HTTP_STREAMS_NONCE", "HTTP_STREAMS_TIME"):
        for value in ("ü", "", "1"):
            if (altered, value) != ("QUERY_STRING", ""):
                assert asked_with(guarded, {**environ(guarded), altered: value}).status == 401
    assert asked_with(guarded, {}).status == 401


def test_a_refusal_of_a_signed_request_is_signed(guarded: World) -> None:
    """A gateway believes a worker's "bad request" only if it is the worker's."""
    named = environ(guarded, body=b"{")
    asked = asked_with(guarded, named, b"{")
    nonce = named["HTTP_STREAMS_NONCE"] or ""
    assert (asked.status, asked.signature) == (400, answer_signature(KEY, nonce, 400, asked.body))


def test_the_secret_is_read_again_when_its_file_changes(guarded: World) -> None:
    """One that cannot be used leaves the last good one in place."""
    file = guarded.settings.worker_query_secret_file
    assert file is not None
    file.write_bytes(b"another secret of 32 characters.")
    assert asked_with(guarded, environ(guarded)).status == 401
    assert asked_with(guarded, environ(guarded, b"another secret of 32 characters.")).status == 200
    with capture_logs() as lines:
        file.write_bytes(b"short")
        assert asked_with(guarded, environ(guarded, b"another secret of 32 characters.")).status == 200
        assert asked_with(guarded, environ(guarded, b"short")).status == 401
    assert [line["event"] for line in lines] == ["the secret of queries stays as it was"]


def test_a_secret_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    """And one that is missing or too short stops the worker by name."""
    file = tmp_path / "secret"
    file.write_bytes(KEY)
    file.chmod(0o644)
    with capture_logs() as lines:
        QuerySecret(file)
    assert [line["event"] for line in lines] == ["others may read the secret of queries: chmod 600"]
    file.chmod(0o640)
    with capture_logs() as lines:
        QuerySecret(file)
    assert lines == []
    file.write_bytes(b"short")
    with pytest.raises(StreamsError, match=r"STREAMS_WORKER_QUERY_SECRET_FILE=\S+ holds 5 bytes, at least 16"):
        QuerySecret(file)
    with pytest.raises(StreamsError, match=r"STREAMS_WORKER_QUERY_SECRET_FILE=\S+ cannot be read: No such file"):
        QuerySecret(tmp_path / "nothing")


def test_queries_are_served_beside_health_which_needs_no_secret(guarded: World) -> None:
    """The same server."""
    assert guarded.queries is not None
    observer = WorkerObserver(guarded.wall_clock)
    with serving("127.0.0.1:0", "STREAMS_WORKER_HTTP", observer, {"/queries/": guarded.queries.app}) as place:
        assert place is not None
        assert get(f"{url_of(place)}/health/live")[0] == 200
        assert get(f"{url_of(place)}/queries/list") == (405, "queries are asked with POST\n")
