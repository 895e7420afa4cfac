"""What the api says of the merge beside it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from streams.gateway.api.serve import Merge
from streams.supervision.sockets import listening


@pytest.mark.parametrize(
    ("answer", "why", "metrics"),
    [
        (b"200 OK\r\nContent-Length: 2\r\n\r\n{}", None, b"{}"),
        (b'503 Busy\r\nContent-Length: 11\r\n\r\n{"why":"x"}', "x", b'{"why":"x"}'),
        (b"200 OK\r\nContent-Length: 9\r\n\r\n{", "it does not answer", b""),
        (b"500 Bug\r\nContent-Length: 2\r\n\r\noh", "it does not answer", b"oh"),
    ],
)
def test_a_merge_that_dies_in_its_answer_is_not_ready(
    answer: bytes, why: str | None, metrics: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is this machine's: no proxy of the environment is asked in its place."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    def serve(socket: Any) -> None:
        for _ in range(2):
            with socket.accept()[0] as asked:
                asked.recv(4_096)
                asked.sendall(b"HTTP/1.1 " + answer)

    with listening("127.0.0.1:0", "") as socket:
        threading.Thread(target=serve, args=(socket,), daemon=True).start()
        merge = Merge(socket.getsockname()[1])
        health = asyncio.run(merge.ready())
        assert (health.ok, health.body.get("why")) == (why is None, why)
        assert asyncio.run(merge.metrics()) == metrics
