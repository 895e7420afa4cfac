"""The health of a loop, a worker's and a gateway's alike."""

from __future__ import annotations

import pytest

from streams.gateway import observer as of_gateway
from streams.gateway.observer import GatewayObserver
from streams.worker import observer as of_worker
from streams.worker.observer import WorkerObserver
from streams.worker.page_sizes import FIRST


@pytest.mark.parametrize("gateway", [False, True])
def test_a_loop_that_does_not_come_round_is_neither_live_nor_ready(*, gateway: bool) -> None:
    """A stuck process is restarted, and gets no work while it is stuck; one that comes round is live."""
    now = 1_000.0
    name, within_s = "streams_gateway_loop_age_seconds", of_gateway.LIVE_WITHIN_S
    observer: GatewayObserver | WorkerObserver = GatewayObserver(lambda: now)
    if not gateway:
        name, within_s = "streams_loop_age_seconds", of_worker.LIVE_WITHIN_S
        observer = WorkerObserver(lambda: 0, lambda: now)
    now += within_s - 1
    assert observer.live().ok
    now += 2
    age_s = within_s + 1
    why = f"the loop has not come round for {age_s:.0f} s"
    assert observer.live() == (False, {"live": False, "loop_age_seconds": age_s, "why": why})
    assert observer.ready().body["why"] == "the loop does not come round"
    assert observer.registry.get_sample_value(name) == age_s
    if isinstance(observer, GatewayObserver):
        observer.look()
    else:
        observer.came_round((), FIRST, lambda _: None)
    assert observer.live().ok
