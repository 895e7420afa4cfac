"""The service that most tests of a worker begin with."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.service.worker_world import World, invocations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[World]:
    """A service with twenty invocations, its worker running."""
    with closing(World(tmp_path)) as made:
        made.invoke(*invocations(range(20)))
        made.run_until_idle()
        yield made


@pytest.fixture
def world(running: World) -> World:
    """The same, its worker stopped in good order."""
    running.close()
    return running
