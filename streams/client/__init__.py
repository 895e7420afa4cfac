"""The public names for Python producers, progress readers and executors."""

from streams.client.aio import AsyncClient
from streams.client.dead_letters import DeadLetter, DeadLetterReader
from streams.client.errors import (
    BatchTimeoutError,
    DeliveryError,
    FlowTimeoutError,
    InvalidCommandError,
    UnreadableProgressError,
    UnreadableSignalError,
)
from streams.client.executor import Context, Executor, HandlerCancelledError, Retry, Suspend
from streams.client.ids import new_batch_id, new_invocation_id
from streams.client.outlet import Delivery
from streams.client.producer import Client
from streams.client.progress import CANCELLED_STATES, FlowReader, ProgressReader
from streams.kafka.errors import BrokerUnavailableError, TopicMissingError
from streams.model import FINAL_STATES
from streams.protocol.routing import routing_key

__all__ = [
    "CANCELLED_STATES",
    "FINAL_STATES",
    "AsyncClient",
    "BatchTimeoutError",
    "BrokerUnavailableError",
    "Client",
    "Context",
    "DeadLetter",
    "DeadLetterReader",
    "Delivery",
    "DeliveryError",
    "Executor",
    "FlowReader",
    "FlowTimeoutError",
    "HandlerCancelledError",
    "InvalidCommandError",
    "ProgressReader",
    "Retry",
    "Suspend",
    "TopicMissingError",
    "UnreadableProgressError",
    "UnreadableSignalError",
    "new_batch_id",
    "new_invocation_id",
    "routing_key",
]
