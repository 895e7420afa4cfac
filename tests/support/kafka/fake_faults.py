"""Faults: what a test makes happen at which step of which client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException

if TYPE_CHECKING:
    from collections.abc import Callable


class Crash(BaseException):
    """The process dies here: no handler runs, no client says goodbye."""


def failure(
    code: int, *, fatal: bool = False, retriable: bool = False, abortable: bool = False, text: str | None = None
) -> KafkaException:
    """A KafkaException as librdkafka raises it."""
    return KafkaException(KafkaError(code, text, fatal, retriable, abortable))


class Faults:
    """Every operation of every client is a step with a name; a test raises what it likes there.

    Steps: `init`, `begin`, `produce`, `produce_batch`, `flush`, `poll`, `send_offsets`, `send_offsets:after`,
    `commit:before`, `commit:after`, `abort:before`, `abort:after`; `consume`, `seek`, `pause`, `resume`, `assign`,
    `unassign`, `committed`, `commit`, `commit:done`, `close`; `list_offsets`, `describe_groups`. `:after` and
    `:done` mean that the broker has done it already: a crash there loses only the answer.
    """

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.hook: Callable[[str], None] | None = None
        self._planned: dict[int, BaseException] = {}
        self._named: dict[str, list[tuple[int, BaseException]]] = {}
        self._seen: dict[str, int] = {}

    def crash_at(self, step: int, error: BaseException | None = None) -> None:
        """Raise at the step of this number, counted from now (0 is the next one)."""
        self._planned[len(self.steps) + step] = Crash(f"step {step}") if error is None else error

    def fail(self, name: str, error: BaseException, nth: int = 1) -> None:
        """Raise when the step of this name comes for the nth time from now."""
        self._named.setdefault(name, []).append((self._seen.get(name, 0) + nth, error))

    def cancel(self) -> None:
        """Plan nothing any more."""
        self.hook = None
        self._planned.clear()
        self._named.clear()

    def clear(self) -> None:
        """Plan nothing any more; the list of steps is empty."""
        self.cancel()
        self.steps.clear()
        self._seen.clear()

    def step(self, name: str) -> None:
        """Called by the clients at every operation."""
        number = len(self.steps)
        self.steps.append(name)
        self._seen[name] = self._seen.get(name, 0) + 1
        if self.hook is not None:
            self.hook(name)
        if (error := self._planned.pop(number, None)) is not None:
            raise error
        for planned in self._named.get(name, []):
            if planned[0] == self._seen[name]:
                raise planned[1]
