"""Alert rules and dashboard, by Prometheus itself: they are valid, fire when they should, and have data."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from streams.broker.base import free_port
from streams.client import ProgressReader
from streams.model import Action, CancelFlow, CancelPolicy, Filter, FlowAction, Invocation, Invoke, StartBatch
from support.service.harness import Service
from support.service.programs import ROOT
from support.service.prometheus import FOLDER, Prometheus, alerts, panel_queries, require, without_thresholds
from support.service.scrape import Served
from support.service.worker_world import invocations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.broker import Broker

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

PATIENCE_S = 60.0


@pytest.mark.parametrize("words", ["check config prometheus.yml", "check rules rules.yml", "test rules rules_test.yml"])
def test_promtool_accepts(words: str) -> None:
    """The configuration and the rules are valid, and the rules' own tests hold."""
    require("promtool")
    done = subprocess.run(["promtool", *words.split()], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def prometheus(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped a service at work: starts, ends of all kinds, a batch, a flow, a bad record."""
    require("prometheus")
    folder = tmp_path_factory.mktemp("observed")
    with Service(broker.bootstrap, folder) as service:
        worker = Served(service.worker("w", STREAMS_WORKER_HTTP="127.0.0.1:0", STREAMS_WORKER_PROCESSES="2"))
        gateway = Served(service.program("gateway", ["gateway"], STREAMS_GATEWAY_HTTP="127.0.0.1:0"))
        executor_at = f"127.0.0.1:{free_port()}"
        executor = subprocess.Popen(
            [sys.executable, ROOT / "docs" / "examples" / "python" / "executor.py"],
            env={**os.environ, "PYTHONPATH": str(ROOT), **service.environment, "STREAMS_EXECUTOR_HTTP": executor_at},
        )
        targets = {
            "streams-worker": [worker.address.removeprefix("http://")],
            "streams-gateway": [gateway.address.removeprefix("http://")],
            "streams-executor": [executor_at],
        }
        started = Prometheus(folder, targets)
        try:
            worker.await_ready()
            gateway.await_ready()
            assert started.await_data('up{job="streams-executor"} == 1', PATIENCE_S)
            for _ in range(5):
                work(service)
            yield started
        finally:
            started.stop()
            executor.terminate()
            executor.wait(30)


def work(service: Service) -> None:
    """Some of all that the metrics tell."""
    mark = str(time.time_ns())
    later = time.time_ns() // 1_000_000 + 3_600_000
    service.send(*invocations(range(20), prefix=mark))
    service.send(*(Invoke(Invocation(f"later-{mark}-{n}", "mail", "run"), scheduled_at=later) for n in range(50)))
    service.send(*(Invoke(Invocation(f"f-{mark}-{n}", "mail", "run", flow_id=f"f-{mark}")) for n in range(5)))
    service.send(CancelFlow(f"f-{mark}", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=1_000))
    service.send_raw(b"garbage")
    service.start_batch(StartBatch(f"kill-{mark}", Action.KILL, Filter(services=("mail",))))
    for _ in ProgressReader(service.settings).follow(f"kill-{mark}", PATIENCE_S):
        pass


@pytest.mark.parametrize(("panel", "query"), [pytest.param(*each, id=each[0]) for each in panel_queries()])
def test_each_query_of_the_dashboard_has_data(prometheus: Prometheus, panel: str, query: str) -> None:
    """A panel that stays empty looks like a service that does nothing."""
    assert prometheus.await_data(query.replace("$__rate_interval", "30s"), PATIENCE_S), panel


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["name"])
def test_each_alert_looks_at_something(prometheus: Prometheus, alert: dict[str, str]) -> None:
    """Without its threshold it has a value: an alert on a misspelt name would never fire."""
    assert prometheus.await_data(without_thresholds(alert["expr"]), PATIENCE_S), alert["expr"]


def test_the_alert_on_dead_letters_fires(prometheus: Prometheus) -> None:
    """A bad record was sent: from the metric to the alert, all of it works."""
    firing = 'ALERTS{alertname="StreamsDeadLetters",alertstate="firing",code="not_avro"}'
    assert prometheus.await_data(firing, PATIENCE_S)
