"""Queries leave the processors to the commands."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING
from wsgiref.util import setup_testing_defaults

import pytest

from streams.worker.priority import Share, giving_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment


@pytest.mark.skipif(sys.platform != "linux", reason="priorities are of processes here")
def test_a_thread_that_answers_has_a_lower_priority_and_the_loops_has_its_own() -> None:
    """The thread's ends with it."""
    priorities: list[int] = []

    def app(_: WSGIEnvironment, __: StartResponse) -> Iterable[bytes]:
        priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return []

    def started(*_: object) -> Callable[[bytes], object]:
        raise AssertionError

    environ: dict[str, object] = {}
    setup_testing_defaults(environ)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=lambda: giving_way(app)(environ, started))
    thread.start()
    thread.join()
    assert priorities == [max(own, 5)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


def test_all_queries_together_have_one_share_beside_the_loop() -> None:
    """Two that are answered at once rest more than twice as long as one; beside an idle loop none rests."""
    now = [0.0]
    share = Share(lambda: now[0])
    assert share.rest() == 0.0
    share.loop_works(much=True)
    both = threading.Barrier(2, timeout=10)
    rests: list[float] = []

    def ask() -> None:
        with share.taken():
            both.wait()
            rests.append(share.rest())
            both.wait()

    thread = threading.Thread(target=ask)
    with share.taken():
        alone = share.rest()
        thread.start()
        both.wait()
        rests.append(share.rest())
        both.wait()
        thread.join()
        assert share.rest() == alone
    assert 1 / (1 + alone) == pytest.approx(0.2)
    assert [1 / (1 + rest) for rest in rests] == [pytest.approx(0.1)] * 2
    now[0] = 1.0
    assert share.rest() == 0.0


def test_a_few_commands_are_given_less_way_than_a_batch() -> None:
    """And a batch with pauses between its pages as much as one without."""
    now = [0.0]
    share = Share(lambda: now[0])
    share.loop_works(much=False)
    assert share.rest() == pytest.approx(0.5)
    share.loop_works(much=True)
    now[0] = 0.2
    share.loop_works(much=False)
    assert share.rest() == pytest.approx(4.0)
    now[0] = 0.4
    assert share.rest() == pytest.approx(0.5)
