"""The service that most tests of a worker begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.service.worker_world import World, stopped_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service with twenty invocations, its worker stopped in good order."""
    with stopped_world(tmp_path) as made:
        yield made
