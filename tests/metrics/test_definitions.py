"""The definitions of metrics: names and labels."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from streams import metrics
from streams.metrics import OTHER, ROLES, CounterOf, GaugeOf, HistogramOf, Label, OfWorker, metrics_of

ALL = [metric for role in ROLES for metric in metrics_of(role)]

BOUNDED_ELSEWHERE = {"partition", "code", "why", "version", "engine_version", "python"}
"""Labels whose values no list gives: bounded by the topics' partitions, the protocol's codes, the engine's counters,
and by what is installed."""


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_a_name_says_what_it_is(metric: metrics.Metric) -> None:
    """Names are Prometheus's: one prefix, the unit at the end, `_total` for counters and for nothing else."""
    assert re.fullmatch(r"streams_[a-z]+(_[a-z]+)*", metric.name)
    assert isinstance(metric, CounterOf) == metric.name.endswith("_total")
    assert isinstance(metric, CounterOf | GaugeOf) or metric.name.endswith(("_seconds", "_rows"))
    assert metric.says.endswith(".")
    assert not isinstance(metric, HistogramOf) or metric.buckets == tuple(sorted(set(metric.buckets)))


def test_each_name_stands_once() -> None:
    """Two metrics of one name would be one."""
    names = [metric.name for metric in ALL]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("label", metrics.labels(), ids=lambda label: label.name)
def test_a_label_has_few_values(label: metrics.Label) -> None:
    """What a label may be is listed, or bounded by the topics or by this program's own text; never by what is sent."""
    assert label.values or label.most or label.name in BOUNDED_ELSEWHERE
    assert len(label.values) == len(set(label.values)) <= 20
    assert not label.name.endswith("id")


def samples(*families: Any) -> dict[str, float]:
    """What Prometheus would scrape: values by name and labels."""
    text = generate_latest(SimpleNamespace(collect=lambda: families)).decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_a_tally_begins_with_every_value_that_is_known() -> None:
    """A rate over the first occurrence needs the 0 before it; other values come when they come."""
    tally = OfWorker.FAULTS.total()
    tally.add(2, "turn")
    tally.add(1, "turn")
    total = 'streams_faults_total{fault="%s"}'
    others = dict.fromkeys((total % each for each in ("producer", "consumer", "partition")), 0)
    assert samples(tally.family()) == {total % "turn": 3, **others}
    codes = OfWorker.DEAD_LETTERS.total()
    codes.add(1, "malformed")
    codes.add(1, "invalid_reason")
    counted = samples(codes.family())
    assert {name for name, count in counted.items() if count} == {
        'streams_dead_letters_total{code="malformed"}',
        'streams_dead_letters_total{code="invalid_reason"}',
    }
    assert counted['streams_dead_letters_total{code="too_large"}'] == 0
    plain = OfWorker.FORWARDED.total()
    assert samples(plain.family()) == {"streams_forwarded_total": 0}


def test_a_value_that_clients_send_is_bounded() -> None:
    """Each new one begins with all that goes with it at 0; beyond the bound they share one series."""
    tally = CounterOf("streams_t_total", "T.", (Label("way", "", ("in", "out")), Label("of", "", most=2))).total()
    assert samples(tally.family()) == {}
    for number in range(5):
        tally.add(1, "in", f"s{number}")
    tally.add(2, "out", "s1")
    tally.add(3, "out", OTHER)
    total = 'streams_t_total{of="%s",way="%s"}'
    assert samples(tally.family()) == {
        total % ("s0", "in"): 1,
        total % ("s0", "out"): 0,
        total % ("s1", "in"): 1,
        total % ("s1", "out"): 2,
        total % (OTHER, "in"): 3,
        total % (OTHER, "out"): 3,
    }


@given(st.lists(st.floats(0, 100_000, allow_nan=False)))
def test_a_distribution_is_the_library_s_histogram(amounts: list[float]) -> None:
    """Whatever is observed, bounds included: the same buckets, count and sum as prometheus_client's own."""
    metric = OfWorker.PAGE_MATCHED
    ours, registry = metric.distribution(), CollectorRegistry()
    theirs = Histogram(metric.name, metric.says, buckets=metric.buckets, registry=registry)
    for amount in [*amounts, *metric.buckets]:
        ours.observe(amount)
        theirs.observe(amount)
    expected = {name: value for name, value in samples(*registry.collect()).items() if "_created" not in name}
    assert samples(ours.family()) == pytest.approx(expected)
