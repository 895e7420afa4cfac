"""Records of the command log as strangers may write them: bytes of our own making, none by the project's codec.

Valid commands, values out of all bounds, forged records of the workers, foreign framing and damage, mixed by a seed.
"""

from __future__ import annotations

import json
import random
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import murmur2

from streams.model import ENGINE_VERSION
from support.records.any_values import LONGS, AnyValues, encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENTS = ("Invoke", "ReportTransition", "Act", "StartBatch", "ControlBatch", "CancelFlow")
OF_FLOWS = ("JoinFlow", "MemberEnded", "MemberAck", "ActMembers", "ContinueFlow")
WORKERS = ("StartSlice", "ContinueSlice", "ControlSlice", "SliceReport", "ReleaseHeld", "Tick", *OF_FLOWS)
OTHERS = ("InvocationRow", "Signal", "PageDelta", "Slice", "Batch", "Meta", "BatchHeader", "SliceProgress")

MIB = 1024 * 1024
_MINE = 600
"""Ids that commands share, so that many are about the same few."""
_BATCHES = 60
_FLOWS = 30
_FILTERS: tuple[dict[str, Any], ...] = (
    {"services": ["mail"]},
    {"match_all": True},
    {"labels": {"tenant": "acme"}},
    {"invocation_ids": []},
    {"invocation_ids": [f"s-{number}" for number in range(40)]},
    {"statuses": ["RUNNING", "PENDING"]},
    {"handlers": ["run"], "created_until": 2**62},
)


class Strange(NamedTuple):
    """A record as it is to be in the log; `kind` says what it was made as."""

    kind: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]


class Strangers:
    """Makes records; the same seed and arguments give the same ones."""

    def __init__(self, seed: int, partitions: int, largest: int = 2 * MIB) -> None:
        self.random = random.Random(seed)
        self.partitions = partitions
        self._largest = largest
        self._any = AnyValues(self.random, self._common)
        self._numbers = iter(range(1 << 60))
        self._kinds: list[tuple[int, str, Callable[[], Strange]]] = [
            (280, "valid invoke", self._invoke),
            (150, "valid report or act", self._change),
            (20, "valid batch", self._batch),
            (20, "valid cancel of a flow", self._cancel_flow),
            (120, "absurd command", lambda: self._absurd(CLIENTS)),
            (100, "absurd record of a worker", lambda: self._absurd(WORKERS)),
            (160, "forged record of a worker", self._forged),
            (90, "foreign", self._foreign),
            (60, "damaged", self._damaged),
            (20, "another record", lambda: self._absurd(OTHERS)),
        ]
        self._weights = [weight for weight, _, _ in self._kinds]

    def records(self, count: int, large: int = 1_000) -> Iterator[Strange]:
        """`count` records; one in `large` may have up to the largest size."""
        for number in range(count):
            if number % large == large // 2:
                yield self._large()._replace(kind="large")
                continue
            _, kind, make = self.random.choices(self._kinds, self._weights)[0]
            record = make()._replace(kind=kind)
            yield self._disguised(record) if self.random.random() < 0.05 else record

    # --- kinds ---

    def _invoke(self) -> Strange:
        value = self._valid_invoke()
        return self._at_home("Invoke", value, value["invocation"]["invocation_id"])

    def _valid_invoke(self) -> dict[str, Any]:
        pick = self.random.choice
        number = self.random.randrange(_MINE) if self.random.random() < 0.3 else next(self._numbers)
        service, key, id_ = pick(("mail", "orders", "bills")), None, f"s-{number}"
        if self.random.random() < 0.2:
            key = f"o-{number % 20}"
            id_ = f"{service}/{key}~{number}"
        return {
            "invocation": {
                "invocation_id": id_,
                "service": service,
                "handler": pick(("run", "send")),
                "object_key": key,
                "labels": {pick(("tenant", "zone", "é")): pick(("acme", "", "x" * 50)) for _ in range(pick((0, 1, 3)))},
                "lease_ms": pick((None, None, None, 366 * 86_400_000)),
                "flow_id": pick((None, None, self._flow_id())),
                "parent_id": pick((None, None, f"s-{self.random.randrange(_MINE)}")),
            },
            "scheduled_at": pick((None, None, None, *LONGS)),
            "payload": pick((None, b"", b"p" * 100)),
        }

    def _change(self) -> Strange:
        pick = self.random.choice
        id_ = f"s-{self.random.randrange(_MINE)}"
        value: dict[str, Any]
        if pick((True, False)):
            to = pick(("RUNNING", "SUSPENDED", "BACKING_OFF", "COMPLETED", "FAILED", "CANCELLED"))
            later = 1_900_000_000_000 if to == "BACKING_OFF" else None
            value = {"invocation_id": id_, "attempt": pick((1, 1, 1, 2)), "to": to, "retry_at": later}
            return self._at_home("ReportTransition", value, id_)
        action = pick(("CANCEL", "KILL", "PAUSE", "RESUME", "PURGE"))
        value = {"invocation_id": id_, "action": action, "grace_ms": pick((None, 0, 1_000, 86_400_000)), "cause": {}}
        return self._at_home("Act", value, id_)

    def _batch(self) -> Strange:
        pick = self.random.choice
        batch_id = self._batch_id()
        value: dict[str, Any]
        if pick((True, False)):
            value = {"batch_id": batch_id, "operation": pick(("PAUSE", "RESUME", "ABORT")), "control_no": pick(LONGS)}
            return self._at_home("ControlBatch", value, batch_id)
        value = {
            "batch_id": batch_id,
            "action": pick(("CANCEL", "KILL", "PAUSE", "RESUME", "PURGE")),
            "filter": pick(_FILTERS),
            "dry_run": pick((False, False, True)),
            "limit": pick((None, None, 5, 2**62)),
            "max_rate": pick((None, None, 100.0, 1e-300, 1e300)),
        }
        return self._at_home("StartBatch", value, batch_id)

    def _cancel_flow(self) -> Strange:
        pick = self.random.choice
        flow_id, children = self._flow_name()
        value = {
            "flow_id": flow_id,
            "children": children,
            "action": pick(("CANCEL", "KILL")),
            "policy": pick(("CANCEL_ALL", "CANCEL_PENDING", "FLOW_ONLY")),
            "grace_ms": pick((None, 0, 1_000, 86_400_000)),
        }
        return self._at_home("CancelFlow", value, flow_id)

    def _absurd(self, names: tuple[str, ...]) -> Strange:
        name = self.random.choice(names)
        value = self._any.record(name)
        return self._placed(name, value)

    def _forged(self) -> Strange:
        """As a worker might write it, but for one field or two: its number may be the one that is awaited."""
        name = self.random.choice(WORKERS)
        value = self._any.record(name)
        keep = set(self.random.sample(sorted(value), self.random.randrange(3)))
        made = self._sense() | (self._sense_of_flows() if name in OF_FLOWS else {})
        sense = {field: made[field] for field in made if field in value and field not in keep}
        return self._placed(name, value | sense)

    def _sense(self) -> dict[str, Any]:
        """Values that a worker might write, by field."""
        pick = self.random.choice
        near = self.random.randrange(pick((5, 50, 500)))
        time = pick((1_700_000_000_000, 1_800_000_000_000, 4_000_000_000_000))
        return {
            "engine_version": ENGINE_VERSION,
            "partition": self._anywhere(),
            "batch_id": self._batch_id(),
            "lead": self._anywhere(),
            "slice_partition": self._anywhere(),
            "action": pick(("CANCEL", "KILL", "PAUSE", "RESUME", "PURGE")),
            "filter": pick(_FILTERS),
            "dry_run": pick((False, True)),
            "grace_ms": pick((0, 1_000, 86_400_000)),
            "on_timeout": pick(("KILL", "LEAVE")),
            "cause": {},
            "budget": pick((None, None, 0, 5, 2**63 - 1)),
            "max_rate": pick((None, None, 100.0, 1e-6, 1e9)),
            "standing_until": pick((None, None, None, time)),
            "page": near,
            "release_no": near,
            "tick_no": near,
            "max_scanned": pick((1, 2, 100, 100_000)),
            "max_matched": pick((1, 2, 100, 100_000)),
            "max_rows": pick((1, 2, 100, 100_000)),
            "operation": pick(("FORGET", "PAUSE", "RESUME", "ABORT", "SET_RATE", "GRANT", "LIFT")),
            "phase": pick(("STARTED", "PAGES_DONE", "DRAINED")),
            "cutoff": near,
            "acted": pick((0, 5, 2**63 - 1)),
            "after": pick((-1, near)),
            "due_until": time,
            "ended_before": time - pick((0, 86_400_000)),
            "batches_ended_before": time - pick((0, 86_400_000)),
            "reconcile_interval_ms": 15_000,
            "reconcile_labels": {},
        }

    def _sense_of_flows(self) -> dict[str, Any]:
        """The same of the records about flows and their members."""
        pick = self.random.choice
        flow_id, children = self._flow_name()
        count = pick((1, 3, 40, 2_000))
        return {
            "flow_id": flow_id,
            "children": children,
            "member_partition": self._anywhere(),
            "action": pick(("CANCEL", "KILL")),
            "policy": pick(("CANCEL_ALL", "CANCEL_PENDING", "FLOW_ONLY")),
            "answer": pick(("NOT_FOUND", "KEPT", "FAILED", "CANCELLING")),
            "seqs": sorted(self.random.sample(range(pick((count, 5_000))), count)),
            "invocation_ids": [],
            "labels": {},
            "restarted": False,
            "restarted_seq": -1,
            "revision": pick((-1, 0, 2**63 - 1)),
        }

    def _foreign(self) -> Strange:
        made = self.random.choice(
            (
                None,
                b"",
                b"\0" + struct.pack(">I", self.random.getrandbits(32)) + self._valid_bytes()[10:],
                json.dumps(self._valid_invoke(), default=str).encode(),
                self.random.randbytes(self.random.randrange(200)),
                b"\xc3\x01" + self.random.randbytes(self.random.randrange(60)),
                b"\xc3\x01",
            )
        )
        return Strange("", self._anywhere(), self.random.choice((None, b"", b"key")), made, [])

    def _damaged(self) -> Strange:
        name = self.random.choice((*CLIENTS, *WORKERS))
        value = bytearray(encoded(name, self._any.record(name)))
        if self.random.random() < 0.3:
            value = value[: self.random.randrange(len(value))]
        elif self.random.random() < 0.3:
            value += self.random.randbytes(self.random.randrange(1, 30))
        else:
            for _ in range(self.random.randrange(1, 4)):
                value[self.random.randrange(min(10, len(value) - 1), len(value))] = self.random.randrange(256)
        return Strange("", self._anywhere(), b"damaged", bytes(value), [])

    def _large(self) -> Strange:
        """Compresses well, so that the broker takes it."""
        size = int(self._largest * self.random.choice((0.1, 0.24, 0.26, 0.49, 0.51, 0.7, 0.9)))
        text = "z" * size
        invoke = self._valid_invoke()
        match self.random.randrange(7):
            case 0:
                invoke["payload"] = text.encode()
            case 1:
                invoke["invocation"]["labels"] = {f"l-{n}": "z" * 1_000 for n in range(size // 1_010)}
            case 2:
                return self._placed("StartBatch", self._wide_batch({"object_keys": ["z" * 200] * (size // 202)}))
            case 3:
                return self._placed("StartSlice", self._slice({"invocation_ids": [f"s-{n}" for n in range(size // 8)]}))
            case 4:
                return self._placed("StartSlice", self._slice({"labels": {f"{n}": "z" for n in range(size // 10)}}))
            case 5:
                return Strange("", self._anywhere(), text.encode(), b"bad", [])
            case _:
                return Strange("", self._anywhere(), b"key", b"bad", [("h" * 1_000, text.encode())])
        return self._at_home("Invoke", invoke, invoke["invocation"]["invocation_id"])

    def _wide_batch(self, filter_: dict[str, Any]) -> dict[str, Any]:
        return {"batch_id": self._batch_id(), "action": "KILL", "filter": filter_}

    def _slice(self, filter_: dict[str, Any]) -> dict[str, Any]:
        value = self._any.record("StartSlice")
        batch_id, own = self._batch_id(), self.random.randrange(self.partitions)
        return value | {
            "engine_version": ENGINE_VERSION,
            "partition": own,
            "lead": own,
            "batch_id": batch_id,
            "filter": filter_,
        }

    # --- parts ---

    def _batch_id(self) -> str:
        return f"b-{self.random.randrange(_BATCHES)}"

    def _flow_id(self) -> str:
        return f"f-{self.random.randrange(_FLOWS)}"

    def _flow_name(self) -> tuple[str, bool]:
        """A named flow, or the children of one of the shared ids."""
        children = self.random.random() < 0.5
        return (f"s-{self.random.randrange(_MINE)}" if children else self._flow_id()), children

    def _anywhere(self) -> int:
        return self.random.randrange(self.partitions)

    def _valid_bytes(self) -> bytes:
        return encoded("Invoke", self._valid_invoke())

    def _at_home(self, name: str, value: dict[str, Any], id_: str) -> Strange:
        """On the partition of its id, or now and then on another."""
        key = id_.rpartition("~")[0] if "~" in id_ and name != "StartBatch" else id_
        home = murmur2(key.encode(), self.partitions) if self.random.random() < 0.95 else self._anywhere()
        return Strange("", home, key.encode(), encoded(name, value), [])

    def _placed(self, name: str, value: dict[str, Any]) -> Strange:
        own = value.get("partition", -1)
        partition = own if 0 <= own < self.partitions and self.random.random() < 0.9 else self._anywhere()
        return Strange("", partition, b"k", encoded(name, value), [])

    def _disguised(self, record: Strange) -> Strange:
        """Another key, and headers."""
        key = self.random.choice((None, b"", b"\xff\xfe", b"k" * 5_000))
        headers = [("trace", b"00-1"), ("", b""), ("none", None), ("trace", self.random.randbytes(20)), ("é", b"\xff")]
        return record._replace(key=key, headers=[*headers[: self.random.randrange(1, 6)]])

    def _common(self) -> dict[str, Any]:
        """Values of sense by field: one bad field would hide all others."""
        return {
            "engine_version": ENGINE_VERSION,
            "partition": self._anywhere(),
            "lead": self._anywhere(),
            "slice_partition": self._anywhere(),
            "batch_id": self._batch_id(),
            "flow_id": self._flow_id(),
            "member_partition": self._anywhere(),
            "invocation_id": f"s-{self.random.randrange(_MINE)}",
            "handler": "run",
        }
