"""All metrics: the name, kind and meaning of each, and the few values of its labels.

`docs/metrics.md` is made from this file by `scripts/metrics_page.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from streams.config import Topic
from streams.model import BatchState, Command, SliceState, Status

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Label:
    """A label of a metric. Its values never depend on what clients send: no ids, no names, no texts."""

    name: str
    says: str
    values: tuple[str, ...] = ()
    """Every possible value; empty if `says` describes the bound."""


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
    """A number that only rises, from 0 at the start of the process; it has one label at most."""

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
        values = metric.labels[0].values if metric.labels else ("",)
        # A rate over the first occurrence needs the 0 before it, so known label values start at 0.
        self._totals: dict[str, float] = dict.fromkeys(values, 0)

    def add(self, count: float = 1, value: str = "") -> None:
        """Add `count`; `value`: that of the label, if there is one."""
        self._totals[value] = self._totals.get(value, 0) + count

    def family(self) -> CounterMetricFamily:
        """Its samples of one scrape."""
        family = CounterMetricFamily(self._metric.name, self._metric.says, labels=self._metric.label_names)
        for value, total in self._totals.copy().items():
            family.add_metric([value] if self._metric.labels else [], total)
        return family


class Distribution:
    """A histogram: like `Total`, one thread observes and any other may ask for the samples."""

    def __init__(self, metric: HistogramOf) -> None:
        self._metric = metric
        self._counts = [0] * (len(metric.buckets) + 1)
        self._sum = 0.0

    def observe(self, amount: float) -> None:
        """Count one observation of this value."""
        self._counts[bisect_left(self._metric.buckets, amount)] += 1
        self._sum += amount

    def family(self) -> HistogramMetricFamily:
        """Its samples of one scrape."""
        bounds = [*map(floatToGoString, self._metric.buckets), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        family = HistogramMetricFamily(self._metric.name, self._metric.says)
        family.add_metric([], buckets, self._sum)
        return family


_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_ROWS: Final = (1, 10, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)

PARTITION: Final = Label("partition", "number of a partition of the topic that is read")
RECORD: Final = Label("record", "a command's record", tuple(each.__name__ for each in get_args(Command)))
TOPIC: Final = Label("topic", "a topic's name without the prefix", tuple(Topic))
STATUS: Final = Label("status", "an invocation's status", tuple(Status))
BATCH_STATE: Final = Label("state", "a batch's state", tuple(BatchState))
SLICE_STATE: Final = Label("state", "state of one partition's part of a batch", tuple(SliceState))
COUNTER: Final = Label("counter", "a slice's counter", ("scanned", "matched", "done", "pending", "skipped", "failed"))
CODE: Final = Label("code", "a dead letter's `error-code`: the protocol's few, or `invalid_` and a field's name")
WHY: Final = Label("why", "name of one of the engine's counters, such as `stale_report`")
PHASE: Final = Label(
    "phase", "how far a partition has been taken over", ("CLAIMED", "RESTORING", "RUNNING", "GIVEN_UP")
)
CHANGE: Final = Label("change", "what the group did with a partition", ("assigned", "revoked", "lost"))
FAULT: Final = Label("fault", "what had to be given up", ("turn", "producer", "consumer", "partition"))
LIMIT: Final = Label("limit", "what a page is limited by", ("scanned", "matched"))
RECONCILED_WHAT: Final = Label("what", "what the cancel reconciler counts", ("flows", "members"))
FILE: Final = Label("file", "the table's SQLite database, or its write-ahead file", ("database", "wal"))


class OfWorker:
    """The metrics of a worker."""

    COMMANDS: Final = CounterOf(
        "streams_commands_total", "Commands taken from the log, refused and forwarded ones included.", (RECORD,)
    )
    DEAD_LETTERS: Final = CounterOf("streams_dead_letters_total", "Bad records put into dead-letters.", (CODE,))
    CLOCK_AHEAD: Final = CounterOf(
        "streams_clock_ahead_total",
        "Commands stamped too far ahead of this machine's clock, which did not move the partition's clock.",
    )
    FORWARDED: Final = CounterOf("streams_forwarded_total", "Records on a wrong partition, forwarded to their own.")
    WITHOUT_EFFECT: Final = CounterOf(
        "streams_without_effect_total", "Commands that changed nothing, such as late or repeated ones.", (WHY,)
    )
    WRITTEN: Final = CounterOf("streams_written_total", "Records written, in committed transactions.", (TOPIC,))
    RECONCILED: Final = CounterOf(
        "streams_reconciled_total",
        "Flows chosen by the cancel reconciler, and members that it asked again.",
        (RECONCILED_WHAT,),
    )
    TURN_SECONDS: Final = HistogramOf(
        "streams_turn_seconds", "A turn, from its consumed records to its checkpoint.", buckets=_SECONDS
    )
    TRANSACTION_SECONDS: Final = HistogramOf(
        "streams_transaction_seconds", "A turn's Kafka transaction, from begin to commit.", buckets=_SECONDS
    )
    PAGE_SECONDS: Final = HistogramOf(
        "streams_page_seconds", "A page of a batch, as it counts against STREAMS_PAGE_BUDGET_MS.", buckets=_SECONDS
    )
    PAGE_SCANNED: Final = HistogramOf("streams_page_scanned_rows", "Rows that a page looked at.", buckets=_ROWS)
    PAGE_MATCHED: Final = HistogramOf("streams_page_matched_rows", "Rows that a page matched.", buckets=_ROWS)
    PAGE_LIMIT: Final = GaugeOf(
        "streams_page_limit_rows",
        "The most rows that the next page may take, of the batch with the smallest pages.",
        (LIMIT,),
    )
    LAG: Final = GaugeOf(
        "streams_lag_records",
        "Offsets between the last checkpoint and the end of the log; markers of transactions count, so an idle "
        "partition may stay at a few.",
        (PARTITION,),
    )
    CLOCK_BEHIND: Final = GaugeOf(
        "streams_clock_behind_seconds",
        "Wall clock less partition clock: age of the newest command applied. Below 0: this machine's clock is behind.",
        (PARTITION,),
    )
    PHASES: Final = GaugeOf("streams_partition_phase", "1 for the phase the partition is in.", (PARTITION, PHASE))
    RESTORED: Final = GaugeOf(
        "streams_restored_records", "Changelog records replayed since the partition was taken over.", (PARTITION,)
    )
    RESTORE_RATIO: Final = GaugeOf(
        "streams_restore_ratio", "Share of the changelog's tail that is replayed; 1 once it runs.", (PARTITION,)
    )
    INVOCATIONS: Final = GaugeOf("streams_invocations", "Rows of the table.", (PARTITION, STATUS))
    HELD: Final = GaugeOf(
        "streams_held_invocations",
        "Rows that would have started and wait for a batch that is about to end them.",
        (PARTITION,),
    )
    BATCHES: Final = GaugeOf("streams_batches", "Batches remembered by the partitions that lead them.", (BATCH_STATE,))
    SLICES: Final = GaugeOf("streams_slices", "Parts of batches remembered.", (SLICE_STATE,))
    SLICE_ROWS: Final = GaugeOf(
        "streams_slice_rows", "Sum of a counter over the parts of batches remembered.", (SLICE_STATE, COUNTER)
    )
    BACKLOG: Final = GaugeOf(
        "streams_reconciler_backlog",
        "Cancelled flows that wait for their members, and those members. Absent unless every partition of the worker "
        "runs.",
        (RECONCILED_WHAT,),
    )
    BACKLOG_AGE: Final = GaugeOf(
        "streams_reconciler_overdue_seconds",
        "Seconds since the oldest deadline in the reconciler's backlog; 0 if none is over. Absent like the backlog.",
    )
    STORE_BYTES: Final = GaugeOf("streams_store_bytes", "Size of the table on disk.", (PARTITION, FILE))
    REBALANCES: Final = CounterOf("streams_rebalances_total", "Times the group gave or took partitions.")
    PARTITION_CHANGES: Final = CounterOf("streams_partition_changes_total", "Partitions given and taken.", (CHANGE,))
    FAULTS: Final = CounterOf(
        "streams_faults_total",
        "Turns aborted, producers fenced, consumers out of their group, partitions given up; each is tried again or "
        "replaced.",
        (FAULT,),
    )
    LOOP_AGE: Final = GaugeOf("streams_loop_age_seconds", "Seconds since the worker's loop last came round.")


class OfGateway:
    """The metrics of a gateway."""

    RECORDS: Final = CounterOf("streams_gateway_records_total", "Records of batch-slices merged.")
    PUBLISHED: Final = CounterOf("streams_gateway_published_total", "Records of batches written, tombstones included.")
    MERGE_SECONDS: Final = HistogramOf(
        "streams_gateway_merge_seconds", "A merge, from its records to the last that it writes.", buckets=_SECONDS
    )
    LAG: Final = GaugeOf(
        "streams_gateway_lag_records",
        "Offsets between the last record read and the end of batch-slices; markers of transactions count, so an idle "
        "partition may stay at a few.",
        (PARTITION,),
    )
    BATCHES: Final = GaugeOf("streams_gateway_batches", "Batches in the gateway's table.")
    REBALANCES: Final = CounterOf("streams_gateway_rebalances_total", "Times the group gave or took partitions.")
    LOOP_AGE: Final = GaugeOf("streams_gateway_loop_age_seconds", "Seconds since the gateway's loop last came round.")


def counted(owner: object) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
    """The samples of every `Total` and `Distribution` that the owner holds."""
    for each in vars(owner).values():
        if isinstance(each, Total | Distribution):
            yield each.family()


def metrics_of(role: type[OfWorker | OfGateway]) -> list[Metric]:
    """The metrics of a role, in the order of this file."""
    return [each for each in vars(role).values() if isinstance(each, Metric)]


def labels() -> list[Label]:
    """Every label that a metric has, in order of its first use."""
    used = [label for role in (OfWorker, OfGateway) for metric in metrics_of(role) for label in metric.labels]
    return list(dict.fromkeys(used))
