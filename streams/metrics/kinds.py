"""The kinds of metrics, and what counts them: a thread of the program adds, the server's threads ask."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate, product
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER: Final = "other"
"""Value of a label beyond its bound."""


@dataclass(frozen=True)
class Label:
    """A label of a metric. Its values never depend on what clients send, or are cut off at `most`.

    `values`: every possible value; empty if `says` describes the bound. `begins`: values that are known before they
    occur, of a label without `values`.
    """

    name: str
    says: str
    values: tuple[str, ...] = ()
    begins: tuple[str, ...] = ()
    most: int | None = None
    """After this number of different values, further ones count as `OTHER`."""


@dataclass(frozen=True)
class Metric:
    """The name of a metric in `/metrics`, and its meaning."""

    name: str
    says: str
    labels: tuple[Label, ...] = ()

    @property
    def label_names(self) -> list[str]:
        """Names of the metric's labels, in order."""
        return [label.name for label in self.labels]


@dataclass(frozen=True)
class CounterOf(Metric):
    """A number that only rises, from 0 at the start of the process."""

    def total(self) -> Total:
        """A new counter for this metric."""
        return Total(self)


@dataclass(frozen=True)
class GaugeOf(Metric):
    """A number that may rise and fall."""

    def family(self) -> GaugeMetricFamily:
        """An empty family for the samples of one scrape."""
        return GaugeMetricFamily(self.name, self.says, labels=self.label_names)


@dataclass(frozen=True)
class HistogramOf(Metric):
    """A histogram: number of observations up to each of the rising `buckets`; without labels."""

    buckets: tuple[float, ...] = ()

    def distribution(self) -> Distribution:
        """A new histogram for this metric."""
        return Distribution(self)


class Total:
    """A counter: one thread adds with plain arithmetic, any other may ask for the samples.

    The library's own counter takes a lock for each addition, which takes ten times as long; a loop adds about twenty
    times per turn.
    """

    def __init__(self, metric: CounterOf) -> None:
        self._metric = metric
        # A rate over the first occurrence needs the 0 before it, so label values that are known start at 0.
        self._known = [dict.fromkeys(label.values or label.begins) for label in metric.labels]
        self._totals: dict[tuple[str, ...], float] = dict.fromkeys(product(*self._known), 0)

    def add(self, count: float = 1, *values: str) -> None:
        """Add `count`; `values`: those of the labels, in order."""
        if values not in self._totals:
            values = self._met(values)
        self._totals[values] += count

    def _met(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Begin the series of values that are new, and of all that go with them; a value beyond a bound is `OTHER`."""
        found = []
        for label, known, value in zip(self._metric.labels, self._known, values, strict=True):
            beyond = label.most is not None and value not in known and len(known) >= label.most
            found.append(OTHER if beyond else value)
            if not beyond:
                known[value] = None
        if tuple(found) in self._totals:
            return tuple(found)
        kept = [{**known, value: None} for known, value in zip(self._known, found, strict=True)]
        # A scrape copies the totals: they are replaced as a whole, and never grow under it.
        self._totals = {**dict.fromkeys(product(*kept), 0), **self._totals}
        return tuple(found)

    def family(self) -> CounterMetricFamily:
        """Its samples of one scrape."""
        family = CounterMetricFamily(self._metric.name, self._metric.says, labels=self._metric.label_names)
        for values, total in list(self._totals.items()):
            family.add_metric(values, total)
        return family


class Distribution:
    """A histogram: like `Total`, one thread observes and any other may ask for the samples."""

    def __init__(self, metric: HistogramOf) -> None:
        self._metric = metric
        self._counts = [0] * (len(metric.buckets) + 1)
        self._sum = 0.0

    def observe(self, amount: float, times: int = 1) -> None:
        """Count one observation of this value, or several."""
        self._counts[bisect_left(self._metric.buckets, amount)] += times
        self._sum += amount * times

    def family(self) -> HistogramMetricFamily:
        """Its samples of one scrape."""
        bounds = [*map(floatToGoString, self._metric.buckets), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        family = HistogramMetricFamily(self._metric.name, self._metric.says)
        family.add_metric([], buckets, self._sum)
        return family


def counted(owner: object) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
    """The samples of every `Total` and `Distribution` that the owner holds."""
    for each in vars(owner).values():
        if isinstance(each, Total | Distribution):
            yield each.family()
