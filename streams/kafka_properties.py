"""The librdkafka properties that are the service's own."""

from __future__ import annotations

from typing import Final

OWNED_PROPERTIES: Final = {
    "bootstrap.servers": "set STREAMS_BOOTSTRAP_SERVERS instead",
    "metadata.broker.list": "set STREAMS_BOOTSTRAP_SERVERS instead",
    "group.id": "set STREAMS_GROUP_ID instead",
    "group.instance.id": "set STREAMS_WORKER_ID instead",
    "transactional.id": "set STREAMS_WORKER_ID instead",
    "transaction.timeout.ms": "set STREAMS_TRANSACTION_TIMEOUT_MS instead",
    "session.timeout.ms": "set STREAMS_SESSION_TIMEOUT_MS instead",
    "auto.offset.reset": "exactly-once depends on it, so it is fixed",
    "enable.auto.commit": "exactly-once depends on it, so it is fixed",
    "auto.commit.enable": "exactly-once depends on it, so it is fixed",
    "enable.auto.offset.store": "exactly-once depends on it, so it is fixed",
    "enable.idempotence": "exactly-once depends on it, so it is fixed",
    "isolation.level": "exactly-once depends on it, so it is fixed",
    "acks": "exactly-once depends on it, so it is fixed",
    "request.required.acks": "exactly-once depends on it, so it is fixed",
    "delivery.report.only.error": "exactly-once depends on it, so it is fixed",
    "partitioner": "routing depends on it, so it is fixed",
    "queuing.strategy": "the order of records depends on it, so it is fixed",
    "enable.partition.eof": "reading depends on it, so it is fixed",
    "partition.assignment.strategy": "handing partitions over depends on it, so it is fixed (cooperative-sticky)",
    "group.protocol": "handing partitions over depends on it, so it is fixed (classic)",
    "group.protocol.type": "handing partitions over depends on it, so it is fixed",
    "group.remote.assignor": "handing partitions over depends on it, so it is fixed",
    "heartbeat.interval.ms": "set STREAMS_SESSION_TIMEOUT_MS instead, of which it is a part",
    "offset.store.method": "exactly-once depends on it, so it is fixed",
    "enable.gapless.guarantee": "the order of records is kept without it",
    "message.max.bytes": "the largest record depends on it, so it is fixed",
    "topic.blacklist": "reading depends on it, so it is fixed",
    "allow.auto.create.topics": "topics are made by `streams topics create`, never on the way",
    "api.version.request": "exactly-once depends on it, so it is fixed",
    "broker.version.fallback": "exactly-once depends on it, so it is fixed",
    "default.topic.config": "set the properties in it by variables of their own",
    "logger": "programs log in their own way: STREAMS_LOG_LEVEL and STREAMS_LOG_FORMAT",
    "test.mock.num.brokers": "set STREAMS_BOOTSTRAP_SERVERS instead",
}
"""librdkafka properties that a user may not set, and the way out."""
