"""The dashboard for Grafana, held to what Grafana documents of its JSON and to the metrics that it asks for."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from streams import metrics
from streams.metrics.kinds import CounterOf, GaugeOf, HistogramOf, Metric
from support.service.prometheus import DASHBOARD

TEXT = DASHBOARD.read_text(encoding="utf-8")
BOARD = json.loads(TEXT)
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
ROWS = [panel for panel in BOARD["panels"] if panel["type"] == "row"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
UNITS = {"short", "none", "s", "bytes", "ops", "reqps", "recps", "rowsps"}
"""Those of Grafana's ids of units that are used here; an unknown id is shown behind the number as it is."""
_METRICS = {metric.name: metric for role in metrics.ROLES for metric in metrics.metrics_of(role)}
_OF_PROMETHEUS = {"instance", "job"}
_WINDOW = re.compile(r"(\w+)\((\w+)(?:\{[^}]*\})?\[([^\]]+)\]")


def _name(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def _metric(name: str) -> Metric | None:
    """The metric of a series; None for those of Prometheus and of the process."""
    return _METRICS.get(name) or _METRICS.get(re.sub(r"_(bucket|sum|count)$", "", name))


def _used(expression: str) -> list[Metric]:
    bare = re.sub(r'"[^"]*"', "", expression)
    return [found for name in re.findall(r"\bstreams_\w+", bare) if (found := _metric(name))]


def _kept(expression: str) -> set[str]:
    """The labels that the series of a query may differ by."""
    if re.match(r"(sum|max|min|count)\(", expression):
        return set()
    by = re.findall(r"\bby \(([^)]*)\)", expression)
    if by:
        return {name.strip() for names in by for name in names.split(",")} - {"le"}
    return {name for metric in _used(expression) for name in metric.label_names} | _OF_PROMETHEUS


def test_the_board_is_covered_without_a_gap() -> None:
    """No panel lies over another or beside the board, each row of it is full, each heading has panels under it."""
    cells = Counter(
        (x, y)
        for place in (panel["gridPos"] for panel in BOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    height = max(y for _, y in cells) + 1
    assert cells == Counter((x, y) for x in range(WIDTH) for y in range(height))
    places = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in BOARD["panels"]]
    assert places == sorted(places)
    kinds = [panel["type"] for panel in BOARD["panels"]]
    assert kinds[0] == "row"
    assert kinds[-1] != "row"
    assert ("row", "row") not in pairwise(kinds)
    assert all(row["gridPos"]["h"] == 1 and row["gridPos"]["w"] == WIDTH and not row["panels"] for row in ROWS)


def test_each_panel_says_what_it_shows() -> None:
    """And is known by a number of its own."""
    assert len(PANELS) > 30
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert all(panel["title"] and panel["description"] for panel in PANELS)


def test_the_only_variables_are_the_source_and_the_window_of_a_rate() -> None:
    """One that does not exist stays in the query as text."""
    [variable] = BOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    assert set(re.findall(r"\$\{?(\w+)", TEXT)) == {"datasource", "__rate_interval"}


@pytest.mark.parametrize("panel", PANELS, ids=_name)
def test_each_query_has_a_source_and_a_name_of_its_own(panel: dict[str, Any]) -> None:
    """Panel and query ask the source that was chosen at the top; `fieldConfig` and legend know queries by name."""
    assert panel["datasource"] == SOURCE
    assert panel["targets"]
    assert all(target["datasource"] == SOURCE and target["expr"].strip() for target in panel["targets"])
    assert [target["refId"] for target in panel["targets"]] == list("ABC"[: len(panel["targets"])])


@pytest.mark.parametrize("panel", PANELS, ids=_name)
def test_a_number_has_a_unit_that_grafana_knows(panel: dict[str, Any]) -> None:
    """One that is right for the metric: times in seconds, sizes in bytes, rates a second."""
    unit = panel["fieldConfig"]["defaults"].get("unit")
    if panel["type"] in {"table", "state-timeline"}:
        assert unit is None
        return
    assert unit in UNITS or unit.startswith("suffix:")
    overridden = {
        each["matcher"]["options"]: part["value"]
        for each in panel["fieldConfig"]["overrides"]
        for part in each["properties"]
        if part["id"] == "unit"
    }
    for target in panel["targets"]:
        shown, expression = overridden.get(target["legendFormat"], unit), target["expr"]
        if "histogram_quantile(" in expression or re.search(r"_seconds\b", expression):
            assert shown == "s"
        elif "_bytes" in expression:
            assert shown == "bytes"
        elif "rate(" in expression:
            assert shown in {"ops", "reqps", "recps", "rowsps", "suffix:cores"}
        else:
            assert shown == "short"


@pytest.mark.parametrize("panel", PANELS, ids=_name)
def test_a_legend_tells_its_series_apart(panel: dict[str, Any]) -> None:
    """By the labels that the query keeps, no others; words that stand alone are of one series."""
    if panel["type"] == "table":
        return
    legends = [target["legendFormat"] for target in panel["targets"]]
    assert len(set(legends)) == len(legends)
    for target in panel["targets"]:
        assert target["legendFormat"] or (panel["type"] == "stat" and len(legends) == 1)
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) == _kept(target["expr"])


@pytest.mark.parametrize("panel", PANELS, ids=_name)
def test_an_override_is_about_a_series_of_its_panel(panel: dict[str, Any]) -> None:
    """A colour for a name that no series has would never be seen."""
    legends = {target["legendFormat"] for target in panel["targets"]}
    values = {
        value
        for target in panel["targets"]
        for metric in _used(target["expr"])
        for label in metric.labels
        if f"{{{{{label.name}}}}}" == target["legendFormat"]
        for value in (*label.values, *label.begins)
    }
    for override in panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["id"] == "byName"
        assert override["matcher"]["options"] in legends | values


@pytest.mark.parametrize("panel", PANELS, ids=_name)
def test_a_counter_is_asked_for_its_rate_and_a_gauge_for_its_value(panel: dict[str, Any]) -> None:
    """The rate of a gauge, and the value of a counter since the start of a process, say nothing."""
    for target in panel["targets"]:
        windows = _WINDOW.findall(target["expr"])
        windowed = {series for _, series, _ in windows}
        for function, _, window in windows:
            assert window == "$__rate_interval" if function == "rate" else function == "increase"
        bare = re.sub(r'"[^"]*"', "", target["expr"])
        for series in re.findall(r"\bstreams_\w+", bare):
            if isinstance(_metric(series), CounterOf | HistogramOf):
                assert series in windowed
            elif isinstance(_metric(series), GaugeOf):
                assert series not in windowed
        for series in re.findall(r"\w+_bucket\b", bare):
            assert re.search(rf"histogram_quantile\([\d.]+, sum by \(le\) \(rate\({series}\[", target["expr"])


@pytest.mark.parametrize("panel", [each for each in PANELS if each["type"] == "stat"], ids=_name)
def test_the_title_of_a_number_fits_its_panel(panel: dict[str, Any]) -> None:
    """Seven letters for each of the 24 columns, on a screen of 1440 pixels; a longer one would be cut."""
    assert len(panel["title"]) <= 7 * panel["gridPos"]["w"]


@pytest.mark.parametrize(
    "panel", [each for each in PANELS if "thresholds" in each["fieldConfig"]["defaults"]], ids=_name
)
def test_thresholds_begin_at_the_base_and_rise(panel: dict[str, Any]) -> None:
    """Grafana takes the first step for everything below the second."""
    first, *others = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert first is None
    assert others == sorted(set(others))


def test_each_phase_of_a_partition_has_its_number_word_and_colour() -> None:
    """The query makes numbers of the phases, the panel words of the numbers."""
    [panel] = [each for each in PANELS if each["type"] == "state-timeline"]
    [label] = [label for metric in _used(panel["targets"][0]["expr"])[:1] for label in metric.labels if label.values]
    found = re.findall(r'(?:(\d) \* )?streams_partition_phase\{phase="(\w+)"\}', panel["targets"][0]["expr"])
    numbers = {int(factor or 1): phase.replace("_", " ") for factor, phase in found}
    assert [phase.replace(" ", "_") for phase in numbers.values()] == list(label.values)
    [mapping] = panel["fieldConfig"]["defaults"]["mappings"]
    words = {int(number): each["text"] for number, each in mapping["options"].items()}
    assert words == {0: "none", **numbers}
    assert len({each["color"] for each in mapping["options"].values()}) == len(words)
