"""The table of a whole service as commands for another one, read from the changelog into files of its own."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException

from streams.codec import BadRecordError, decode_command
from streams.config import Topic
from streams.errors import StreamsError
from streams.kafka.admin import Admin
from streams.kafka.clients import TIMEOUT_S, KafkaClients
from streams.kafka.errors import COORDINATOR_ERRORS
from streams.kafka.reading import TopicReader
from streams.kafka.topics import require
from streams.model import TERMINAL, UNSTARTED, Tick
from streams.offline.moves import cancel_of, commands_for, parents_first
from streams.offline.tables import no_room, restore
from streams.state.errors import ChangelogError, NewerEngineError, StoreUnusableError
from streams.state.store import Store
from streams.state.unfinished import cancelled_flows, status_counts, unfinished_batches, unfinished_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.config import Settings
    from streams.kafka.clients import Clients
    from streams.kafka.reading import Progress
    from streams.model import Act, CancelFlow, Invoke, Meta, ReportTransition, Status
    from streams.offline.moves import Terms

_PAUSE_S: Final = 0.2
_EVERY: Final = 1_000


class NotAtRestError(StreamsError):
    """Workers run, or commands wait for one: an export would not be complete."""


class ExportFailedError(StreamsError):
    """The changelog cannot be read by this version, or the tables made from it cannot be stored."""


@dataclass
class Exported:
    """The result of an export: invocations written, by status, and what stays behind.

    `cancelled`: number of flows cancelled there, too. `opened`: ids of cancelled flows that are open there, since their
    cancel would reach members that were restarted. `shelved`: number of those that were paused before their start.
    `batches`: ids of those that are not over.
    """

    commands: int = 0
    cancelled: int = 0
    opened: list[str] = field(default_factory=list)
    shelved: int = 0
    moved: Counter[Status] = field(default_factory=Counter)
    ended: Counter[Status] = field(default_factory=Counter)
    batches: list[str] = field(default_factory=list)

    @property
    def invocations(self) -> int:
        """Number of invocations written."""
        return self.moved.total()


@contextmanager
def restored(
    settings: Settings, clients: Clients | None = None, progress: Progress | None = None, *, force: bool = False
) -> Iterator[tuple[Sequence[Store], list[str]]]:
    """The tables of all partitions, in a temporary folder, and the reasons why they may be incomplete.

    Each is made from the committed records of its changelog, up to its end.

    Args:
        settings: the brokers, the topics' prefix and the workers' group.
        clients: makes the Kafka clients.
        progress: called with the progress of each partition.
        force: return the reasons instead of raising `NotAtRestError`.

    Raises:
        NotAtRestError: workers are in the group, or a partition has commands that nobody has applied yet.
        ExportFailedError: the changelog is of a newer engine or holds something else, or the disk is full.
        StreamsError: a topic is missing, the broker does not answer, or a transaction stays open.
        KafkaException: the group may not be described.
    """
    made = clients or KafkaClients()
    admin = Admin(settings, made)
    log, changelog = settings.topic(Topic.COMMANDS), settings.topic(Topic.CHANGELOG)
    # The topics' partition counts need not be equal: an export is the way out for a user who added partitions.
    found = require(admin.client, settings, admin.trouble, Topic.COMMANDS, Topic.CHANGELOG)
    partitions, tables = len(found[log].partitions), len(found[changelog].partitions)
    members = _members(admin.client, settings.group_id)
    if members and not force:
        raise NotAtRestError(members)
    with _clear_errors(), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streams-export-")))
        reading = stack.enter_context(closing(TopicReader(settings, made, progress or (lambda *_: None))))
        stores = []
        for partition in range(tables):
            store = Store.open(folder / f"{partition}.sqlite3", partition)
            stack.callback(store.close)
            restore(reading, store, changelog, IsolationLevel.READ_UNCOMMITTED)
            stores.append(store)
        metas = [store.meta for store in stores] + [None] * (partitions - tables)
        waiting = [_waiting(reading, log, partition, metas[partition]) for partition in range(partitions)]
        unrest = [line for line in (members, *waiting) if line is not None]
        if unrest and not force:
            raise NotAtRestError("\n".join(unrest))
        yield stores, unrest


def commands(
    stores: Sequence[Store], terms: Terms, exported: Exported, progress: Progress | None = None
) -> Iterator[Invoke | ReportTransition | Act | CancelFlow]:
    """All commands of all tables, counted in `exported`: cancels of flows, those of parents before those of children.

    Then those of one invocation follow each other.
    """
    flows = list(chain.from_iterable(cancelled_flows(store.db) for store in stores))
    exported.opened += [flow.flow_id for flow, _ in flows if flow.restarted]
    for cancel in parents_first((cancel, above) for flow, above in flows if (cancel := cancel_of(flow)) is not None):
        exported.commands += 1
        exported.cancelled += 1
        yield cancel
    for store in stores:
        counts = status_counts(store.db)
        total = sum(count for status, count in counts.items() if status not in TERMINAL)
        exported.ended.update({status: count for status, count in counts.items() if status in TERMINAL})
        exported.batches += unfinished_batches(store.db)
        for number, live in enumerate(unfinished_rows(store.db), 1):
            exported.moved[live.row.status] += 1
            exported.shelved += live.row.paused_from in UNSTARTED
            for command in commands_for(*live, terms):
                exported.commands += 1
                yield command
            if progress is not None and (number % _EVERY == 0 or number == total):
                progress(store.partition, "invocations", number, total)


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except (NewerEngineError, ChangelogError, BadRecordError) as error:
        raise ExportFailedError(f"the changelog cannot be read: {error}") from error
    except (sqlite3.OperationalError, StoreUnusableError, OSError) as error:
        raise ExportFailedError(no_room(error)) from error


def _members(admin: Any, group: str) -> str | None:
    """The reason why the group is not at rest; None if it has no members."""
    members = _member_count(admin, group)
    if not members:
        return None
    return (
        f"group {group} has {members} member{'s' if members > 1 else ''}: stop the workers; one with a worker id is "
        "gone STREAMS_SESSION_TIMEOUT_MS after it has stopped"
    )


def _member_count(admin: Any, group: str) -> int:
    """Number of members of a group. A broker that has just started is given time to learn it."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            future = admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group]
            return len(future.result(TIMEOUT_S).members)
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.GROUP_ID_NOT_FOUND:
                return 0
            if code not in COORDINATOR_ERRORS or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S)


def _waiting(reading: TopicReader, log: str, partition: int, meta: Meta | None) -> str | None:
    """The reason why the partition is not at rest; None if all its commands, apart from ticks, have been applied."""
    begin, end = reading.bounds(log, partition, IsolationLevel.READ_UNCOMMITTED)
    applied = begin if meta is None else max(begin, meta.next_offset)
    records = reading.read(log, partition, (applied, end))
    first = next((each.offset() for each in records if not _is_tick(each.value())), None)
    if first is None:
        return None
    return (
        f"{log}, partition {partition}: commands from offset {first} on (the log ends at {end}) have not been applied: "
        "run the workers until they are, with nobody sending more, and stop them"
    )


def _is_tick(value: bytes | None) -> bool:
    """True if the record is a tick. Ticks need not be applied: in the other service, time goes on by itself."""
    try:
        return isinstance(decode_command(value), Tick)
    except BadRecordError:
        return False
