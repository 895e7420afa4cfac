"""The definitions of metrics: names, labels, and the page of the docs made from them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streams import metrics
from streams.metrics import CounterOf, GaugeOf, HistogramOf, OfGateway, OfWorker, metrics_of

ALL = [*metrics_of(OfWorker), *metrics_of(OfGateway)]

BOUNDED_ELSEWHERE = {"partition", "code", "why"}
"""Labels whose values no list gives: bounded by the topics' partitions, the protocol's codes, the engine's counters."""


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
    assert label.values or label.name in BOUNDED_ELSEWHERE
    assert len(label.values) == len(set(label.values)) <= 20
    assert not label.name.endswith("id")


def test_a_counter_whose_values_are_known_begins_with_all_of_them() -> None:
    """A rate over the first occurrence needs the 0 before it."""
    registry = CollectorRegistry()
    OfWorker.FAULTS.on(registry)
    samples = [line for line in generate_latest(registry).decode().splitlines() if line.startswith("streams_faults")]
    values = [line for line in samples if "_total" in line]
    assert values == [f'streams_faults_total{{fault="{each}"}} 0.0' for each in ("turn", "producer", "consumer")]


def test_the_page_of_the_docs_is_made_from_the_definitions() -> None:
    """`python -m streams.metrics > docs/metrics.md` was run after the last change."""
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert page.read_text(encoding="utf-8") == metrics.document()
