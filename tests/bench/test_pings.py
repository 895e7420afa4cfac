"""Percentiles of pings, idle and during a batch, and their ratios."""

from __future__ import annotations

import math

import pytest

from bench.lib.batch import beside_idle, latency, medians
from bench.lib.report import percentile
from bench.lib.service import BenchError

THOUSAND = [float(ms) for ms in range(1, 1_001)]


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 501), (0.99, 991), (0.999, 1_000), (1.0, 1_000)], ids=str)
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    """In whatever order they are."""
    assert percentile(THOUSAND[::-1], share) == value


def test_a_percentile_of_nothing_is_no_number() -> None:
    """Nor is it an error: a table shows it as such."""
    assert math.isnan(percentile([], 0.5))


def test_a_ping_counts_for_the_time_at_which_it_was_due() -> None:
    """The begin belongs to a span, the end does not."""
    found: list[tuple[float, float | None]] = [(0.0, 1.0), (1.0, 5.0), (1.5, 7.0), (2.0, 100.0)]
    figures = latency(found, (1.0, 2.0))
    assert (figures["count"], figures["p50"], figures["p99.9"], figures["max"]) == (2, 7.0, 7.0, 7.0)


def test_pings_of_several_spans_are_counted_together() -> None:
    """What lies between them is not."""
    found: list[tuple[float, float | None]] = [(0.5, 1.0), (1.5, 99.0), (2.5, 3.0)]
    assert latency(found, (0.0, 1.0), (2.0, 3.0))["max"] == 3.0


@pytest.mark.parametrize("found", [[], [(1.0, 3.0), (1.1, None)]], ids=["none", "one unanswered"])
def test_a_span_with_a_ping_that_nobody_answered_has_no_figures(found: list[tuple[float, float | None]]) -> None:
    """It would look better than it was."""
    with pytest.raises(BenchError):
        latency(found, (0.0, 2.0))


def test_windows_are_compared_each_with_its_own_idle_span() -> None:
    """The ratio of windows is the median of their ratios: a slow window does not count more than a fast one."""
    windows = []
    for idle, during in ((1.0, 2.0), (10.0, 30.0), (2.0, 8.0)):
        windows.append(beside_idle([(0.0, idle), (1.0, during)], [(0.0, 1.0)], [(1.0, 2.0)]))
    found = medians(windows)
    assert (found["idle"]["p99"], found["during"]["p99"], found["ratio"]["p99"]) == (2.0, 8.0, 3.0)
