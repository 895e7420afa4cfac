"""New ids."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from streams.client.ids import new_batch_id, new_invocation_id


@pytest.mark.parametrize("new", [new_invocation_id, new_batch_id])
def test_ids_are_unique_and_rise_with_time(new: type[str]) -> None:
    """UUIDs of version 7: sorted as they were made, and never ahead of the clock however many are made at once."""
    made = [new() for _ in range(20_000)]
    assert len(set(made)) == len(made)
    assert made == sorted(made)
    assert UUID(made[0]).version == 7
    milliseconds = int(made[-1].replace("-", "")[:12], 16)
    assert -10_000 < milliseconds - time.time() * 1000 < 50
