"""The replay of dead letters: their originals are sent again, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from streams.client.outlet import BY_KEY, Outlet
from streams.client.producer import Failures
from streams.model import ClientCommand, Internal
from streams.protocol.routing import command_key

if TYPE_CHECKING:
    from streams.client.dead_letters import DeadLetter
    from streams.config import Settings
    from streams.kafka.clients import Clients

_CLIENTS = get_args(ClientCommand)
_WORKERS = get_args(Internal)


APPLIED = "with the code clock_ahead, the records were applied and there is nothing to send"


def was_applied(letter: DeadLetter) -> bool:
    """True if it only names places of records that were applied although their timestamps were too far ahead."""
    return letter.code == "clock_ahead"


def why_not(letter: DeadLetter) -> str | None:
    """The reason why a dead letter cannot be sent again; None if it can."""
    if was_applied(letter):
        return APPLIED
    if letter.truncated is not None:
        return f"its value was cut, of {letter.truncated:,} bytes: send the original from where it came from"
    if letter.key_truncated is not None:
        return f"its key was cut, of {letter.key_truncated:,} bytes: send the original from where it came from"
    if letter.source_partition is None:
        return "its header source-partition is missing: nobody knows where it belongs"
    return None


def send_again(settings: Settings, clients: Clients, letters: list[DeadLetter]) -> None:
    """Send the originals, unchanged and in this order; returns once all are in the log.

    Raises:
        DeliveryError: the broker did not take some.
    """
    outlet, failures = Outlet(settings, clients), Failures()
    outlet.require_topics()
    for letter in letters:
        key, partition = place_of(letter)
        while not _queued(outlet, letter, key, partition, failures):
            outlet.serve(0.1)
    outlet.flush(-1)
    failures.throw()


def _queued(outlet: Outlet, letter: DeadLetter, key: bytes | None, partition: int, failures: Failures) -> bool:
    try:
        outlet.put_record(key, letter.value, failures.add, partition, [*letter.headers])
    except BufferError:
        return False
    return True


def place_of(letter: DeadLetter) -> tuple[bytes | None, int]:
    """Key and partition of the replay. A routed command goes where its value says, all else back to its old place."""
    command = letter.decoded
    if isinstance(command, _CLIENTS):
        return command_key(command).encode(), BY_KEY
    if isinstance(command, _WORKERS):
        return letter.key, command.partition
    return letter.key, BY_KEY if letter.source_partition is None else letter.source_partition
