"""What the engine did and remembers, held against what the model says it must."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from streams import codec
from streams.model import (
    Action,
    Batch,
    BatchHeader,
    BatchState,
    Cause,
    Meta,
    Payload,
    Signal,
    SignalKind,
    Slice,
    SliceProgress,
    StartSlice,
    Status,
)
from support.reference.partition import page_of
from support.reference.state import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streams.engine.effects import Send
    from streams.model import Command, Ending
    from support.reference.beside.twin import Did, Entry
    from support.reference.partition import Outcome, Partition
    from support.reference.state import Lead, Part

OVER = frozenset({BatchState.COMPLETED, BatchState.ABORTED, BatchState.REJECTED})
# What has not changed since the last turn need not be decoded again.
decode = lru_cache(4_096)(codec.decode)
decode_row = lru_cache(4_096)(codec.decode_row)
COUNTERS = ("scan_total", "scanned", "matched", "done", "pending", "skipped", "failed")


class Difference(AssertionError):  # noqa: N818 - neither side is the error
    """The engine and the model disagree."""


def same(what: str, found: object, must: object) -> None:
    """Raise when the engine's is not the model's."""
    if isinstance(found, dict) and isinstance(must, dict) and found != must:
        keys = [key for key in {**found, **must} if found.get(key) != must.get(key)]
        found, must = {key: found.get(key) for key in keys}, {key: must.get(key) for key in keys}
        if len(keys) == 1 and isinstance(found[keys[0]], dict) and isinstance(must[keys[0]], dict):
            same(f"{what} {keys[0]}", found[keys[0]], must[keys[0]])
    if found != must:
        raise Difference(f"{what}:\n  engine {brief(found)}\n  model  {brief(must)}")


def brief(value: object) -> str:
    """The value without what has its default."""
    if isinstance(value, Struct):
        names, defaults = value.__struct_fields__, value.__struct_defaults__
        usual = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
        given = {name: getattr(value, name) for name in names}
        given = {name: each for name, each in given.items() if each is not None and usual.get(name, ...) != each}
        return f"{type(value).__name__}({', '.join(f'{name}={brief(each)}' for name, each in given.items())})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {brief(each)}' for name, each in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(brief, value))}]"
    return str(value) if isinstance(value, Enum) else repr(value)


# --- one command ------------------------------------------------------------------------------------------------


def outcome(entry: Entry, did: Did, must: Outcome) -> None:
    """Dead letter, signals, what is appended to the log, and that the engine's own choices are allowed."""
    try:
        _outcome(did, must)
    except Difference as difference:
        raise Difference(f"at {entry.offset}, {entry.timestamp}: {brief(entry.command)}: {difference}") from None


def _outcome(did: Did, must: Outcome) -> None:
    if must.wrong:
        raise Difference(", ".join(must.wrong))
    same("dead letter", did.refused, must.refused)
    same("signals", _sorted(did.signals), _sorted(must.signals))
    pages = [command for _, command in did.appended if page_of(command) is not None]
    others = [(to, _without_choices(command)) for to, command in did.appended if page_of(command) is None]
    same("appended", _sorted(others), _sorted((to, _without_choices(each)) for to, each in must.appended))
    if len(pages) != bool(must.next_page) or any(page_of(page) not in must.next_page for page in pages):
        raise Difference(f"pages {brief(pages)}, the next one is of {must.next_page or 'none'}")


def signal(sent: Send) -> Signal:
    """The signal that executors get."""
    invocation = codec.decode_invocation(sent.encoded)
    return Signal(sent.kind, invocation, sent.seq, sent.attempt, sent.repeat, sent.at, sent.payload, sent.cause)


def _without_choices(command: Command) -> Command:
    if not isinstance(command, StartSlice):
        return command
    command = replace(command, budget=None, max_rate=None)
    return command if command.action is Action.CANCEL else replace(command, grace_ms=0)


def _sorted(values: Iterable[Any]) -> list[Any]:
    found = list(values)
    return sorted(found, key=repr) if len(found) > 1 else found


# --- what is remembered -----------------------------------------------------------------------------------------


def table(model: Partition, dump: Mapping[str, bytes], next_offset: int) -> None:
    """Rows, payloads, slices, batches and the partition's own record."""
    rows = {key[2:]: decode_row(value)[0] for key, value in dump.items() if key.startswith("i/")}
    same("rows", sorted(rows), sorted(model.rows))
    for name, row in rows.items():
        same(f"row {name}", _row(row), _row(model.rows[name], model.rows[name].status))
    payloads = {key[2:]: _as(Payload, value).payload for key, value in dump.items() if key.startswith("p/")}
    kept = {name: row.invoke.payload for name, row in model.rows.items() if row.invoke.payload is not None}
    same(
        "payloads",
        {name: payloads.get(name) for name, row in model.rows.items() if not row.ended and name in kept},
        {name: payload for name, payload in kept.items() if not model.rows[name].ended},
    )
    slices = {key[2:]: _as(Slice, value) for key, value in dump.items() if key.startswith("s/")}
    same("slices", {name: _slice(each) for name, each in slices.items()}, {n: _part(p) for n, p in model.parts.items()})
    batches = {key[2:]: _as(Batch, value) for key, value in dump.items() if key.startswith("b/")}
    same("batches", {n: _batch(each) for n, each in batches.items()}, {n: _lead(x) for n, x in model.leads.items()})
    if "m/" in dump:
        _meta(model, _as(Meta, dump["m/"]), next_offset)


def _row(row: Any, _: object = None) -> dict[str, object]:
    names = ("seq", "status", "attempt", "last_report_no", "created_at", "modified_at", "started_seq")
    facts = {name: getattr(row, name) for name in (*names, "deployment_id", "paused_from", "held", "adopted")}
    if row.status is not Status.PAUSED:
        facts["due_at"] = row.due_at
    ending: Ending | None = row.ending
    if row.status is Status.CANCELLING:
        facts["ending"] = ending
    elif row.status in ENDED:
        facts["ending"] = (Cause(), None) if ending is None else (ending.cause, ending.error)
    return facts


def _slice(found: Slice) -> dict[str, object]:
    facts: dict[str, object] = {name: getattr(found, name) for name in (*COUNTERS, "acted", "budget", "max_rate")}
    facts |= {name: getattr(found, name) for name in ("state", "cutoff", "cursor", "due_at")}
    return facts | {"samples": sorted(found.samples), "failures": found.failures}


def _part(part: Part) -> dict[str, object]:
    facts: dict[str, object] = {name: getattr(part, name) for name in (*COUNTERS, "acted", "budget", "max_rate")}
    facts |= {name: getattr(part, name) for name in ("state", "cutoff", "cursor", "due_at")}
    return facts | {"samples": sorted(part.samples), "failures": tuple(part.failures)}


def _batch(found: Batch) -> dict[str, object]:
    phases = {} if found.state == "REJECTED" else dict(enumerate(found.phases))
    facts = {
        "state": found.state,
        "failed": found.error is not None and found.state in OVER,
        "max_rate": found.max_rate,
        "phases": phases,
    }
    return facts | {"control_no": found.control_no, "updated_at": found.updated_at}


def _lead(lead: Lead) -> dict[str, object]:
    facts = {"state": lead.state, "failed": lead.failed, "max_rate": lead.max_rate, "phases": lead.phases}
    return facts | {"control_no": lead.control_no, "updated_at": lead.updated_at}


def _meta(model: Partition, meta: Meta, next_offset: int) -> None:
    counts = Counter(str(row.status) for row in model.rows.values())
    must = (next_offset, model.clock, dict(counts), model.page, model.outstanding, model.tick_no)
    found = (meta.next_offset, meta.clock, meta.counts, meta.page, meta.page_outstanding, meta.tick_no)
    same("m/", found, must)
    chosen = (meta.reconciled_at, meta.reconcile_labels)
    same("m/ of flows", chosen, (model.reconciled_at, model.reconcile_labels))


def _as(kind: type[Any], value: bytes) -> Any:
    record = decode(value)
    assert isinstance(record, kind)
    return record


# --- what always holds ------------------------------------------------------------------------------------------


class Watch:
    """Promises that hold over a whole history of a partition."""

    def __init__(self) -> None:
        self.revisions: dict[str, int] = {}
        self.ended: dict[int, Status] = {}
        self.ended_by: Counter[tuple[str | None, int | None]] = Counter()
        self.late: Counter[tuple[str | None, int | None]] = Counter()
        self._asked: dict[int, tuple[str | None, int | None]] = {}

    def after(self, model: Partition, signals: Sequence[Signal]) -> None:
        """No START after the end, and no end after the end, but for what is restarted."""
        again = {row.seq for row in model.restarted}
        self.ended = {seq: status for seq, status in self.ended.items() if seq not in again} if again else self.ended
        for sent in signals:
            if sent.kind is SignalKind.START and sent.seq in self.ended:
                raise Difference(f"{sent.invocation.invocation_id} is started after it has ended: {sent}")
        for row in model.rows.values():
            # What a flow ends counts in no batch, though the batch may have ended the flow.
            by = row.ending.cause if row.ending else None
            name = by.batch_id if by and by.flow_id is None else None
            # An id may be taken again once its batch is forgotten.
            part = model.parts.get(name or "")
            batch = name, None if part is None else part.cutoff
            if not row.ended and self._asked.get(row.seq, (None, 0))[0] != name:
                self._asked[row.seq] = batch
            if row.ended and row.seq not in self.ended:
                self.ended[row.seq] = row.status
                self.ended_by[batch] += 1
                # One that a forgotten batch of the same id has asked and left alone may end by it still.
                self.late[batch] += self._asked.get(row.seq, batch) != batch
            elif row.ended:
                same(f"end of {row.invocation_id}", row.status, self.ended[row.seq])
            elif row.seq in self.ended:
                raise Difference(f"{row.invocation_id} had ended and is {row.status}")
        for name, part in model.parts.items():
            ends = part.start.action in {Action.KILL, Action.CANCEL} and not part.start.dry_run
            # What was left alone when its grace was over may still end by it.
            ended, most = self.ended_by[name, part.cutoff], part.done + part.failed + self.late[name, part.cutoff]
            if ends and not part.done <= ended <= most:
                raise Difference(f"{name} has ended {ended}, counts {part.done}, failed {part.failed}")

    def published(self, model: Partition, records: Sequence[tuple[str, bytes | None]]) -> None:
        """Progress adds up, is what the model says, and its revision rises."""
        for key, value in records:
            record = None if value is None else decode(value)
            if record is None:
                self.revisions.pop(key, None)
                continue
            assert isinstance(record, SliceProgress | BatchHeader)
            if record.revision <= self.revisions.get(key, -1):
                raise Difference(f"{key} repeats revision {record.revision}")
            self.revisions[key] = record.revision
            if isinstance(record, SliceProgress):
                same(f"{key} adds up", record.matched, record.done + record.pending + record.skipped + record.failed)
                part = model.parts[record.batch_id]
                names = (*COUNTERS, "state", "cutoff", "cursor")
                same(key, [getattr(record, n) for n in names], [getattr(part, n) for n in names])
            else:
                lead = model.leads[record.batch_id]
                same(key, (record.state, record.max_rate), (lead.state, lead.max_rate))
