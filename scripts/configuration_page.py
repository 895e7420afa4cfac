"""Write `docs/configuration.md` from the settings.

make docs
"""  # noqa: INP001 - a program, no package

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from annotated_types import Ge, Gt, Le

from streams.config import KAFKA_PREFIX, Settings, variable
from streams.kafka_properties import OWNED_PROPERTIES

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PAGE: Final = Path(__file__).parents[1] / "docs" / "configuration.md"

BEGIN = """\
# Configuration

Made from `streams/config.py` by `scripts/configuration_page.py`; do not edit. Every program of the service reads the
same variables, or the same lines in a file `.env` of its working directory; a variable wins over the file, and an empty
one counts as absent. A bad value, a variable that is nearly one of these, and a Kafka property that is not free to
choose are one clear line each, and exit code 1.

| variable | default | bounds | what it is |
| --- | --- | --- | --- |
"""
KAFKA = f"""
## Kafka's own properties

`{KAFKA_PREFIX}<PROPERTY>` sets any property of librdkafka, in capitals, dots as underscores:
`{KAFKA_PREFIX}SECURITY_PROTOCOL=SASL_SSL`, `{KAFKA_PREFIX}SASL_MECHANISMS=PLAIN`, `{KAFKA_PREFIX}SASL_USERNAME=...`.
The gateway has another Kafka client: it understands brokers, TLS, SASL and a few more, names in its log those that
have no effect there, and refuses to start with security that it cannot give. These cannot be set:

| property | because |
| --- | --- |
"""
REST = """
## Besides

| variable | what it is |
| --- | --- |
| `STREAMS_DEBUG` | set: an error of the command line shows where it came from |
| `BROKER` | which broker demo, tests and bench take: `HOST:PORT`, `docker`, `apache` or `embedded` |
"""
_DERIVED = {"group_id": "`<prefix>workers`", "worker_id": "kept in the state folder"}
_LENGTHS = {86_400_000: ("day", "days"), 1_000: ("second", "seconds")}


def document() -> str:
    """The page as it should be."""
    fields = {name: field for name, field in Settings.model_fields.items() if name != "kafka"}
    rows = [
        f"| `{variable(name)}` | {_default(name, f)} | {_bounds(f)} | {f.description} |" for name, f in fields.items()
    ]
    owned = [f"| `{name}` | {why} |" for name, why in OWNED_PROPERTIES.items()]
    return BEGIN + "\n".join([*rows, ""]) + KAFKA + "\n".join([*owned, ""]) + REST


def _default(name: str, field: FieldInfo) -> str:
    if name in _DERIVED:
        return _DERIVED[name]
    value = field.default
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    shown = f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
    return shown + (_length(value) if name.endswith("_ms") and isinstance(value, int) else "")


def _length(milliseconds: int) -> str:
    for unit, (one, many) in _LENGTHS.items():
        count, rest = divmod(milliseconds, unit)
        if count and not rest:
            return f" ({count} {one if count == 1 else many})"
    return ""


def _bounds(field: FieldInfo) -> str:
    found = []
    for rule in field.metadata:
        match rule:
            case Ge():
                found.append(f"at least {rule.ge:,}")
            case Gt():
                found.append(f"more than {rule.gt:,}")
            case Le():
                found.append(f"at most {rule.le:,}")
    return ", ".join(found)


if __name__ == "__main__":
    PAGE.write_text(document(), encoding="utf-8")
