"""Zones that the few rows of a test fill."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from streams.state import zones
from support.reference import zones as model

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def small_zones(bits: int = 2, looks: int = 2) -> Iterator[None]:
    """Meanwhile a zone has `2 ** bits` seqs, and passing over one counts as a look at `looks` rows."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (zones, model):
            patch.setattr(module, "ZONE_BITS", bits)
            patch.setattr(module, "PASSED_LOOKS", looks)
        yield
