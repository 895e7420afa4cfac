"""What `deploy/`, the compose file and `.env.example` say of metrics, pages and settings exists."""

from __future__ import annotations

import re

import pytest
import yaml

from streams import metrics
from streams.config import Settings, variable
from support import pages
from support.service.programs import ROOT
from support.service.prometheus import DASHBOARD, FOLDER, alerts, panel_queries, without_thresholds

SUFFIXES = ("_bucket", "_sum", "_count", "")
NAMES = {metric.name for role in metrics.ROLES for metric in metrics.metrics_of(role)}


def used(expression: str) -> set[str]:
    """The names of this project's metrics in a query, histograms without their endings."""
    found = set(re.findall(r"\bstreams_[a-z_]+", re.sub(r'"[^"]*"', "", expression)))
    whole = [[name.removesuffix(end) for end in SUFFIXES if name.removesuffix(end) in NAMES] for name in found]
    return {known[0] if known else name for known, name in zip(whole, found, strict=True)}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["name"])
def test_an_alert_is_about_metrics_that_exist_and_leads_to_a_runbook(alert: dict[str, str]) -> None:
    """Its names are those of the definitions, and the section that it names is there."""
    assert used(alert["expr"]) <= NAMES
    assert without_thresholds(alert["expr"]) != alert["expr"]
    page, _, anchor = alert["runbook"].partition("#")
    assert anchor in pages.anchors(ROOT / page)


@pytest.mark.parametrize(("panel", "query"), [pytest.param(*each, id=each[0]) for each in panel_queries()])
def test_a_panel_is_about_metrics_that_exist(panel: str, query: str) -> None:
    """A misspelt name would be an empty panel."""
    assert used(query) <= NAMES, panel


def test_every_alert_is_told_on_the_page_of_operations() -> None:
    """With its name, so that whoever is woken finds it."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(Streams\w+)`", section)) == {alert["name"] for alert in alerts()}
    assert (FOLDER / "rules_test.yml").exists()


COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SETTINGS = {variable(field) for field in Settings.model_fields if field != "kafka"}


def test_the_compose_file_sets_what_exists() -> None:
    """A misspelt setting would be ignored where no program reads one like it."""
    services = COMPOSE["services"]
    given = {name for each in services.values() for name in each.get("environment", {}) if name.startswith("STREAMS_")}
    assert given <= SETTINGS
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    static = [each for job in config["scrape_configs"] for each in job["static_configs"]]
    scraped = {target for each in static for target in each["targets"]}
    served = {
        f"{name}:8080"
        for name, each in services.items()
        if any(re.fullmatch(r"STREAMS_\w+_HTTP", setting) for setting in each.get("environment", {}))
    }
    assert scraped == served


def test_nothing_is_published_beyond_this_machine_and_images_are_pinned() -> None:
    """Whoever tries the stack on a laptop in a train opens nothing to the others."""
    for name, each in COMPOSE["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", ())), name
        assert "image" not in each or re.search(r":v?\d+\.\d+\.\d+$", each["image"]), name


def test_the_example_of_an_env_file_has_what_there_is() -> None:
    """Every variable of the compose file is in it, and each of its settings exists; nothing of it is active."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    told = set(re.findall(r"^# ([A-Z_]+)=", text, flags=re.MULTILINE))
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)[:}]", compose)) <= told
    assert {name for name in told if name.startswith("STREAMS_") and not name.startswith("STREAMS_KAFKA_")} <= SETTINGS
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []
    page = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")
    assert {name for name in told if not name.startswith(("STREAMS_", "COMPOSE_"))} <= set(re.findall(r"`(\w+)`", page))


def test_grafana_finds_the_dashboard_and_its_source() -> None:
    """Where it is provisioned is where compose mounts it."""
    grafana = COMPOSE["services"]["grafana"]
    mounts = {each.split(":")[1]: ROOT / each.split(":")[0] for each in grafana["volumes"]}
    provisioned = mounts["/etc/grafana/provisioning"]
    board = yaml.safe_load((provisioned / "dashboards" / "streams.yml").read_text(encoding="utf-8"))
    assert mounts[board["providers"][0]["options"]["path"]] / "streams.json" == DASHBOARD
    source = yaml.safe_load((provisioned / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].endswith("/streams.json")
