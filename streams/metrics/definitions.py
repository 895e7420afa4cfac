"""All metrics: the name, kind and meaning of each, and the few values of its labels.

`docs/metrics.md` is made from this file by `scripts/metrics_page.py`.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final, get_args

from streams import __version__
from streams.config import Topic
from streams.metrics.kinds import CounterOf, GaugeOf, HistogramOf, Label, Metric
from streams.model import ENGINE_VERSION, BatchState, Command, SliceState, Status

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_LONG_SECONDS: Final = (*_SECONDS[4:], 300.0, 900.0, 3_600.0, 21_600.0)
_ROWS: Final = (1, 10, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)

PARTITION: Final = Label("partition", "number of a partition of the topic that is read")
RECORD: Final = Label("record", "a command's record", tuple(each.__name__ for each in get_args(Command)))
TOPIC: Final = Label("topic", "a topic's name without the prefix", tuple(Topic))
STATUS: Final = Label("status", "an invocation's status", tuple(Status))
BATCH_STATE: Final = Label("state", "a batch's state", tuple(BatchState))
SLICE_STATE: Final = Label("state", "state of one partition's part of a batch", tuple(SliceState))
COUNTER: Final = Label("counter", "a slice's counter", ("scanned", "matched", "done", "pending", "skipped", "failed"))
CODE: Final = Label(
    "code",
    "a dead letter's `error-code`: the protocol's few, or `invalid_` and a field's name",
    begins=(
        "unknown_schema",
        "not_avro",
        "malformed",
        "empty_value",
        "not_a_command",
        "not_supported",
        "too_large",
        "not_writable",
        "clock_ahead",
        "page_too_long",
        "newer_engine",
        "conflicting_invoke",
        "batch_id_conflict",
        "unknown_batch",
    ),
)
WHY: Final = Label("why", "name of one of the engine's counters, such as `stale_report`")
PHASE: Final = Label(
    "phase", "how far a partition has been taken over", ("CLAIMED", "RESTORING", "RUNNING", "GIVEN_UP")
)
CHANGE: Final = Label("change", "what the group did with a partition", ("assigned", "revoked", "lost"))
FAULT: Final = Label("fault", "what had to be given up", ("turn", "producer", "consumer", "partition"))
LIMIT: Final = Label("limit", "what a page is limited by", ("scanned", "matched"))
BACKLOG_WHAT: Final = Label("what", "what waits in the cancel reconciler's backlog", ("flows", "members"))
RECONCILED_WHAT: Final = Label(
    "what", "what the cancel reconciler has handled", ("flows", "members", "in_vain", "entries")
)
CYCLE: Final = Label("what", "what a cycle of the cancel reconciler is measured by", ("processed", "errors"))
SERVICE: Final = Label(
    "service", "the first 200 services that this process has met; further ones are `other`", most=200
)
OUTCOME: Final = Label(
    "outcome", "the status in which an invocation has ended", ("COMPLETED", "FAILED", "CANCELLED", "KILLED")
)
RUN_OUTCOME: Final = Label(
    "outcome",
    "what became of a run: the status reported, KILLED (it had ended already), or LEFT to a later attempt",
    ("COMPLETED", "FAILED", "CANCELLED", "BACKING_OFF", "SUSPENDED", "KILLED", "LEFT"),
)
PROGRAM: Final = Label("program", "what the process is", ("worker", "gateway", "executor"))
VERSION: Final = Label("version", "version of this package")
ENGINE: Final = Label("engine_version", "version of the engine's rules")
PYTHON: Final = Label("python", "version of Python")
ANSWER: Final = Label("answer", "class of a request's status", ("1xx", "2xx", "3xx", "4xx", "5xx"))
PROCESS: Final = Label("process", "number of one of a worker's several processes, from 0", most=64)
FILE: Final = Label("file", "the table's SQLite database, or its write-ahead file", ("database", "wal"))


class OfEach:
    """The metrics of every program."""

    BUILD_INFO: Final = GaugeOf(
        "streams_build_info", "Always 1; its labels tell what runs.", (PROGRAM, VERSION, ENGINE, PYTHON)
    )


def build_info(program: str) -> GaugeMetricFamily:
    """The sample that tells which version a program is."""
    family = OfEach.BUILD_INFO.family()
    family.add_metric([program, __version__, str(ENGINE_VERSION), platform.python_version()], 1)
    return family


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
    ENDED: Final = CounterOf("streams_ended_total", "Invocations that have ended.", (OUTCOME, SERVICE))
    START_SECONDS: Final = HistogramOf(
        "streams_start_seconds",
        "From the time of the command that starts an invocation (its Invoke, a Tick, the end of the one before it) to "
        "the commit of its START, by the broker's clock and then by this machine's.",
        buckets=_SECONDS,
    )
    WRITTEN: Final = CounterOf("streams_written_total", "Records written, in committed transactions.", (TOPIC,))
    RECONCILED: Final = CounterOf(
        "streams_reconciled_total",
        "Flows chosen by the cancel reconciler, members that it asked again, flows that it had asked before in vain, "
        "and entries of members removed since nobody could ever answer for them.",
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
    OLDEST_READY: Final = GaugeOf(
        "streams_oldest_ready_seconds",
        "Age of the oldest READY invocation, whose START no executor has answered yet; 0 without one. Looked for at "
        "most every 10 s; absent where that would take more than a second.",
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
        (BACKLOG_WHAT,),
    )
    CYCLES: Final = GaugeOf(
        "streams_reconciler_cycle",
        "The cancel reconciler's last cycle: members that it asked again; flows that it had asked before in vain, and "
        "entries that it removed. 0 while its backlog is empty. Absent like the backlog.",
        (CYCLE,),
    )
    BACKLOG_AGE: Final = GaugeOf(
        "streams_reconciler_overdue_seconds",
        "Seconds since the oldest deadline in the reconciler's backlog; 0 if none is over. Absent like the backlog.",
    )
    STORE_BYTES: Final = GaugeOf("streams_store_bytes", "Size of the table on disk.", (PARTITION, FILE))
    FREE_BYTES: Final = GaugeOf("streams_state_free_bytes", "Free space of the disk that holds the tables.")
    REBALANCES: Final = CounterOf("streams_rebalances_total", "Times the group gave or took partitions.")
    PARTITION_CHANGES: Final = CounterOf("streams_partition_changes_total", "Partitions given and taken.", (CHANGE,))
    FAULTS: Final = CounterOf(
        "streams_faults_total",
        "Turns aborted, producers fenced, consumers out of their group, partitions given up; each is tried again or "
        "replaced.",
        (FAULT,),
    )
    LOOP_AGE: Final = GaugeOf("streams_loop_age_seconds", "Seconds since the worker's loop last came round.")


class OfProcesses:
    """The metrics of a worker of several processes, by their supervisor."""

    UP: Final = GaugeOf("streams_worker_process_up", "1 if the process answers, else 0.", (PROCESS,))
    RESTARTS: Final = CounterOf(
        "streams_worker_process_restarts_total",
        "Times that the process has ended by itself and was started again.",
        (PROCESS,),
    )


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


class OfApi:
    """The metrics of a gateway's API."""

    REQUESTS: Final = CounterOf("streams_api_requests_total", "Requests answered, streams included.", (ANSWER,))
    REQUEST_SECONDS: Final = HistogramOf(
        "streams_api_request_seconds",
        "A request, from its head to the end of its answer; not streams.",
        buckets=_SECONDS,
    )
    STREAMS: Final = GaugeOf("streams_api_event_streams", "Streams of events that are open.")
    MERGE_UP: Final = GaugeOf("streams_api_merge_up", "1 if the gateway's merge answers, else 0.")


class OfExecutor:
    """The metrics of an executor of this package."""

    STARTED: Final = CounterOf("streams_executor_started_total", "Handlers begun.", (SERVICE,))
    ENDED: Final = CounterOf("streams_executor_ended_total", "Runs that are over.", (RUN_OUTCOME, SERVICE))
    START_SECONDS: Final = HistogramOf(
        "streams_executor_start_seconds",
        "From the time of a START to the begin of its handler, by the broker's clock and then by this machine's.",
        buckets=_SECONDS,
    )
    RUN_SECONDS: Final = HistogramOf(
        "streams_executor_run_seconds", "A handler, from its begin to its end.", buckets=_LONG_SECONDS
    )
    RUNNING: Final = GaugeOf("streams_executor_running", "Handlers that run.")
    WAITING: Final = GaugeOf("streams_executor_waiting", "Signals taken in that wait for a free place.")
    PLACES: Final = GaugeOf("streams_executor_places", "Most handlers at once.")
    HELD_BYTES: Final = GaugeOf("streams_executor_held_bytes", "Payloads of all runs that are not over.")
    LAG: Final = GaugeOf(
        "streams_executor_lag_records",
        "Offsets between the last signal taken in and the end of the partition of signals; markers of transactions "
        "count, so an idle partition may stay at a few.",
        (PARTITION,),
    )
    LOOP_AGE: Final = GaugeOf("streams_executor_loop_age_seconds", "Seconds since the executor's loop last came round.")


ROLES: Final = (OfEach, OfWorker, OfProcesses, OfGateway, OfApi, OfExecutor)
Role = type[OfEach | OfWorker | OfProcesses | OfGateway | OfApi | OfExecutor]


def metrics_of(role: Role) -> list[Metric]:
    """The metrics of a role, in the order of this file."""
    return [each for each in vars(role).values() if isinstance(each, Metric)]


def labels() -> list[Label]:
    """Every label that a metric has, in order of its first use."""
    used = [label for role in ROLES for metric in metrics_of(role) for label in metric.labels]
    return list(dict.fromkeys(used))
