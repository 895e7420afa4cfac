"""Zones of four rows, so that the few rows of a test fill several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.tables.small_zones import small_zones

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="module")
def _zones() -> Iterator[None]:
    with small_zones():
        yield
