"""What a Python producer or progress reader imports."""

from streams.client.errors import (
    BatchTimeoutError,
    BrokerUnavailableError,
    DeliveryError,
    TopicMissingError,
    UnreadableProgressError,
)
from streams.client.ids import new_batch_id, new_invocation_id, routing_key
from streams.client.producer import Client, Delivery
from streams.client.progress import FINAL_STATES, ProgressReader

__all__ = [
    "FINAL_STATES",
    "BatchTimeoutError",
    "BrokerUnavailableError",
    "Client",
    "Delivery",
    "DeliveryError",
    "ProgressReader",
    "TopicMissingError",
    "UnreadableProgressError",
    "new_batch_id",
    "new_invocation_id",
    "routing_key",
]
