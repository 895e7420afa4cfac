"""Two copies of one state folder: the second ends by name, whatever the pace at which they take each other's place."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from streams.errors import StreamsError
from streams.model import Invocation, Invoke
from streams.worker.rivals import Rounds
from streams.worker.worker import Worker
from support.service.worker_world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.long

HOUR = 3_600.0
OLD = 1_000.0


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that lets seconds pass."""
    now = time.monotonic()

    def move(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now)
    return move


@pytest.mark.parametrize("pause", [0.1, 20.0, 100.0, 900.0])
def test_of_two_that_take_turns_the_second_ends(passes: Callable[[float], None], pause: float) -> None:
    """In a few rounds; the one that had been at work goes on."""
    first = Rounds()
    passes(OLD)
    second = Rounds()
    for _ in range(5):
        assert first.another() is None
        passes(pause / 2)
        if (often := second.another()) is not None:
            break
        passes(pause / 2)
    assert often is not None
    assert often.startswith("2 times within a minute" if pause < 60 else "4 times within an hour")


def test_now_and_then_is_nobodys_doing(passes: Callable[[float], None]) -> None:
    """A coordinator that restarts once an hour ends no worker, however long that goes on."""
    rounds = Rounds()
    for _ in range(100):
        assert rounds.another() is None
        passes(HOUR)


def test_a_copied_state_folder_ends_the_second_worker(tmp_path: Path, passes: Callable[[float], None]) -> None:
    """By a line that names the id they share and its own folder; the first one has lost nothing."""
    with closing(World(tmp_path, worker_id=None)) as world:
        world.invoke(Invoke(Invocation("i-0", "orders", "run")))
        world.run_until_idle()
        shutil.copytree(world.settings.state_dir, tmp_path / "copy")
        settings = world.settings.model_copy(update={"state_dir": tmp_path / "copy"})
        first = world.worker
        assert first is not None
        passes(OLD)
        with closing(Worker(settings, world.cluster, lambda: world.cluster.now)) as second:

            def turns() -> None:
                for number in range(1, 400):
                    world.invoke(Invoke(Invocation(f"i-{number}", "orders", "run")))
                    for worker in (first, second, first, second):
                        worker.step()
                        world.cluster.now += 1
                    passes(100.0)

            with pytest.raises(StreamsError, match=r"fenced 4 times within an hour: .*transactional\.id") as caught:
                turns()
        assert str(tmp_path / "copy") in str(caught.value)
        world.run_until_idle()
        world.assert_log_and_changelog_agree()
