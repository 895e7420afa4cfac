"""The rules and the dashboard of `deploy/`, and a real Prometheus (Debian's package) that runs them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from streams.broker.base import free_port
from support.service.programs import ROOT
from support.service.scrape import get

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

FOLDER = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "streams.json"
_COMPARED = re.compile(r"\s*(?:==|[<>]=?)\s*[\d.]+(?:e\d+)?(?=\s|\)|$)")
_RULE = re.compile(
    r"- alert: (?P<name>\w+)\n +expr: (?:>-\n)?(?P<expr>.*?)\n +(?:for|labels):.*?\n"
    r" +runbook: (?P<runbook>\S+)",
    flags=re.DOTALL,
)


def require(*programs: str) -> None:
    """Skip where a program is missing."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        pytest.skip(f"not installed: {', '.join(missing)} (Debian's package prometheus has both)")


def alerts() -> list[dict[str, str]]:
    """Name, expression and runbook of each alert."""
    text = (FOLDER / "rules.yml").read_text(encoding="utf-8")
    found = [match.groupdict() for match in _RULE.finditer(text)]
    assert len(found) == text.count("- alert: ")
    return [each | {"expr": " ".join(each["expr"].split())} for each in found]


def without_thresholds(expression: str) -> str:
    """What an alert looks at, whether it is too much or not."""
    return _COMPARED.sub("", expression)


def panel_queries() -> Iterator[tuple[str, str]]:
    """Title and query of each target of each panel."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]


class Prometheus:
    """A Prometheus with the project's configuration, whose targets are the given addresses by job."""

    def __init__(self, folder: Path, targets: Mapping[str, Sequence[str]], every_s: int = 1) -> None:
        config = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
        for job, addresses in targets.items():
            of_job = re.compile(rf"(job_name: {job}\n.*?targets: )\[[^]]*\]", flags=re.DOTALL)
            config, changed = of_job.subn(rf"\g<1>{json.dumps(list(addresses))}", config)
            assert changed == 1, job
        config = re.sub(r"_interval: \d+s", f"_interval: {every_s}s", config)
        (folder / "prometheus.yml").write_text(config)
        shutil.copy(FOLDER / "rules.yml", folder)
        self.address = f"127.0.0.1:{free_port()}"
        self._log = (folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.address}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        status, body = get(f"http://{self.address}/api/v1/query?{urlencode({'query': expression})}")
        assert status == 200, (expression, body)
        found: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return found

    def await_data(self, expression: str, seconds: float) -> bool:
        """Wait until a query returns something; whether it did."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if self.query(expression):
                    return True
            except OSError:
                assert self._process.poll() is None, "prometheus has ended"
            time.sleep(0.5)
        return False

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)
        self._log.close()
