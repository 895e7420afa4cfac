"""The engine and a model of the protocol lead the same life: neither knows the other."""

from __future__ import annotations

import ast
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from streams.engine.answers import PageSizes
from streams.model import (
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    ContinueFlow,
    ContinueSlice,
    ControlBatch,
    ControlOperation,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    ReportTransition,
    StartBatch,
    Status,
)
from support.effort import examples
from support.reference.beside.machine import Machine, WorkerMachine
from support.reference.beside.twin import RETENTION_MS, Cluster
from support.service.programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from streams.model import Command

SCALE = float(os.environ.get("STREAMS_TEST_SCALE", "0.2"))
STEPS = 10
MODEL = ROOT / "tests" / "support" / "reference"


def test_the_engine_and_the_model_lead_the_same_life() -> None:
    """Commands, batches, controls, ticks, aborted turns, restores: rows, signals, logs and progress never differ."""
    run_state_machine_as_test(Machine, settings=settings(max_examples=examples(24), stateful_step_count=STEPS))


@pytest.mark.parametrize(("before", "action"), [(Action.PAUSE, Action.RESUME), (Action.KILL, Action.RESTART)])
def test_both_start_by_ids_in_the_order_of_an_object(before: Action, action: Action) -> None:
    """Its later invocation has the lower id, and each id a page of its own: random lives seldom meet that."""
    cluster = Cluster(1, PageSizes(1, 1))
    by_ids = Filter(invocation_ids=("mail/k~0", "mail/k~2", "nobody"))
    cluster.send(*(Invoke(Invocation(name, "mail", "send", "k")) for name in ("mail/k~2", "mail/k~0")))
    for number, each in enumerate((before, action)):
        cluster.settle()
        cluster.send(StartBatch(f"b{number}", each, by_ids))
    cluster.settle()
    assert [row.status for row in cluster.pairs[0].model.in_order()] == [Status.READY, Status.PENDING]


def test_a_child_is_not_started_by_the_tick_that_kills_its_parent() -> None:
    """Though its own time came before: it was restarted after its parent's cancel, and its lease ran out meanwhile."""
    cluster = Cluster(1, PageSizes(10, 10))
    parent = Invocation("p", "mail", "send")
    child = Invocation("p~c", "mail", "send", parent_id="p", lease_ms=1_000)
    cluster.send(Invoke(parent), Invoke(child))
    cluster.settle()
    cluster.send(StartBatch("b", Action.CANCEL, Filter(invocation_ids=("p",)), grace_ms=5_000))
    cluster.settle()
    cluster.send(ReportTransition("p~c", 1, to=Status.CANCELLED))
    cluster.settle()
    cluster.send(Act("p~c", Action.RESTART))
    cluster.settle()
    cluster.send(ReportTransition("p~c", 2, to=Status.RUNNING))
    cluster.settle()
    cluster.now += 10_000
    cluster.tick(0)
    cluster.settle()
    statuses = {row.invocation_id: (row.status, row.attempt) for row in cluster.pairs[0].model.in_order()}
    assert statuses == {"p": (Status.KILLED, 1), "p~c": (Status.KILLED, 2)}


def test_what_a_rule_ends_at_the_door_starts_nobody_of_its_object() -> None:
    """The first in line was held, and is let go by the page that is yet to come."""
    cluster = Cluster(1, PageSizes(1, 1))
    labels = {"team": "a"}
    cluster.send(*(Invoke(Invocation(name, "bill", "send")) for name in ("i0", "i1", "i2")))
    cluster.send(*(Invoke(Invocation(name, "mail", "send", "k")) for name in ("mail/k~0", "mail/k~1")))
    cluster.send(StartBatch("rule", Action.CANCEL, Filter(labels=labels), standing_until=cluster.now + 60_000))
    cluster.settle()
    cluster.send(StartBatch("b", Action.KILL, Filter(statuses=(Status.PENDING,))))
    cluster.turn(0)
    cluster.turn(0)
    cluster.send(ReportTransition("mail/k~0", 1, to=Status.COMPLETED), ControlBatch("b", ControlOperation.PAUSE))
    cluster.turn(0)
    cluster.send(Invoke(Invocation("mail/k~2", "mail", "send", "k", labels=labels)))
    cluster.turn(0)
    rows = {row.invocation_id: row for row in cluster.pairs[0].model.in_order()}
    assert (rows["mail/k~1"].held, rows["mail/k~2"].status) == (True, Status.CANCELLED)
    cluster.settle()
    assert rows["mail/k~1"].status is Status.READY


def _with_an_unjoined_child(*commands: Command) -> Cluster:
    """A parent that is READY, then commands, then its child in its own inbox."""
    cluster = Cluster(1, PageSizes(10, 10))
    cluster.send(Invoke(Invocation("mail/k~0", "mail", "send", "k")))
    cluster.settle()
    cluster.send(*commands)
    cluster.turn(0)
    cluster.send(Invoke(Invocation("mail/k~1", "mail", "send", "k", parent_id="mail/k~0")))
    return cluster


def test_the_page_that_kills_a_parent_starts_no_child_that_has_not_joined() -> None:
    """Nor one behind its cut-off, which it does not end itself: it is killed as it joins, and never starts."""
    cluster = _with_an_unjoined_child(StartBatch("b", Action.KILL, Filter(match_all=True)))
    cluster.settle()
    child = cluster.pairs[0].model.rows["mail/k~1"]
    assert (child.status, child.attempt) == (Status.KILLED, 0)


def test_a_child_held_for_a_parent_that_lives_again_is_let_go_as_it_joins() -> None:
    """Not before, as somebody else joins another flow."""
    cluster = Cluster(1, PageSizes(10, 10))
    cluster.send(Invoke(Invocation("i", "mail", "send", flow_id="f")))
    cluster.send(Invoke(Invocation("mail/k~0", "mail", "send", "k")))
    cluster.send(Invoke(Invocation("mail/k~1", "mail", "send", "k", parent_id="mail/k~0")))
    cluster.send(Act("mail/k~0", Action.KILL), Act("mail/k~0", Action.RESTART))
    cluster.turn(0)
    child = cluster.pairs[0].model.rows["mail/k~1"]
    assert child.held
    cluster.settle()
    assert not child.held


def test_a_tick_that_forgets_a_parent_starts_no_child_that_has_not_joined() -> None:
    """What it forgets comes after what is due: the end of the child's predecessor."""
    cluster = Cluster(1, PageSizes(10, 10))
    cluster.send(
        Invoke(Invocation("p", "mail", "send"), cluster.now + 1), Invoke(Invocation("mail/k~0", "mail", "send", "k"))
    )
    cluster.send(Invoke(Invocation("mail/k~1", "mail", "send", "k", parent_id="p")))
    cluster.send(Act("p", Action.CANCEL), Act("mail/k~0", Action.CANCEL, grace_ms=0))
    cluster.now += RETENTION_MS + 1
    cluster.tick(0)
    cluster.turn(0)
    rows = cluster.pairs[0].model.rows
    assert ("p" in rows, rows["mail/k~1"].held) == (False, True)
    cluster.settle()
    assert rows["mail/k~1"].status is Status.READY


@pytest.mark.parametrize("to", [Status.COMPLETED, Status.FAILED])
def test_a_parent_that_ends_by_itself_holds_no_child_that_has_not_joined(to: Status) -> None:
    """Though it was asked to end: what completes hands nothing on."""
    cluster = _with_an_unjoined_child()
    cluster.send(Act("mail/k~0", Action.CANCEL), ReportTransition("mail/k~0", 1, to=to))
    cluster.turn(0)
    assert cluster.pairs[0].model.rows["mail/k~1"].status is Status.READY
    cluster.settle()


@pytest.mark.parametrize("action", [Action.RESTART, Action.KILL, Action.CANCEL])
def test_no_page_follows_of_a_flow_that_the_page_leaves_nobody_to_ask(action: Action) -> None:
    """The page of a batch opens the flow of a parent's children again, or asks them itself, before their own page."""
    cluster = Cluster(1, PageSizes(10, 10))
    cluster.send(Invoke(Invocation("p", "mail", "send")), Invoke(Invocation("c", "mail", "send", parent_id="p")))
    cluster.settle()
    if action is Action.RESTART:
        cluster.send(ReportTransition("p", 1, to=Status.COMPLETED))
    cluster.send(StartBatch("b", action, Filter(invocation_ids=("p",))))
    cluster.turn(0)
    cluster.send(CancelFlow("p", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, children=True))
    cluster.settle()
    written = cluster.written(0)
    assert [type(each) for each in written if isinstance(each, ContinueSlice | ContinueFlow)] == [ContinueSlice]


@pytest.mark.parametrize("first", [CancelPolicy.CANCEL_ALL, CancelPolicy.CANCEL_PENDING])
@pytest.mark.parametrize("second", [CancelPolicy.FLOW_ONLY, CancelPolicy.CANCEL_PENDING])
@pytest.mark.parametrize("third", [CancelPolicy.CANCEL_PENDING, CancelPolicy.CANCEL_ALL])
def test_an_answer_from_before_a_restart_answers_no_later_cancel(
    first: CancelPolicy, second: CancelPolicy, third: CancelPolicy
) -> None:
    """The parent was restarted in between: its children are asked, kept or killed as if they never had been."""
    cluster = Cluster(1, PageSizes(10, 10))
    cluster.send(Invoke(Invocation("p", "mail", "send")), Invoke(Invocation("c", "mail", "send", parent_id="p")))
    cluster.settle()
    cluster.send(CancelFlow("p", FlowAction.CANCEL, first, children=True))
    cluster.turn(0)
    cluster.turn(0)
    cluster.send(ReportTransition("p", 1, to=Status.COMPLETED), Act("p", Action.RESTART))
    cluster.send(CancelFlow("p", FlowAction.KILL, second, children=True))
    cluster.settle()
    cluster.send(CancelFlow("p", FlowAction.KILL, third, children=True))
    cluster.settle()
    ends = third is CancelPolicy.CANCEL_ALL
    assert (cluster.pairs[0].model.rows["c"].status is Status.KILLED) == ends
    cluster.finish([])


def test_a_worker_that_dies_at_any_step_leads_the_life_of_the_model() -> None:
    """With or without its state folder: what it has committed is what the model makes of its command log."""
    run_state_machine_as_test(WorkerMachine, settings=settings(max_examples=examples(8), stateful_step_count=STEPS))


@pytest.mark.chaos
@pytest.mark.parametrize("machine", [Machine, WorkerMachine])
def test_many_long_lives_are_the_same(machine: type[Machine]) -> None:
    """The same, for many and longer lives: 600 at full size, some fifty at the usual one."""
    long = settings(max_examples=max(10, round(600 * SCALE**1.5)), stateful_step_count=3 * STEPS)
    run_state_machine_as_test(machine, settings=long)


@pytest.mark.parametrize("file", sorted(MODEL.glob("*.py")), ids=lambda file: file.stem)
def test_the_model_knows_nothing_of_the_engine(file: Path) -> None:
    """It imports the records, which are the contract, and itself."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            ours = name.split(".")[0] in {"streams", "support"}
            assert not ours or name == "streams.model" or f"{name}.".startswith("support.reference."), (
                f"{file.name}: {name}"
            )
