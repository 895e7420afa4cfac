"""The API's metrics about itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from streams.metrics import OfApi, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

_STREAM = b"text/event-stream"


class ApiObserver(Collector):
    """Counts the requests of an ASGI application that it is put around; `streams`: number of those open now."""

    def __init__(self, streams: Callable[[], int]) -> None:
        self._streams = streams
        self._merge_up = 0.0
        self._requests = OfApi.REQUESTS.total()
        self._seconds = OfApi.REQUEST_SECONDS.distribution()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self, of_merge: bytes) -> bytes:
        """All metrics of the gateway as text: these, and those that the merge gives; empty if it gives none."""
        self._merge_up = float(bool(of_merge))
        return generate_latest(self._registry) + of_merge

    def collect(self) -> Iterator[Metric]:
        """The samples of one scrape."""
        yield from counted(self)
        for metric, value in ((OfApi.STREAMS, self._streams()), (OfApi.MERGE_UP, self._merge_up)):
            family = metric.family()
            family.add_metric([], value)
            yield family

    def answered(self, status: int, took_s: float | None) -> None:
        """Count a request; `took_s`: None for a stream, which takes as long as its reader wants."""
        self._requests.add(1, f"{status // 100}xx")
        if took_s is not None:
            self._seconds.observe(took_s)


class Observed:
    """An ASGI application whose requests are counted."""

    def __init__(self, app: Any, observer: ApiObserver) -> None:
        self._app, self._observer = app, observer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the request on, and count it at the end of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status, is_stream = 500, False

        async def noted(message: Any) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                is_stream = any(value.startswith(_STREAM) for _, value in message.get("headers", ()))
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._observer.answered(status, None if is_stream else time.perf_counter() - began)
