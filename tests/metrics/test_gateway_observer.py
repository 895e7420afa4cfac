"""A gateway's metrics and health, as it sees its Faust app."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

from streams.gateway.observer import GatewayObserver
from streams.metrics import OfEach, OfGateway, metrics_of


class Place(NamedTuple):
    """A partition, as Faust names it."""

    topic: str
    partition: int


class Consumer:
    """What the observer asks of Faust's consumer."""

    def __init__(self, read: dict[Place, int | None], ends: dict[Place, int | None]) -> None:
        self._read_offset, self._ends = read, ends

    def assignment(self) -> set[Place]:
        """All places."""
        return set(self._ends)

    def highwater(self, place: Place) -> int | None:
        """The last stable offset."""
        return self._ends[place]


def app_with(consumer: Consumer | None) -> Any:
    """As much of an app as is looked at."""
    tables = {"progress": {b"b-1": b"", b"b-2": b""}}
    return SimpleNamespace(consumer=consumer, tables=tables, rebalancing=False, in_recovery=False, rebalancing_count=1)


def lags(observer: GatewayObserver) -> dict[str, float]:
    """Lag by partition."""
    (family,) = [each for each in observer.registry.collect() if each.name == OfGateway.LAG.name]
    return {sample.labels["partition"]: sample.value for sample in family.samples}


def test_it_is_ready_once_its_table_is_whole_and_while_it_has_partitions() -> None:
    """Not while it starts, recovers, rebalances or has nothing to read; the answer says which."""
    observer = GatewayObserver()
    observer.look()
    assert observer.ready() == (False, {"ready": False, "why": "it starts", "partitions": []})
    app = app_with(Consumer({}, {Place("s", 0): 0, Place("s", 2): None, Place("other", 1): 0}))
    observer.started(app, "s")
    assert observer.ready() == (True, {"ready": True, "partitions": [0, 2]})
    for change, why in (
        ({"rebalancing": True}, "the group rebalances"),
        ({"in_recovery": True}, "the table is being recovered"),
        ({"consumer": Consumer({}, {})}, "no partitions assigned"),
    ):
        app.__dict__.update(vars(app_with(app.consumer)) | change)
        observer.look()
        assert not observer.ready().ok
        assert observer.ready().body["why"] == why


def test_lag_is_what_has_not_been_read_up_to_the_last_stable_offset() -> None:
    """A partition of which nothing was read yet lags by all it has."""
    observer = GatewayObserver()
    ends = {Place("s", 0): 10, Place("s", 1): 7, Place("s", 2): None}
    observer.started(app_with(Consumer({Place("s", 0): 6, Place("s", 1): None}, ends)), "s")
    assert lags(observer) == {"0": 3, "1": 7, "2": 0}


def test_merges_and_rebalances_are_counted() -> None:
    """Each merge once, and rebalances as Faust has counted them since the last look."""
    observer = GatewayObserver()
    app = app_with(Consumer({}, {Place("s", 0): 0}))
    observer.started(app, "s")
    app.rebalancing_count = 3
    observer.look()
    observer.merged(50, 4, 0.25)
    value = observer.registry.get_sample_value
    assert value("streams_gateway_rebalances_total") == 3
    assert value("streams_gateway_records_total") == 50
    assert value("streams_gateway_published_total") == 4
    assert value("streams_gateway_merge_seconds_sum") == 0.25
    assert value("streams_gateway_batches") == 2


def test_a_look_that_fails_leaves_what_was_seen_before() -> None:
    """Faust in the middle of something is no reason to end, nor to forget."""
    observer = GatewayObserver()
    app = app_with(Consumer({}, {Place("s", 0): 5}))
    observer.started(app, "s")
    app.consumer = None
    observer.look()
    assert observer.ready().ok
    assert lags(observer) == {"0": 5}


def test_a_gateway_serves_all_that_is_defined() -> None:
    """A definition that nothing fills would be a promise of the docs that is not kept."""
    served = {family.name for family in GatewayObserver().registry.collect()}
    defined = [*metrics_of(OfEach), *metrics_of(OfGateway)]
    assert served == {metric.name.removesuffix("_total") for metric in defined}
