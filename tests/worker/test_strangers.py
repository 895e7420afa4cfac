"""Whatever may be written to the command log, by anybody: nothing of it stops a worker, holds it up or stays in it."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import pytest

from streams import codec
from streams.config import Topic
from streams.model import (
    ENGINE_VERSION,
    Action,
    ActMembers,
    CancelPolicy,
    Cause,
    ContinueFlow,
    ContinueSlice,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    OnTimeout,
    ReleaseHeld,
    StartSlice,
    Tick,
)
from streams.protocol.routing import partition_of, routing_key
from streams.worker.clock_ahead import CLOCK_AHEAD
from support.records.strangers import Strangers
from support.service.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from pathlib import Path

    from streams.model import Record

pytestmark = pytest.mark.long

RECORDS = 2_000
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.chaos) for seed in range(1, 4))]
_LEGIBLE = {"valid invoke", "valid report or act", "valid batch", "valid cancel of a flow"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_goes_on_whatever_strangers_write(tmp_path: Path, seed: int) -> None:
    """Every record is applied or a dead letter, once; what comes behind them is applied; the log can be replayed."""
    with closing(World(tmp_path)) as world:
        commands = world.settings.topic(Topic.COMMANDS)
        kinds = {}
        for number, record in enumerate(Strangers(seed, PARTITIONS).records(RECORDS, large=500)):
            place = commands, record.partition
            written = world.cluster.append(place, record.key, record.value, record.headers)  # type: ignore[arg-type]
            kinds[record.partition, written.offset] = record.kind
            if number % 100 == 0:
                world._alive().step()
                world.pass_time(50)
        world.run_until_idle()
        last = {f"last-{number}" for number in range(20)}
        world.invoke(*(Invoke(Invocation(each, "last", "run")) for each in last))
        world.run_until_idle()
        assert last <= world.statuses().keys()
        letters = world.cluster.records(world.settings.topic(Topic.DEAD_LETTERS))
        places = Counter(_place(dict(letter.headers or ())) for letter in letters)
        assert max(places.values()) == 1
        assert all(kind != "foreign" or place in places for place, kind in kinds.items())
        codes = {_place(headers): headers["error-code"] for headers in (dict(each.headers or ()) for each in letters)}
        refused = {codes[place].decode() for place, kind in kinds.items() if kind in _LEGIBLE and place in codes}
        assert refused <= {"conflicting_invoke", "batch_id_conflict", "unknown_batch"}, refused
        world.assert_log_and_changelog_agree()
        world.close()
        rmtree(world.settings.state_dir)
        world.run_until_idle()
        assert last <= world.statuses().keys(), "the table cannot be restored"
        world.assert_log_and_changelog_agree()


def test_dead_letters_of_strangers_are_left_out(tmp_path: Path) -> None:
    """They name no place, or one that is none: a worker that takes over and a replay go on."""
    with closing(World(tmp_path)) as world:
        world.invoke(Invoke(Invocation("a", "s", "h")))
        world.run_until_idle()
        source = ("source-topic", world.settings.topic(Topic.COMMANDS).encode())
        for more in ([], [("source-partition", b"x")], [("source-partition", b"0"), ("source-offset", b"")]):
            for code in (b"malformed", CLOCK_AHEAD.encode()):
                headers = [source, ("error-code", code), *more]
                world.cluster.append((world.settings.topic(Topic.DEAD_LETTERS), 0), b"k", b"v", headers)
        world.close()
        rmtree(world.settings.state_dir)
        world.run_until_idle()
        assert world.statuses() == {"a": "READY"}
        world.assert_log_and_changelog_agree()


def _place(headers: dict[str, bytes]) -> tuple[int, int]:
    return int(headers["source-partition"]), int(headers["source-offset"])


def _act_members(seqs: range, partition: int = 0, max_rows: int = 100) -> ActMembers:
    """An order to act on members, as a worker might write it."""
    policy = FlowAction.KILL, CancelPolicy.CANCEL_ALL
    return ActMembers(ENGINE_VERSION, partition, "f", False, *policy, 0, OnTimeout.KILL, Cause(), tuple(seqs), max_rows)


@pytest.mark.parametrize(
    "page",
    [
        ContinueSlice(ENGINE_VERSION, 0, "b", 7, 100, 100),
        ReleaseHeld(ENGINE_VERSION, 0, 7, -1, 100),
        Tick(ENGINE_VERSION, 0, 7, 0, 0, 0, 1, 100),
        Tick(ENGINE_VERSION, 0, 1, 0, 0, 0, 1, 0),
        ContinueFlow(ENGINE_VERSION, 0, "f", False, 7, 100, 100),
        _act_members(range(10**9, 10**9 + 100)),
        _act_members(range(100), partition=1),
        _act_members(range(100), max_rows=0),
        _act_members(range(100)),
    ],
    ids=[
        "page of a slice",
        "release",
        "tick",
        "awaited tick without a size",
        "page of a flow",
        "members that are none yet",
        "members elsewhere",
        "members without a size",
        "members of nobody",
    ],
)
def test_pages_that_cannot_act_hold_nothing_up(tmp_path: Path, page: Record) -> None:
    """A log full of them is passed in as many turns as one of other records."""
    with closing(World(tmp_path, max_turn_records=200)) as world:
        world.run_until_idle()
        for _ in range(2_000):
            world.log(codec.encode(page), "k", 0)
        invocations = [Invoke(Invocation(f"i-{number}", "s", "h")) for number in range(20)]
        world.invoke(*invocations)
        for _ in range(15):
            world._alive().step()
        assert len(world.statuses()) == len(invocations)


def _slice(batch_id: str, **fields: Any) -> StartSlice:
    usual: dict[str, Any] = {"action": Action.KILL, "filter": Filter(match_all=True), "budget": None, "lead": 0}
    return StartSlice(
        ENGINE_VERSION,
        0,
        batch_id,
        dry_run=False,
        grace_ms=0,
        on_timeout=OnTimeout.KILL,
        cause=Cause(),
        **(usual | fields),
    )


def test_a_forged_slice_acts_and_ends_nothing_but_what_it_names(tmp_path: Path) -> None:
    """Who may write to the log is trusted with that; the partition goes on."""
    with closing(World(tmp_path)) as world:
        mine = [each for each in map(str, range(40)) if partition_of(routing_key(each), PARTITIONS) == 0]
        world.invoke(*(Invoke(Invocation(each, "s", "h")) for each in mine))
        world.run_until_idle()
        world.log(codec.encode(_slice("x")), "k", 0)
        world.run_until_idle()
        assert set(world.statuses().values()) == {"KILLED"}
        world.assert_log_and_changelog_agree()
