"""Parents and children on a real broker: the end of a parent is that of all its descendants, whoever dies meanwhile."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from streams.config import Topic
from streams.model import (
    TERMINAL,
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    Cause,
    FlowAction,
    Invocation,
    Invoke,
    SignalKind,
)
from support.service import oracle
from support.service.background_executor import Executor, obliging
from support.service.flow_watch import check_reasons, ids_on, kept, quiet, shared, signals_of
from support.service.workload import DAY_MS, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from support.kafka.reading import TopicReader
    from support.service.harness import Service

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]

DEPTH = 5
REASON = "the end of the root"


class _Joining:
    """Children that join parents of a tree, and one another."""

    def __init__(self, service: Service, tree: Sequence[str], at_once: int) -> None:
        self.joined: list[str] = []
        self._service = service
        self._tree = tree
        self._at_once = at_once
        self._chance = random.Random(4711)

    def more(self) -> None:
        """Some more join."""
        names = [f"late-{len(self.joined) + number}" for number in range(self._at_once)]
        parents = [
            self._chance.choice(self.joined if self.joined and n % 4 == 0 else self._tree) for n in range(len(names))
        ]
        made = [Invocation(name, "late", "run", parent_id=parent) for name, parent in zip(names, parents, strict=True)]
        self._service.send_many(map(Invoke, made))
        self.joined += names


def _tree(levels: list[list[str]]) -> Iterator[Invoke]:
    """The invocations of each level, children of the one before; every fourth is to start tomorrow."""
    tomorrow = now_ms() + DAY_MS
    for depth, names in enumerate(levels):
        above: Sequence[str | None] = levels[depth - 1] if depth else [None]
        fan = len(names) // len(above)
        for number, name in enumerate(names):
            invocation = Invocation(name, f"level-{depth}", "run", parent_id=above[number // fan])
            yield Invoke(invocation, tomorrow if number % 4 == 3 else None)


def _levels_killed(service: Service, reader: TopicReader, joining: _Joining) -> Iterator[int]:
    """Levels, each once somebody of it was killed, the root's not; meanwhile children join."""
    killed: set[str] = set()
    for level in range(1, DEPTH):
        while f"level-{level}" not in killed:
            service.require_programs(f"nobody of level {level} was killed")
            joining.more()
            killed |= {each.invocation.service for each in signals_of(reader.more(0.05), SignalKind.KILL)}
        yield level


@pytest.mark.chaos
def test_a_tree_ends_with_its_root_while_workers_die_and_children_join(
    make_service: Callable[..., Service], scale: float
) -> None:
    """Five levels over all partitions; at each, the worker of the next is killed as soon as that level's turn comes."""
    service = make_service()
    a, b = service.worker("a"), service.worker("b")
    owned = shared(service, a, b)
    fan = round((100_000 * scale**3) ** (1 / (DEPTH - 1)))
    of = service.partitions
    levels = [list(islice(ids_on(owned["ab"[n % 2]], of, f"tree-{n}"), fan**n)) for n in range(DEPTH)]
    tree = [name for names in levels for name in names]
    service.send_many(_tree(levels))
    quiet(service)
    root = Act(levels[0][0], Action.KILL, cause=Cause(reason=REASON, actor="tests"))
    joining = _Joining(service, tree, int(50 * scale))
    with service.reader(Topic.SIGNALS) as signals:
        signals.to_end()
        b.kill9()
        service.send(root)
        b.start()
        for level in _levels_killed(service, signals, joining):
            victim = a if level % 2 else b
            victim.kill9()
            victim.start()
    joining.more()
    quiet(service)
    changelog = service.read(Topic.CHANGELOG)
    table = oracle.fold(changelog)
    assert len(table.rows) == len(tree) + len(joining.joined)
    check_reasons(table, lambda _: REASON)
    entries = service.read(Topic.SIGNALS)
    sent = oracle.check_signals(entries)
    started = {place for place, row in table.rows.items() if row.attempt}
    assert {place for place, kind in sent if kind is SignalKind.KILL} == started
    assert set(sent.values()) == {1}
    assert {each.cause.actor for each in signals_of(entries, SignalKind.KILL) if each.cause} == {"tests"}
    assert kept(changelog, "g") == set()
    assert service.read(Topic.DEAD_LETTERS) == []
    print(f"{len(tree)} invocations of a tree, {len(joining.joined)} that joined")  # noqa: T201
    service.check_flows()
    service.verify()


def _ring(name: str, size: int) -> list[Invoke]:
    """Each is the child of the next, the last of the first; and each has another child outside."""
    ids = [f"{name}-{number}" for number in range(size)]
    ring = [Invocation(each, name, "run", parent_id=ids[(n + 1) % size]) for n, each in enumerate(ids)]
    others = [Invocation(f"{each}-child", name, "run", parent_id=each) for each in ids]
    return [Invoke(each) for each in (*ring, *others)]


def test_cycles_end(make_service: Callable[..., Service]) -> None:
    """Rings over all partitions, killed and cancelled at one place, and one that is its own parent: all end, once."""
    service = make_service()
    a, b = service.worker("a"), service.worker("b")
    rings = {"killed": 12, "cancelled": 12, "oneself": 1}
    service.send_many(each for name, size in rings.items() for each in _ring(name, size))
    service.await_partitions(a, b)
    quiet(service)
    cause = Cause(reason=REASON)

    with Executor(service, obliging):
        service.send(Act("killed-3", Action.KILL, cause=cause), Act("oneself-0", Action.KILL, cause=cause))
        service.send(
            CancelFlow("cancelled-7", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, 60_000, reason=REASON, children=True)
        )
        with service.reader(Topic.CHANGELOG) as rows:
            while any(row.status not in TERMINAL for row in oracle.fold(rows.to_end()).rows.values()):
                service.require_programs("rows are left")
        quiet(service)
    changelog = service.read(Topic.CHANGELOG)
    table = oracle.fold(changelog)
    assert len(table.rows) == 2 * sum(rings.values())
    check_reasons(table, lambda _: REASON)
    entries = service.read(Topic.SIGNALS)
    oracle.check_signals(entries)
    stops = [*signals_of(entries, SignalKind.KILL), *signals_of(entries, SignalKind.CANCEL)]
    asked = Counter(each.invocation.service for each in stops if not each.repeat)
    assert asked == {name: 2 * size for name, size in rings.items()}
    assert kept(changelog, "g") == set()
    service.check_flows()
    service.verify()
