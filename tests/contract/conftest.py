"""Every contract test runs twice: on the fake cluster and on a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.kafka.broker_world import World, worlds

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.broker)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The fake cluster, then the session's broker."""
    yield from worlds(lambda: request.getfixturevalue("broker").bootstrap, real=request.param == "real")
