"""The producer of commands: what each verb sends, and what it refuses to send."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError

from streams.client import Client, Delivery, DeliveryError, InvalidCommandError, TopicMissingError
from streams.client.outlet import Outlet
from streams.config import Topic
from streams.model import (
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    Cause,
    ControlBatch,
    ControlOperation,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    OnTimeout,
    ReportTransition,
    StartBatch,
    Status,
)
from streams.protocol import validation
from support.kafka.fake_cluster import FakeCluster
from support.service.client_world import ClientWorld

if TYPE_CHECKING:
    from streams.model import ClientCommand


def test_each_verb_sends_its_command() -> None:
    """With what was said, and nothing else; an id is made when none is given."""
    world = ClientWorld()
    with Client(world.settings, world.cluster) as client:
        own = client.invoke("mail", "send", b"x", invocation_id="own", scheduled_at=5, labels={"k": "v"}, lease_ms=9)
        member = client.invoke("mail", "send", flow_id="f", parent_id="own")
        made = client.invoke("mail", "send")
        keyed = client.invoke("cart", "add", object_key="42")
        adopted = client.adopt("mail", "send", invocation_id="adopted")
        client.kill("a", reason="r", actor="me")
        client.cancel("b", grace_ms=7, on_timeout=OnTimeout.LEAVE, reason="r")
        client.pause("c", actor="me")
        client.resume("c", reason="r")
        client.purge("d")
        client.restart("e", reason="r")
        client.cancel_flow("f", grace_ms=5, reason="r", actor="me")
        client.cancel_flow("a", action=FlowAction.KILL, policy=CancelPolicy.CANCEL_PENDING, children=True)
        client.start_batch(StartBatch("batch", Action.KILL, Filter(match_all=True)))
        client.control_batch("batch", ControlOperation.SET_RATE, max_rate=2.5)
    assert (own, adopted) == ("own", "adopted")
    assert keyed.startswith("cart/42~")
    sent = {repr(each) for each in (_plain(command) for command in world.commands())}
    expected = [
        Invoke(Invocation("own", "mail", "send", lease_ms=9, labels={"k": "v"}), scheduled_at=5, payload=b"x"),
        Invoke(Invocation(member, "mail", "send", flow_id="f", parent_id="own")),
        Invoke(Invocation(made, "mail", "send")),
        Invoke(Invocation(keyed, "cart", "add", object_key="42")),
        Invoke(Invocation("adopted", "mail", "send"), adopt=True),
        Act("a", Action.KILL, cause=Cause(actor="me", reason="r")),
        Act("b", Action.CANCEL, 7, OnTimeout.LEAVE, cause=Cause(reason="r")),
        Act("c", Action.PAUSE, cause=Cause(actor="me")),
        Act("c", Action.RESUME, cause=Cause(reason="r")),
        Act("d", Action.PURGE),
        Act("e", Action.RESTART, cause=Cause(reason="r")),
        CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, 5, reason="r", actor="me"),
        CancelFlow("a", FlowAction.KILL, CancelPolicy.CANCEL_PENDING, children=True),
        StartBatch("batch", Action.KILL, Filter(match_all=True)),
        ControlBatch("batch", ControlOperation.SET_RATE, max_rate=2.5),
    ]
    assert sent == {repr(each) for each in expected}


def _plain(command: Any) -> Any:
    """Without what the codec carries along, and the number that time gave."""
    match command:
        case Invoke():
            return Invoke(command.invocation, command.scheduled_at, command.adopt, command.payload)
        case ControlBatch():
            assert command.control_no is not None
            assert command.control_no > 1_700_000_000_000_000
            return ControlBatch(command.batch_id, command.operation, None, command.max_rate, command.actor)
        case _:
            return command


def _invoke(invocation_id: str = "a", payload: bytes | None = None, **fields: Any) -> Invoke:
    return Invoke(Invocation(invocation_id, fields.pop("service", "s"), "h", **fields), payload=payload)


@pytest.mark.parametrize(
    ("code", "message", "command"),
    [
        ("invalid_invocation_id", "Invoke.invocation_id is empty: give 1 to 256", _invoke("")),
        ("invalid_invocation_id", "Invoke.invocation_id has 300 characters, at most 256", _invoke("x" * 300)),
        ("invalid_service", "Invoke.service holds a control character: remove it", _invoke(service="a\nb")),
        ("invalid_object_key", "Invoke.object_key is empty", _invoke(object_key="")),
        ("invalid_payload", "Invoke.payload has 262145 bytes, at most 262144", _invoke(payload=b"x" * 262_145)),
        ("invalid_lease_ms", "Invoke.lease_ms is 0: give 1 to", _invoke(lease_ms=0)),
        ("invalid_labels", "Invoke.labels 'k' has 1001 characters", _invoke(labels={"k": "v" * 1_001})),
        ("invalid_labels", "has 65 labels, at most 64 are allowed", _invoke(labels={f"{n}": "v" for n in range(65)})),
        ("malformed", "Invoke holds a value of a wrong type", _invoke(labels={"k": 3})),
        ("invalid_error", "ReportTransition.error has", ReportTransition("a", 1, error="x" * 1_001)),
        ("invalid_retry_at", "ReportTransition.retry_at is missing", ReportTransition("a", 1, to=Status.BACKING_OFF)),
        ("invalid_grace_ms", "Act.grace_ms is -1: give 0 to", Act("a", Action.CANCEL, -1)),
        ("invalid_filter", "StartBatch.filter.match_all is not set", StartBatch("b", Action.KILL, Filter())),
        ("invalid_batch_id", "ControlBatch.batch_id is empty", ControlBatch("", ControlOperation.ABORT)),
        ("invalid_flow_id", "CancelFlow.flow_id", CancelFlow("", FlowAction.KILL, CancelPolicy.CANCEL_ALL)),
    ],
)
def test_a_command_that_breaks_a_rule_is_not_sent(code: str, message: str, command: ClientCommand) -> None:
    """The error names the field, the rule and the way out, and has the code that a dead letter would have."""
    world = ClientWorld()
    with Client(world.settings, world.cluster) as client, pytest.raises(InvalidCommandError) as caught:
        client.send(command)
    assert caught.value.code == code
    assert message in str(caught.value)
    assert world.commands() == []


def test_a_command_that_is_too_large_as_a_whole_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the bounds of its fields are."""
    world = ClientWorld()
    monkeypatch.setattr(validation, "MAX_PAYLOAD", 2**21)
    with Client(world.settings, world.cluster) as client, pytest.raises(InvalidCommandError) as caught:
        client.send(_invoke(payload=b"x" * 2**20))
    assert (caught.value.code, world.commands()) == ("too_large", [])
    assert "at most 1048576 are allowed" in str(caught.value)


def test_what_this_version_does_not_do_may_be_sent() -> None:
    """Whether it is supported is for the workers to say: they may be newer than the client."""
    world = ClientWorld()
    with Client(world.settings, world.cluster) as client:
        client.start_batch(StartBatch("b", Action.PAUSE, Filter(match_all=True), limit=3))
    assert len(world.commands()) == 1


def test_undelivered_commands_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the callback, and by the next flush, which counts them; then they are forgotten."""
    world = ClientWorld()
    deliveries: list[Delivery] = []
    client = Client(world.settings, world.cluster)
    client.invoke("s", "h", invocation_id="good", on_delivery=deliveries.append)
    client.flush()
    world.refuse()
    for number in range(30):
        client.invoke("s", "h", invocation_id=f"bad-{number}", on_delivery=deliveries.append)
    with pytest.raises(DeliveryError, match=r"30 command\(s\) .*\(bad-0, bad-1, bad-2, \.\.\.\)") as caught:
        client.flush()
    assert (caught.value.count, len(caught.value.keys)) == (30, 20)
    client.close()
    assert [each.error is None for each in deliveries] == [True] + [False] * 30
    assert [each.key for each in deliveries[:2]] == ["good", "bad-0"]
    monkeypatch.setattr(validation, "MAX_COMMAND", 10**9)
    monkeypatch.setattr(validation, "MAX_PAYLOAD", 10**9)
    client.send(_invoke("huge", payload=b"v" * 2_200_000))
    with pytest.raises(DeliveryError, match="huge"):
        client.close()


@pytest.mark.parametrize(
    ("code", "told"), [(KafkaError._MSG_TIMED_OUT, True), (KafkaError.TOPIC_AUTHORIZATION_FAILED, False)]
)
def test_what_a_broker_has_answered_is_the_whole_cause(code: int, told: bool) -> None:  # noqa: FBT001
    """An older complaint explains a time-out, and nothing else."""
    world = ClientWorld()
    callbacks: list[Any] = []

    class Clients(FakeCluster):
        def producer(self, properties: Any) -> Any:
            properties["error_cb"](KafkaError(KafkaError._TRANSPORT, "connection refused"))
            made = SimpleNamespace(poll=lambda _: 0)
            made.produce = lambda *_, on_delivery, **__: callbacks.append(on_delivery)
            return made

    deliveries: list[Delivery] = []
    Outlet(world.settings, Clients()).put(Act("i", Action.KILL), deliveries.append)
    callbacks[0](KafkaError(code), None)
    assert ("connection refused" in (deliveries[0].error or "")) is told


def test_a_full_queue_makes_it_wait() -> None:
    """The client serves deliveries until there is room."""
    world = ClientWorld(queue_buffering_max_messages="10")
    with Client(world.settings, world.cluster) as client:
        for number in range(100):
            client.invoke("s", "h", invocation_id=f"{number}")
    assert len(world.commands()) == 100


def test_a_missing_topic_is_named() -> None:
    """With the way out."""
    world = ClientWorld()
    world.cluster.delete_topic(world.settings.topic(Topic.COMMANDS))
    with pytest.raises(TopicMissingError, match=r"t\.commands does not exist at .*topics create"):
        Client(world.settings, world.cluster)
