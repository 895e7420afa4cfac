"""One partition of the model: what it remembers, and what one command makes of it, in the most obvious way.

Written from the protocol alone: nothing of the engine or of the store is used here, only the records, which are the
contract. What the protocol leaves to the engine (which partition gets a share of a limit next, how long a rate makes a
slice wait, where a page of such a slice ends) is taken from what the engine did, and held against what is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar

from streams.model import ContinueFlow, ContinueSlice, ControlSlice, Flow, Signal, SignalKind, Slice, StartSlice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.model import Cause, Command, Invocation
    from support.reference import state
    from support.reference.state import FlowName, Lead, Part, Row

ChosenT = TypeVar("ChosenT", StartSlice, ControlSlice)


class Refused(Exception):  # noqa: N818 - as the protocol calls it
    """The command is a dead letter; `code` is its error-code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Seen(NamedTuple):
    """What the engine did with the same command, for what the protocol leaves to it.

    `slice`, `flow`: a slice, a flow after the command. `appended`: (partition, command) for the log; `signals`: to
    executors.
    """

    slice: Callable[[str], Slice | None]
    appended: Sequence[tuple[int, Command]]
    signals: Sequence[Signal] = ()
    flow: Callable[[FlowName], Flow | None] = lambda _: None


@dataclass
class Outcome:
    """What a command must lead to, besides what the partition then remembers.

    `appended` holds internal commands with what is the engine's choice left out; `next_page`: batches and flows of
    which one must be named by the next page, empty when none may be written. `wrong`: choices that the engine may not
    make.
    """

    refused: str | None = None
    signals: list[Signal] = field(default_factory=list)
    appended: list[tuple[int, Command]] = field(default_factory=list)
    next_page: set[str | FlowName] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


class Partition:
    """A partition's table, and the command at hand: its offset and time, what the engine did, what must come of it."""

    def __init__(
        self, number: int, partitions: int, home: Callable[[str], int], home_of_flow: Callable[[FlowName], int]
    ) -> None:
        self.number = number
        self.partitions = partitions
        self.home = home
        self.home_of_flow = home_of_flow
        self.rows: dict[str, Row] = {}
        self.leads: dict[str, Lead] = {}
        self.parts: dict[str, Part] = {}
        self.flows: dict[FlowName, state.Flow] = {}
        self.page = 0
        self.outstanding = False
        self.tick_no = 0
        self.release_no = 0
        self.releasing = False
        self.touched: list[Invocation] = []
        self.over: list[Row] = []
        self.given_up: list[Row] = []
        self.asked_for_nothing: list[int] = []
        self.restarted: list[Row] = []
        self.at_the_door: state.Flow | None = None
        self.handed: set[FlowName] = set()
        self.reconciled_at = 0
        self.reconcile_labels: dict[str, str] = {}
        self.clock = 0
        self.offset = -1
        self.seen = Seen(lambda _: None, ())
        self.out = Outcome()

    def at(self, offset: int, timestamp: int, seen: Seen) -> Outcome:
        """The next command stands here."""
        self.offset, self.clock, self.seen, self.out = offset, max(self.clock, timestamp), seen, Outcome()
        self.touched, self.over, self.given_up, self.asked_for_nothing = [], [], [], []
        self.at_the_door, self.handed, self.restarted = None, set(), []
        return self.out

    def in_order(self) -> list[Row]:
        """All rows in order of seq."""
        return sorted(self.rows.values(), key=lambda row: row.seq)

    def signal(self, kind: SignalKind, row: Row, repeat: int = 0, cause: Cause | None = None) -> None:
        """Tell the row's executor; START brings the payload."""
        payload = row.invoke.payload if kind is SignalKind.START else None
        sent = Signal(kind, row.invoke.invocation, row.seq, row.attempt, repeat, self.clock, payload, cause)
        self.out.signals.append(sent)

    def touch(self, row: Row) -> None:
        """Its object may be free, or have another head, when the command is done."""
        self.touched.append(row.invoke.invocation)

    def append(self, partition: int, command: Command) -> None:
        """Write to the log in the same transaction."""
        self.out.appended.append((partition, command))

    def chosen(self, kind: type[ChosenT], batch_id: str) -> list[tuple[int, ChosenT]]:
        """What the engine wrote of one kind for a batch."""
        return [(to, each) for to, each in self.seen.appended if isinstance(each, kind) and each.batch_id == batch_id]

    def wrong(self, what: str) -> None:
        """The engine chose what it may not."""
        self.out.wrong.append(what)

    def turn_page(self, candidates: Sequence[str | FlowName]) -> None:
        """One page is outstanding, if any slice or flow takes turns; it names one of `candidates`."""
        self.outstanding = bool(candidates)
        if candidates:
            self.page += 1
            self.out.next_page = set(candidates)

    def keep_turning(self) -> None:
        """A slice or a flow takes turns from now on: a page of it follows, unless one is outstanding already."""
        if not self.outstanding:
            self.turn_page([*self.taking_turns(), *self.flows_taking_turns()])

    def taking_turns(self) -> list[str]:
        """Batches whose slice takes turns, in order of their cut-off."""
        taking = [part for part in self.parts.values() if part.takes_turns]
        return [part.start.batch_id for part in sorted(taking, key=lambda part: part.cutoff)]

    def flows_taking_turns(self) -> list[FlowName]:
        """Flows that have members to ask, or may have: when all have been looked at is the engine's choice."""
        found = {name: self.seen.flow(name) for name in self.flows}
        return [name for name, flow in found.items() if flow is not None and (flow.cursors or flow.recheck_left)]


def page_of(command: Command) -> str | FlowName | None:
    """Whose page this command is, if it is one that is numbered."""
    match command:
        case ContinueSlice():
            return command.batch_id
        case ContinueFlow():
            return command.children, command.flow_id
        case _:
            return None


def never(what: str) -> NoReturn:
    """The model has been asked for what the protocol does not know."""
    raise AssertionError(what)
