"""The metrics of all programs: their definitions, and what counts them."""

from streams.metrics.definitions import (
    COUNTER,
    ROLES,
    OfApi,
    OfEach,
    OfExecutor,
    OfGateway,
    OfWorker,
    Role,
    build_info,
    labels,
    metrics_of,
)
from streams.metrics.kinds import (
    OTHER,
    CounterOf,
    Distribution,
    GaugeOf,
    HistogramOf,
    Label,
    Metric,
    Total,
    counted,
)

__all__ = [
    "COUNTER",
    "OTHER",
    "ROLES",
    "CounterOf",
    "Distribution",
    "GaugeOf",
    "HistogramOf",
    "Label",
    "Metric",
    "OfApi",
    "OfEach",
    "OfExecutor",
    "OfGateway",
    "OfWorker",
    "Role",
    "Total",
    "build_info",
    "counted",
    "labels",
    "metrics_of",
]
