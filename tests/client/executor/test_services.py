"""Which services an executor serves, and what it does with handlers that it has not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from streams.client.executor.registry import group_of
from streams.errors import StreamsError
from streams.model import Status
from support.service.executor_world import ExecutorWorld

if TYPE_CHECKING:
    from streams.client import Executor

RUNNING, COMPLETED, FAILED, CANCELLED = Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED


def mail_only(executor: Executor) -> None:
    """One handler of one service."""
    executor.handler("mail", "send")(lambda _: None)


@pytest.mark.parametrize("fail_missing", [False, True])
def test_an_unknown_handler_is_tried_again(caplog: pytest.LogCaptureFixture, *, fail_missing: bool) -> None:
    """By name, with what there is, told in the log; FAILED only when asked for."""
    world = ExecutorWorld(fail_missing=fail_missing)
    world.prepare = mail_only
    world.start("a", 1, service="mail")
    world.step()
    [report] = world.reports()
    assert report.to is (FAILED if fail_missing else Status.BACKING_OFF)
    assert "no handler for mail/run; this executor has mail/send: register one" in (report.error or "")
    assert "no handler for mail/run" in caplog.text
    assert (report.retry_at is None) is fail_missing


def test_only_services_of_its_handlers_are_served() -> None:
    """Without `services=` other services' signals are passed over."""
    world = ExecutorWorld()
    world.prepare = mail_only
    world.start("a", 1)
    world.step()
    assert (world.reports(), world.committed()) == ([], 1)


def test_executors_of_different_services_share_no_group() -> None:
    """The name follows from the services, in any order; it is legal and short whatever they are called."""
    assert group_of(["b", "a"]) == group_of(("a", "b"))
    names = {group_of(each) for each in (None, ["a"], ["a", "b"], ["a-b"], ["a b"], ["\u00e9" * 256], ["x"] * 9_000)}
    assert len(names) == 7
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,100}", each) for each in names)


def test_an_executor_without_handlers_says_so() -> None:
    """It would serve nothing."""
    world = ExecutorWorld()
    world.prepare = lambda _: None
    with pytest.raises(StreamsError, match="no handler"):
        world.step()


def test_other_services_are_passed_over() -> None:
    """An executor of some services leaves the others to theirs, cancels included."""
    world = ExecutorWorld(services={"mail"})
    world.start("a", 1)
    world.cancel("a", 1)
    world.start("b", 2, service="mail")
    world.step()
    assert (world.said("a"), world.said("b"), world.committed()) == ([], [RUNNING], 2)
