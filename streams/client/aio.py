"""The producer of commands for asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from streams.client import compose
from streams.client.errors import DeliveryError
from streams.client.outlet import Delivery, Outlet
from streams.client.producer import Failures
from streams.config import Topic
from streams.kafka.clients import KafkaClients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Unpack

    from streams.config import Settings
    from streams.kafka.clients import Clients
    from streams.model import ClientCommand, ControlOperation, StartBatch

_EVERY_S = 0.002


class AsyncClient:
    """Like `Client`, for asyncio: an awaited command is in the log when the call returns, or the call has raised.

    Use it as an async context manager, in one event loop. It has no thread of its own: while deliveries are awaited,
    the loop checks for them every few milliseconds. Send many commands with `send_all`, or with `queue` and a later
    `flush`. `own`: librdkafka properties of the producer, with `_` for the dots; the settings may change them.
    """

    def __init__(self, settings: Settings, clients: Clients | None = None, **own: Any) -> None:
        self._settings = settings
        self._clients = clients or KafkaClients()
        self._own = own
        self.partitions = 0
        """The number of partitions of the log, once connected."""
        self._outlet: Outlet | None = None
        self._all = _Group()
        self._queued = _Group()
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers within 10 s.
            TopicMissingError: the command topic does not exist.
        """
        outlet = Outlet(self._settings, self._clients, **self._own)
        found = await asyncio.to_thread(outlet.require_topics)
        self.partitions = len(found[self._settings.topic(Topic.COMMANDS)].partitions)
        self._outlet = outlet
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
            return
        try:
            await self.close()
        except DeliveryError as undelivered:
            error.add_note(str(undelivered))

    async def invoke(
        self,
        service: str,
        handler: str,
        payload: bytes | None = None,
        *,
        scheduled_at: int | None = None,
        **options: Unpack[compose.InvocationOptions],
    ) -> str:
        """Log an invocation and return its id; arguments as for `Client.invoke`."""
        command = compose.invoke(service, handler, payload, scheduled_at, options)
        await self.send(command)
        return command.invocation.invocation_id

    async def adopt(
        self,
        service: str,
        handler: str,
        payload: bytes | None = None,
        **options: Unpack[compose.InvocationOptions],
    ) -> str:
        """Log an invocation that already runs elsewhere, and return its id; arguments as for `Client.adopt`."""
        command = compose.adopt(service, handler, payload, options)
        await self.send(command)
        return command.invocation.invocation_id

    async def kill(self, invocation_id: str, **options: Unpack[compose.ActOptions]) -> None:
        """Log a kill: the invocation ends at once, whatever its executor does."""
        await self.send(compose.kill(invocation_id, **options))

    async def cancel(self, invocation_id: str, **options: Unpack[compose.CancelOptions]) -> None:
        """Log a cancel: the executor of the invocation is asked to end it."""
        await self.send(compose.cancel(invocation_id, **options))

    async def pause(self, invocation_id: str, **options: Unpack[compose.ActOptions]) -> None:
        """Log a pause: the invocation is held where it is, and its executor is told to stop."""
        await self.send(compose.pause(invocation_id, **options))

    async def resume(self, invocation_id: str, **options: Unpack[compose.ActOptions]) -> None:
        """Log the end of a pause: an invocation that was started starts again, with its next attempt."""
        await self.send(compose.resume(invocation_id, **options))

    async def restart(self, invocation_id: str, **options: Unpack[compose.ActOptions]) -> None:
        """Log a restart: the ended invocation runs again from its beginning, with its payload, as its next attempt."""
        await self.send(compose.restart(invocation_id, **options))

    async def purge(self, invocation_id: str, **options: Unpack[compose.ActOptions]) -> None:
        """Log a purge: the ended invocation is removed for good."""
        await self.send(compose.purge(invocation_id, **options))

    async def cancel_flow(self, flow_id: str, **options: Unpack[compose.FlowCancelOptions]) -> Delivery:
        """Log the cancel of a flow, and return its place in the log; as `Client.cancel_flow`."""
        return await self.send(compose.cancel_flow(flow_id, options))

    async def start_batch(self, start: StartBatch) -> str:
        """Log a batch and return its id. Sending it again with the same id and content changes nothing."""
        await self.send(start)
        return start.batch_id

    async def control_batch(
        self, batch_id: str, operation: ControlOperation, **options: Unpack[compose.ControlOptions]
    ) -> None:
        """Pause, resume, abort or throttle a batch."""
        await self.send(compose.control(batch_id, operation, options))

    async def send(self, command: ClientCommand) -> Delivery:
        """Log any command and return its place in the log. If the call is cancelled, the command may still be logged.

        Raises:
            InvalidCommandError: it breaks a rule of the protocol; nothing was sent.
            DeliveryError: the broker did not take it.
        """
        return await (await self._put(command, _Group()))

    async def send_all(self, commands: Iterable[ClientCommand]) -> int:
        """Log many commands, in order within a partition, and return their number.

        Raises:
            InvalidCommandError: one breaks a rule; those before it were sent.
            DeliveryError: the broker did not take some; the error counts them.
        """
        group, count = _Group(), 0
        try:
            for command in commands:
                await self._put(command, group)
                count += 1
        finally:
            await group.idle.wait()
        group.failures.throw()
        return count

    async def queue(self, command: ClientCommand) -> asyncio.Future[Delivery]:
        """Queue any command; waits only while the local queue is full. The future gives the outcome.

        A failure raises from the future, and also from the next `flush` or `close`.
        """
        return await self._put(command, self._queued)

    async def flush(self) -> None:
        """Wait until every queued command is in the log.

        Raises:
            DeliveryError: some commands since the last `flush` did not get there.
        """
        await self._queued.idle.wait()
        self._queued.failures.throw()

    async def close(self) -> None:
        """Wait for all that was sent, then close. Raises like `flush`; the client must not be used afterwards."""
        await self._all.idle.wait()
        await self.flush()

    async def _put(self, command: ClientCommand, group: _Group) -> asyncio.Future[Delivery]:
        future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

        def told(delivery: Delivery) -> None:
            _settle(future, delivery)
            group.left(delivery)
            self._all.left(delivery)

        while not self._queue_has_room_for(command, told):
            self._room.clear()
            self._serve_later()
            await self._room.wait()
        for each in (group, self._all):
            each.entered()
        self._serve_later()
        return future

    def _queue_has_room_for(self, command: ClientCommand, told: Callable[[Delivery], None]) -> bool:
        if self._outlet is None:
            raise RuntimeError("the client is not connected: use it as `async with AsyncClient(settings) as client`")
        try:
            self._outlet.put(command, told)
        except BufferError:
            return False
        return True

    def _serve_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY_S, self._serve)

    def _serve(self) -> None:
        self._timer = None
        if self._outlet is not None:
            self._outlet.serve()
        self._room.set()
        if not self._all.idle.is_set():
            self._serve_later()


class _Group:
    """Commands whose deliveries are awaited together; `idle` while there are none."""

    def __init__(self) -> None:
        self.failures = Failures()
        self.idle = asyncio.Event()
        self.idle.set()
        self._inside = 0

    def entered(self) -> None:
        """Count one more awaited delivery."""
        self._count(1)

    def left(self, delivery: Delivery) -> None:
        """Count one delivery that is known."""
        self.failures.add(delivery)
        self._count(-1)

    def _count(self, by: int) -> None:
        # A command that fails at once leaves before it has entered.
        self._inside += by
        if self._inside:
            self.idle.clear()
        else:
            self.idle.set()


def _settle(future: asyncio.Future[Delivery], delivery: Delivery) -> None:
    if future.done():
        return  # whoever waited has given up
    if delivery.error is None:
        future.set_result(delivery)
        return
    future.set_exception(DeliveryError(1, (delivery.key,), delivery.error))
    future.exception()  # reported by `flush`, too: asyncio need not complain if nobody awaits this one
