"""Limits on how often somebody may ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.gateway.access.rates import MOST_KEYS, Rate, RecentFailures


@given(st.lists(st.floats(0, 0.5), max_size=400))
def test_a_rate_is_never_exceeded_over_any_time(pauses: list[float]) -> None:
    """Between any two requests that were let through lie as many as the burst and the time between them allow."""
    now = 0.0
    rate = Rate(10.0, 5, lambda: now)
    taken: list[float] = []
    for pause in pauses:
        now += pause
        if not rate.take("ann"):
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= 5 + (taken[last] - taken[first]) * 10 + 1e-6


def test_a_wait_is_as_long_as_it_says() -> None:
    """After it the next request is let through, a moment before it is not; one key's requests are not another's."""
    now = 0.0
    rate = Rate(50.0, 200, lambda: now)
    assert [rate.take("ann") for _ in range(200)] == [0.0] * 200
    wait = rate.take("ann")
    assert wait == pytest.approx(1 / 50)
    assert rate.take("vic") == 0.0
    now = wait * 0.9
    assert rate.take("ann") > 0
    now = wait * 1.001
    assert rate.take("ann") == 0.0


def test_failures_are_counted_within_the_time_only() -> None:
    """The eleventh within a minute waits for the first to be a minute old."""
    now = 0.0
    failures = RecentFailures(10, 60.0, lambda: now)
    for _ in range(10):
        assert failures.wait("here") == 0.0
        failures.failed("here")
        now += 1.0
    assert failures.wait("here") == pytest.approx(50.0)
    assert failures.wait("there") == 0.0
    now = 60.0
    assert failures.wait("here") == 0.0
    failures.failed("here")
    assert failures.wait("here") == pytest.approx(1.0)


def test_memory_is_bounded() -> None:
    """Whoever asks from a million addresses does not fill it."""
    rate, failures = Rate(1.0, 1, lambda: 0.0), RecentFailures(1, 60.0, lambda: 0.0)
    for number in range(MOST_KEYS + 10):
        rate.take(str(number))
        failures.failed(str(number))
    assert len(rate._due) == len(failures._failed) == MOST_KEYS
    assert failures.wait("0") == 0.0
    assert failures.wait(str(MOST_KEYS + 9)) > 0
