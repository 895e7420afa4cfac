"""A producer of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from streams.client import compose
from streams.client.errors import DeliveryError
from streams.client.outlet import Delivery, Outlet
from streams.kafka.clients import KafkaClients

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Unpack

    from streams.config import Settings
    from streams.kafka.clients import Clients
    from streams.model import ClientCommand, ControlOperation, StartBatch

    OnDelivery = Callable[[Delivery], None]

_WAIT = 0.2


class Client:
    """Sends commands to the log, each to the partition of its routing key.

    Nothing is dropped silently: a command that breaks a rule is refused at once, and one that the broker did not take
    makes the next `flush` or `close` raise. Use it as a context manager, or call `close`. Not safe for use by several
    threads at once.

    Raises:
        BrokerUnavailableError: on creation, when no broker answers within 10 s.
        TopicMissingError: on creation, when the command topic does not exist.
    """

    def __init__(self, settings: Settings, clients: Clients | None = None) -> None:
        self._failures = Failures()
        self._outlet = Outlet(settings, clients or KafkaClients())
        self._outlet.require_topics()

    def invoke(
        self,
        service: str,
        handler: str,
        payload: bytes | None = None,
        *,
        scheduled_at: int | None = None,
        on_delivery: OnDelivery | None = None,
        **options: Unpack[compose.InvocationOptions],
    ) -> str:
        """Queue an invocation, and return its id; like `send`.

        Args:
            service: the service it belongs to.
            handler: the handler that its executor calls.
            payload: bytes for the handler, at most 256 KiB.
            scheduled_at: milliseconds since 1970; started at once when absent.
            on_delivery: as for `send`.
            options: `InvocationOptions`.
        """
        command = compose.invoke(service, handler, payload, scheduled_at, options)
        self.send(command, on_delivery)
        return command.invocation.invocation_id

    def adopt(
        self,
        service: str,
        handler: str,
        payload: bytes | None = None,
        *,
        on_delivery: OnDelivery | None = None,
        **options: Unpack[compose.InvocationOptions],
    ) -> str:
        """Queue an invocation that already runs elsewhere: it is RUNNING at once, no executor is told to start it."""
        command = compose.adopt(service, handler, payload, options)
        self.send(command, on_delivery)
        return command.invocation.invocation_id

    def kill(self, invocation_id: str, **options: Unpack[compose.ActOptions]) -> None:
        """Queue a kill: the invocation ends at once, whatever its executor does; like `send`."""
        self.send(compose.kill(invocation_id, **options))

    def cancel(self, invocation_id: str, **options: Unpack[compose.CancelOptions]) -> None:
        """Queue a cancel: the executor of the invocation is asked to end it; like `send`."""
        self.send(compose.cancel(invocation_id, **options))

    def pause(self, invocation_id: str, **options: Unpack[compose.ActOptions]) -> None:
        """Queue a pause: the invocation is held where it is, and its executor is told to stop; like `send`."""
        self.send(compose.pause(invocation_id, **options))

    def resume(self, invocation_id: str, **options: Unpack[compose.ActOptions]) -> None:
        """Queue the end of a pause: an invocation that was started starts again, with its next attempt; like `send`."""
        self.send(compose.resume(invocation_id, **options))

    def restart(self, invocation_id: str, **options: Unpack[compose.ActOptions]) -> None:
        """Queue a restart: the ended invocation runs again from its beginning, as its next attempt; like `send`."""
        self.send(compose.restart(invocation_id, **options))

    def purge(self, invocation_id: str, **options: Unpack[compose.ActOptions]) -> None:
        """Queue a purge: the ended invocation is removed for good; like `send`."""
        self.send(compose.purge(invocation_id, **options))

    def cancel_flow(
        self, flow_id: str, *, on_delivery: OnDelivery | None = None, **options: Unpack[compose.FlowCancelOptions]
    ) -> None:
        """Queue the cancel of a flow: its members end, wherever they are, those who join later too; like `send`.

        An unknown flow is created, cancelled. Again, it changes nothing but to try failed members once more, unless it
        asks for more: a KILL after a CANCEL, or a policy that reaches more members.
        """
        self.send(compose.cancel_flow(flow_id, options), on_delivery)

    def send(self, command: ClientCommand, on_delivery: OnDelivery | None = None) -> None:
        """Queue a command; returns before the broker has it, and waits only while the local queue is full.

        `on_delivery` is called once, from within a later call of this client, with the place in the log or the error.

        Raises:
            InvalidCommandError: it breaks a rule of the protocol; nothing was sent.
        """

        def told(delivery: Delivery) -> None:
            self._failures.add(delivery)
            if on_delivery is not None:
                on_delivery(delivery)

        while True:
            try:
                self._outlet.put(command, told)
            except BufferError:
                self._outlet.serve(_WAIT)
            else:
                break
        self._outlet.serve()

    def start_batch(self, start: StartBatch) -> str:
        """Start a batch and return its id once the command is in the log.

        Sending it again with the same id and content changes nothing, so a failed call may be repeated.

        Raises:
            InvalidCommandError: it breaks a rule; nothing was sent.
            DeliveryError: the broker did not take it, or another command queued before it.
        """
        self.send(start)
        self.flush()
        return start.batch_id

    def control_batch(
        self, batch_id: str, operation: ControlOperation, **options: Unpack[compose.ControlOptions]
    ) -> None:
        """Pause, resume, abort or throttle a batch; returns once the command is in the log.

        Raises:
            DeliveryError: the broker did not take it, or another command queued before it.
        """
        self.send(compose.control(batch_id, operation, options))
        self.flush()

    def flush(self) -> None:
        """Wait until the broker has every queued command.

        Ends at the latest when librdkafka gives up, after `message.timeout.ms` (5 minutes unless set otherwise).

        Raises:
            DeliveryError: some commands since the last `flush` did not get there.
        """
        while self._outlet.flush(_WAIT):
            pass
        self._failures.throw()

    def close(self) -> None:
        """Flush, then close. Raises like `flush`; the client must not be used afterwards."""
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except DeliveryError as undelivered:
            error.add_note(str(undelivered))


class Failures:
    """Failed deliveries, kept until they are reported."""

    _KEYS_KEPT = 20

    def __init__(self) -> None:
        self._count = 0
        self._keys: list[str] = []
        self._cause = ""

    def add(self, delivery: Delivery) -> None:
        """Remember a delivery if it failed."""
        if delivery.error is None:
            return
        self._count += 1
        self._cause = delivery.error
        if len(self._keys) < self._KEYS_KEPT:
            self._keys.append(delivery.key)

    def throw(self) -> None:
        """Raise a `DeliveryError` for the remembered failures, and forget them."""
        if self._count:
            error = DeliveryError(self._count, tuple(self._keys), self._cause)
            self._count, self._keys = 0, []
            raise error
