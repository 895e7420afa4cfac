"""A service on the session's broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.service.harness import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.broker import Broker


@pytest.fixture
def service(broker: Broker, tmp_path: Path) -> Iterator[Service]:
    """Topics, and a worker."""
    with Service(broker.bootstrap, tmp_path, 4) as made:
        made.worker("w", STREAMS_WORKER_HTTP="127.0.0.1:0")
        yield made
