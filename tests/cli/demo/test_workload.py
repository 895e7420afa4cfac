"""The demo's workload: it counts what it makes."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli.demo.story import expect
from streams.cli.demo.workload import DOOMED, NEWSLETTERS, OTHERS, Workload
from streams.errors import StreamsError


@given(size=st.integers(min_value=1, max_value=3_000))
def test_the_counts_are_those_of_the_invocations_made(size: int) -> None:
    """What the service reports is held against them, so they must be right for any size."""
    workload = Workload(size)
    made = list(workload.invocations())
    later = Counter(each.invocation.service for each in made if each.scheduled_at is not None)
    everything = Counter(each.invocation.service for each in made)
    assert len(made) == len({each.invocation.invocation_id for each in made}) == size
    assert workload.scheduled == later
    assert workload.started == everything - later
    assert workload.doomed == sum(everything[service] for service in DOOMED)
    assert workload.doomed_started == sum((everything - later)[service] for service in DOOMED)
    assert everything[NEWSLETTERS] == workload.running
    assert set(everything) <= {*DOOMED, *OTHERS}


def test_what_is_scheduled_stays_so_for_the_whole_demo() -> None:
    """Nothing that counts as scheduled starts while the demo runs."""
    soonest = min(each.scheduled_at for each in Workload(80).invocations() if each.scheduled_at is not None)
    assert soonest > (time.time() + 3_600) * 1_000


def test_a_count_that_differs_fails_the_demo() -> None:
    """Both numbers are told."""
    expect("ended by the kill", 5, 5)
    with pytest.raises(StreamsError, match="ended by the kill: the service says 4, the demo counted 5"):
        expect("ended by the kill", 4, 5)
