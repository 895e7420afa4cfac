"""Records that no command can be made of, or that are too large, are dead letters, and nothing is kept of them."""

from __future__ import annotations

import gc
import inspect
import weakref
from contextlib import closing
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import streams.worker.worker  # noqa: F401 - so that every record of the worker is known
from streams import codec
from streams.config import Topic
from streams.model import Action, Filter, Invocation, Invoke
from streams.model.base import Record
from streams.protocol.batch_validation import filter_fault
from streams.protocol.routing import partition_of
from streams.protocol.validation import labels_fault
from streams.state.store import Store
from streams.state.table import Table
from streams.worker import intake, items
from streams.worker.page_sizes import FIRST
from streams.worker.task import PartitionTask
from support.service.worker_world import PARTITIONS, World

_MIB = 1024 * 1024


class _Message:
    def __init__(self, value: bytes | None, key: bytes = b"k") -> None:
        self._key, self._value = key, value

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes | None:
        return self._value


def _subclasses(kind: type[Any]) -> list[type[Any]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_subclasses(sub))]


def _mentions_an_exception(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, BaseException):
        return True
    return any(map(_mentions_an_exception, getattr(hint, "__args__", ())))


def test_no_record_can_hold_an_exception() -> None:
    """The collector does not follow a `Record`: an exception in one leads back to it, and both would stay for ever."""
    hints = get_type_hints(items.Item)
    assert "bad" in hints
    for field, hint in hints.items():
        assert not _mentions_an_exception(hint), field
    for kind in _subclasses(Record):
        for field, text in inspect.get_annotations(kind).items():
            assert "Error" not in str(text), f"{kind.__name__}.{field}"
            assert "Exception" not in str(text), f"{kind.__name__}.{field}"


def test_a_share_with_bad_records_of_every_kind_leaves_nothing_alive() -> None:
    """Undecodable, unknown, missing and too large: once the input is done, its messages are gone."""
    task = PartitionTask(0, Store.open(Path(":memory:"), 0), Path("x"))
    task.table = Table(task.store, 0, PARTITIONS, FIRST)
    values = [codec.encode(Invoke(Invocation("a", "s", "h"))), b"bad", b"\xc3\x01" + b"\x01" * 20, None, b"x" * _MIB]
    messages = [_Message(value) for value in values]
    alive = [weakref.ref(message) for message in messages]
    task.backlog += items.items_of(messages, 1)
    del messages
    input_ = intake.take_input(task)
    assert [item.bad is not None for item in input_.items] == [False, True, True, True, True]
    del input_
    gc.collect()
    assert [ref() for ref in alive] == [None] * len(values)
    task.store.close()


def test_what_is_too_large_becomes_a_dead_letter_that_fits_and_the_partition_goes_on(tmp_path: Path) -> None:
    """Key and value count together, before anything is decoded; both are cut in the dead letter."""
    with closing(World(tmp_path)) as world:
        labels = {f"label-{n}": "x" * 1_000 for n in range(2_500)}
        huge = codec.encode(Invoke(Invocation("big", "s", "h", labels=labels)))
        home = partition_of("ok", PARTITIONS)
        world.log(huge, "big", home)
        world.log(b"bad", "k" * 3_000_000, home)
        world.invoke(Invoke(Invocation("ok", "s", "h")))
        world.run_until_idle()
        assert world.statuses() == {"ok": "READY"}
        topic = world.settings.topic(Topic.DEAD_LETTERS)
        letters = world.cluster.records(topic)
        assert [dict(each.headers or ())["error-code"] for each in letters] == [b"too_large", b"too_large"]
        for each in letters:
            assert len(each.key or b"") + len(each.value or b"") < 2 * _MIB - 20_000
        assert dict(letters[0].headers or ())["value-truncated"] == str(len(huge)).encode()
        assert dict(letters[1].headers or ())["key-truncated"] == b"3000000"
        world.assert_log_and_changelog_agree()


def test_headers_of_a_producer_stay_with_its_record(tmp_path: Path) -> None:
    """As they were where it is forwarded, under another name in its dead letter."""
    with closing(World(tmp_path)) as world:
        commands, own = world.settings.topic(Topic.COMMANDS), [("traceparent", b"00-1"), ("tenant", b"acme")]
        home = partition_of("a", PARTITIONS)
        stray = codec.encode(Invoke(Invocation("a", "s", "h")))
        world.cluster.append((commands, 1 - home), b"a", stray, own)
        world.cluster.append((commands, home), b"k", b"bad", own)
        world.run_until_idle()
        assert world.statuses() == {"a": "READY"}
        forwarded = world.cluster.records(commands, home)[-1]
        assert (forwarded.value, forwarded.headers) == (stray, own)
        (letter,) = world.cluster.records(world.settings.topic(Topic.DEAD_LETTERS))
        assert list(letter.headers or ())[-2:] == [("original.traceparent", b"00-1"), ("original.tenant", b"acme")]


@pytest.mark.parametrize(
    ("labels", "refused"),
    [
        ({f"{n}": "v" for n in range(64)}, False),
        ({f"{n}": "v" for n in range(65)}, True),
        ({f"{n}": "x" * 1_000 for n in range(64)}, False),
        ({f"{n}": "é" * 600 for n in range(64)}, True),
    ],
    ids=["64 labels", "65 labels", "64 kB", "more in bytes than in characters"],
)
def test_labels_are_bounded_in_number_and_in_bytes(labels: dict[str, str], refused: bool) -> None:  # noqa: FBT001
    """Of an invocation and of a filter alike."""
    assert (labels_fault(labels) is not None) is refused
    assert (filter_fault(Filter(labels=labels), Action.KILL) is not None) is refused


@pytest.mark.parametrize(
    ("payload", "header"),
    [(0, 3_000_000), (0, _MIB), (_MIB - 60, 0), (0, 100_000)],
    ids=["3 MB of headers", "1 MiB of headers", "no room for framing", "small enough"],
)
def test_a_stray_that_cannot_be_forwarded_becomes_a_dead_letter(tmp_path: Path, payload: int, header: int) -> None:
    """Headers count, as they do at the broker: what it would refuse must not stop the worker or be tried for ever."""
    with closing(World(tmp_path)) as world:
        commands, home = world.settings.topic(Topic.COMMANDS), partition_of("a", PARTITIONS)
        value = codec.encode(Invoke(Invocation("a", "s", "h"), payload=b"x" * payload))
        world.cluster.append((commands, 1 - home), b"a", value, [("tenant", b"x" * header)])
        world.invoke(Invoke(Invocation("ok", "s", "h")))
        world.run_until_idle()
        fits = not payload and header < _MIB
        assert world.statuses() == ({"a": "READY", "ok": "READY"} if fits else {"ok": "READY"})
        letters = world.cluster.records(world.settings.topic(Topic.DEAD_LETTERS))
        assert [dict(each.headers or ())["error-code"] for each in letters] == ([] if fits else [b"too_large"])
        world.assert_log_and_changelog_agree()
