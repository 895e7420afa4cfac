"""Handlers that invoke: children, their ids, and the reports that wait for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from streams import codec
from streams.client import Context, DeliveryError, InvalidCommandError
from streams.client.executor.runner import Runner
from streams.config import Topic
from streams.model import Invocation, Invoke, Status
from support.service.executor_world import ExecutorWorld

if TYPE_CHECKING:
    from collections.abc import Callable

RUNNING, COMPLETED = Status.RUNNING, Status.COMPLETED
PATIENCE_S = 20.0


def invoked(world: ExecutorWorld) -> list[Invoke]:
    """The invocations in the log."""
    found = [codec.decode(each.value) for each in world.cluster.records(world.settings.topic(Topic.COMMANDS))]
    return [each for each in found if isinstance(each, Invoke)]


def context(world: ExecutorWorld, name: str = "a", seq: int = 1, **more: Any) -> Context:
    """The context of an attempt that runs."""
    world.start(name, seq, **more)
    world.step()
    found: Context = world.runner.find(name).context
    return found


def test_a_child_has_its_parent_and_its_flow() -> None:
    """Unless told otherwise; everything else is as for a client."""
    world = ExecutorWorld()
    own = context(world, flow_id="f")
    made = own.invoke("mail", "send", b"x", scheduled_at=7, labels={"k": "v"})
    other = own.invoke("mail", "send", invocation_id="other", flow_id="g")
    alone = own.invoke("mail", "send", parent_id=None, flow_id=None)
    found = {each.invocation.invocation_id: each for each in invoked(world)}
    assert found[made].invocation == Invocation(made, "mail", "send", None, None, "f", "a", labels={"k": "v"})
    assert (found[made].payload, found[made].scheduled_at) == (b"x", 7)
    assert found["other"].invocation == Invocation("other", "mail", "send", flow_id="g", parent_id="a")
    assert other == "other"
    assert found[alone].invocation == Invocation(alone, "mail", "send")


def test_a_child_with_a_name_is_the_same_in_each_attempt() -> None:
    """Another name, another life of the parent and another parent have others; an object's child is of the object."""
    world = ExecutorWorld()
    first = context(world)
    world.start("a", 1, attempt=2)
    world.step()
    second = next(run.context for run in world.runner.active if run.context.attempt == 2)
    assert first.invoke("mail", "send", name="x") == second.invoke("mail", "send", name="x")
    world.start("a", 2)
    world.step()
    again = next(run.context for run in world.runner.active if run.context.seq == 2)
    ids = [first.invoke("mail", "send", name=each) for each in ("x", "y")]
    ids += [again.invoke("mail", "send", name="x"), context(world, "b", partition=1).invoke("mail", "send", name="x")]
    ids += [first.invoke("mail", "send"), first.invoke("mail", "send")]
    assert len(set(ids)) == len(ids)
    keyed = first.invoke("cart", "add", name="x", object_key="42")
    assert keyed == first.invoke("cart", "add", name="x", object_key="42")
    assert keyed.startswith("cart/42~")


def test_a_child_that_breaks_a_rule_is_not_sent() -> None:
    """The handler is told at once, and its end is reported as ever."""
    world = ExecutorWorld()
    own = context(world)
    with pytest.raises(InvalidCommandError, match=r"Invoke.service is empty"):
        own.invoke("", "send")
    with pytest.raises(TypeError, match="leave one of them out"):
        own.invoke("mail", "send", name="x", invocation_id="y")
    world.runner.end(world.runner.find("a"))
    world.step()
    assert (invoked(world), world.said("a"), world.committed()) == ([], [RUNNING, COMPLETED], 1)


def test_the_end_of_an_attempt_waits_for_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the two would lose them; the next attempt's and another invocation's do not hold it up."""
    world = ExecutorWorld()
    own, other = context(world), context(world, "b", 2)
    for _ in range(2):
        own.invoke("mail", "send")
    assert world.executor is not None
    with monkeypatch.context() as patched:
        patched.setattr(world.executor._reporter._outlet, "serve", lambda *_: 0)
        for name in ("a", "b"):
            world.runner.end(world.runner.find(name))
        world.step()
        assert (world.said("a"), world.said("b")) == ([RUNNING], [RUNNING, COMPLETED])
        assert world.committed() == 0
    world.step()
    assert world.said("a") == [RUNNING, COMPLETED]
    assert other.invoke("mail", "send") in {each.invocation.invocation_id for each in invoked(world)}
    world.step()
    assert world.committed() == 2


def test_children_are_in_the_log_when_the_executor_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for them, then for the report that has waited for them, and commits."""
    world = ExecutorWorld()
    own = context(world)
    assert world.executor is not None
    own.invoke("mail", "send")
    world.runner.end(world.runner.find("a"))
    monkeypatch.setattr(world.executor._reporter._outlet, "serve", lambda *_: 0)
    world.executor.close()
    assert (len(invoked(world)), world.said("a"), world.committed()) == (1, [RUNNING, COMPLETED], 1)


def test_a_child_that_the_broker_refuses_ends_the_executor() -> None:
    """As a report does: the attempt's end is not reported, and its signal comes again."""
    world = ExecutorWorld()
    own = context(world)
    world.cluster.topics[world.settings.topic(Topic.COMMANDS)].config["max.message.bytes"] = "1"
    own.invoke("mail", "send")
    world.runner.end(world.runner.find("a"))
    with pytest.raises(DeliveryError, match="did not reach the log"):
        world.step()
    assert (world.said("a"), world.committed()) == ([RUNNING], 0)


def until(world: ExecutorWorld, condition: Callable[[], bool]) -> None:
    """Turns until it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        world.step(1)


def test_handlers_of_both_kinds_invoke() -> None:
    """In threads and in the event loop, more than the local queue holds: they wait for room, and nothing is lost."""
    world = ExecutorWorld(lambda: Runner(4))
    world.settings = world.settings.model_copy(update={"kafka": {"queue.buffering.max.messages": "5"}})

    def in_a_thread(own: Context) -> None:
        for number in range(8):
            own.invoke("mail", "send", invocation_id=f"thread-{number}")

    async def in_the_loop(own: Context) -> None:
        for number in range(8):
            own.invoke("mail", "send", invocation_id=f"loop-{number}")

    world.prepare = lambda executor: [
        executor.handler(service, "run")(handler)
        for service, handler in (("threads", in_a_thread), ("loops", in_the_loop))
    ]
    world.start("a", 1, service="threads")
    world.start("b", 2, service="loops")
    until(world, lambda: COMPLETED in world.said("a") and COMPLETED in world.said("b"))
    assert world.executor is not None
    world.executor.close()
    ids = sorted(each.invocation.invocation_id for each in invoked(world))
    assert ids == sorted(f"{kind}-{number}" for kind in ("thread", "loop") for number in range(8))
