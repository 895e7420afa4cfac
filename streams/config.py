"""Settings, from `STREAMS_*` variables or a `.env` file in the working directory; the environment wins."""

from __future__ import annotations

import difflib
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from streams.errors import ConfigError
from streams.kafka_properties import OWNED_PROPERTIES
from streams.textfiles import UnreadableError, encoding_of, text_lines, unreadable

PREFIX = "STREAMS_"
KAFKA_PREFIX = "STREAMS_KAFKA_"
ENV_FILE = Path(".env")
_ENCODING = "utf-8-sig"
"""UTF-8 with or without a byte order mark, which would otherwise become part of the first variable's name."""

_HOURS = 3_600_000
_MAX_LABELS, _MAX_LABEL, _MAX_LABEL_BYTES = 64, 1_000, 65_536
"""The protocol's bounds of labels: a record with more would be refused by every worker."""
_ORIGIN = r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$"
_ADDRESS = r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$"


class Topic(StrEnum):
    """The topics, by the name that follows the prefix."""

    COMMANDS = "commands"
    CHANGELOG = "changelog"
    SIGNALS = "signals"
    BATCH_SLICES = "batch-slices"
    BATCHES = "batches"
    FLOWS = "flows"
    WORKERS = "workers"
    DEAD_LETTERS = "dead-letters"


def _environment() -> dict[str, str]:
    """Variables of the `.env` file, overridden by those of the process; names as written, empty ones left out."""
    merged = {**dotenv_values(ENV_FILE, encoding=_ENCODING), **os.environ}
    return {name: value for name, value in merged.items() if value}


def _kafka_from_environment() -> dict[str, str]:
    """Kafka properties given by `STREAMS_KAFKA_<PROPERTY_WITH_UNDERSCORES>`."""
    return {
        name.removeprefix(KAFKA_PREFIX).lower().replace("_", "."): value
        for name, value in _environment().items()
        if name.startswith(KAFKA_PREFIX)
    }


class Settings(BaseSettings):
    """Settings of this process; durations in milliseconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding=_ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    bootstrap_servers: str = Field(
        "localhost:9092",
        min_length=1,
        description="the Kafka brokers to connect to first, HOST:PORT, separated by commas",
    )
    topic_prefix: str = Field(
        "invocations.",
        pattern=r"^[A-Za-z0-9._-]{0,200}$",
        description="what every topic's name begins with: letters, digits, '.', '_' and '-'",
    )
    state_dir: Path = Field(Path(".state"), description="the worker's folder for its tables; one folder per worker")
    worker_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="the worker's name, the same at each restart and no other worker's; when absent, one is made and "
        "kept in the state folder",
    )
    group_id: str = Field(
        default_factory=lambda data: f"{data.get('topic_prefix', '')}workers",
        min_length=1,
        description="the consumer group of the workers",
    )
    page_budget_ms: float = Field(
        15.0,
        gt=0,
        le=1_000,
        description="time budget for the usual pages of one turn. While clients' commands come, it is 2.5 ms or a "
        "tenth of the time of the turn's commands, at most this value; each page may take 1.6 ms however many they "
        "are, and those that hold up clients come besides. Else it is as long as Kafka's commit, up to twice this "
        "value",
    )
    max_turn_records: int = Field(5_000, ge=1, le=100_000, description="most commands per turn")
    idle_poll_ms: int = Field(20, ge=1, le=1_000, description="how long one wait of an idle worker for commands takes")
    retention_ms: int = Field(24 * _HOURS, ge=0, description="how long an ended invocation stays in the table")
    batch_retention_ms: int = Field(
        7 * 24 * _HOURS, ge=60_000, description="how long a finished batch and its id are remembered"
    )
    reconcile_interval_ms: int = Field(15_000, ge=100, description="how often unanswered cancels are reconciled")
    reconcile_labels: Annotated[dict[str, str], NoDecode] = Field(
        {},
        description="unanswered cancels are reconciled only of members that have these labels: KEY=VALUE, separated by "
        "commas; empty: of all",
    )
    tick_max_rows: int = Field(1_000, ge=1, le=100_000, description="most due items one tick handles")
    transaction_timeout_ms: int = Field(
        10_000, ge=1_000, le=900_000, description="after this the broker aborts the transaction of a dead worker"
    )
    session_timeout_ms: int = Field(
        10_000, ge=1_000, le=1_800_000, description="after this the partitions of a dead worker go to others"
    )
    max_clock_ahead_ms: int = Field(
        _HOURS,
        ge=1_000,
        description="how far ahead of the worker's own clock the broker may stamp a command; one stamped later is "
        "applied all the same, but time does not follow it",
    )
    shadow: bool = Field(
        False,
        description="true: workers keep the table and run batches, but send no signals, so that executors do nothing",
    )
    worker_processes: int = Field(
        1,
        ge=1,
        le=64,
        description="number of processes of a worker, each with partitions of its own; more than one: they are "
        "numbered from 0, and share the state folder, one log and one address for /metrics and /health",
    )
    worker_http: str | None = Field(
        None,
        pattern=_ADDRESS,
        description="HOST:PORT at which a worker answers gateways' queries, and serves /metrics, /health/live and "
        "/health/ready; port 0: one that is free, named in its log; absent: nowhere, and its invocations cannot be "
        "listed. Of several processes, the first one's queries are at the next port, and so on",
    )
    worker_url: str | None = Field(
        None,
        pattern=_ORIGIN,
        description="URL at which gateways reach this worker for queries, http://HOST:PORT; absent: "
        "STREAMS_WORKER_HTTP, with this machine's name in place of an address that means all interfaces. Of several "
        "processes, ports follow this one as they follow that of STREAMS_WORKER_HTTP",
    )
    worker_query_secret_file: Path | None = Field(
        None,
        description="file with the secret that signs queries between gateways and workers, the same for all; absent: "
        "a worker answers queries from its own machine only",
    )
    gateway_http: str = Field(
        "127.0.0.1:8080",
        pattern=_ADDRESS,
        description="HOST:PORT at which a gateway serves its API, /metrics and /health; port 0: one that is free, "
        "named in its log",
    )
    gateway_tokens_file: Path | None = Field(
        None,
        description="the gateway's tokens, a line each, as `streams token new` prints it; absent: it asks for none",
    )
    gateway_tls_cert: Path | None = Field(
        None, description="the gateway's certificate with those of its issuers, PEM; absent: it serves plain HTTP"
    )
    gateway_tls_key: Path | None = Field(None, description="the key of that certificate, PEM, without a password")
    gateway_public_url: str | None = Field(
        None,
        pattern=_ORIGIN,
        description="where browsers find the gateway when a proxy stands before it, like https://streams.example.com",
    )
    gateway_open: bool = Field(
        False,
        description="true: the gateway may serve other machines without tokens or TLS, since something else guards it",
    )
    gateway_hosts: str | None = Field(
        None,
        description="more names under which the gateway is asked, NAME or NAME:PORT, separated by commas; others than "
        "these, the public URL's and those of this machine's loopback are refused",
    )
    metrics_token: str | None = Field(
        None,
        repr=False,
        description="the bearer token without which the gateway's /metrics is not answered; absent: it is open",
    )
    gateway_url: str = Field(
        "http://127.0.0.1:8080",
        pattern=r"^https?://[^/?#@\s]+(/[^?#@\s]*)?$",
        description="where the command line finds a gateway's API: http:// or https://, and HOST:PORT",
    )
    gateway_token: str | None = Field(
        None,
        repr=False,
        description="the token that the command line shows to the gateway; absent: none, as on loopback",
    )
    actor: str | None = Field(
        None,
        max_length=1_000,
        description="who asks for what the command line sends, where no `--actor` says so; absent: USER@HOST",
    )
    executor_http: str | None = Field(
        None,
        pattern=_ADDRESS,
        description="HOST:PORT at which an executor of this package serves /metrics and /health (extra `metrics`); "
        "absent: nowhere",
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto, console or json; auto: readable on a terminal, JSON otherwise"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error")
    kafka: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=_kafka_from_environment,
        repr=False,  # passwords
        description=f"more librdkafka properties, a variable each, such as {KAFKA_PREFIX}SASL_USERNAME",
    )

    @field_validator("reconcile_labels", mode="before")
    @classmethod
    def _labels(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",")]
        if not all(key.strip() and equals for key, equals, _ in pairs):
            raise ValueError("write KEY=VALUE, several separated by commas")
        return {key.strip(): text.strip() for key, _, text in pairs}

    @field_validator("reconcile_labels")
    @classmethod
    def _few_labels(cls, value: dict[str, str]) -> dict[str, str]:
        texts = [text for pair in value.items() for text in pair]
        size = sum(len(text.encode()) for text in texts)
        if len(value) > _MAX_LABELS or size > _MAX_LABEL_BYTES or any(len(text) > _MAX_LABEL for text in texts):
            raise ValueError(
                f"at most {_MAX_LABELS} labels, keys and values of at most {_MAX_LABEL} characters, together of at "
                f"most {_MAX_LABEL_BYTES} bytes"
            )
        return value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    def topic(self, name: Topic) -> str:
        """The full name of a topic."""
        return f"{self.topic_prefix}{name}"

    def kafka_properties(self) -> dict[str, Any]:
        """Properties of every librdkafka client: the brokers, and those of `STREAMS_KAFKA_*` (TLS, SASL, ...).

        Raises:
            ConfigError: a property that a user may not set, in settings not made by `load_settings`.
        """
        problems = _owned(self)
        if problems:
            raise ConfigError("\n".join(problems))
        return {"bootstrap.servers": self.bootstrap_servers, **self.kafka}


def load_settings(**overrides: Any) -> Settings:
    """Settings of this process; `overrides` (by field name) win over the environment.

    Raises:
        ConfigError: a value that breaks a rule, a misspelt variable, or a Kafka property that a user may not set; one
            line each, naming the variable, the rule and the way out; or a `.env` that is not UTF-8.
    """
    _require_text(ENV_FILE)
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(error))) from None
    problems = _misspelt() + _owned(settings)
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def _require_text(file: Path) -> None:
    if not file.is_file():
        return
    try:
        with file.open("rb") as opened:
            encoding = encoding_of(opened.read(4))
            if encoding is not None:
                raise ConfigError(f"{file} is {encoding}: save it as UTF-8")
            opened.seek(0)
            for _ in text_lines(opened, str(file)):
                pass
    except UnreadableError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(str(unreadable(str(file), error))) from None


def variable(field: str) -> str:
    """Name of the variable that sets a field."""
    return f"{PREFIX}{field.upper()}"


def _lines(error: ValidationError) -> list[str]:
    return [
        _line(str(each["loc"][0]), each["msg"], each["input"])
        for each in error.errors()
        if each["type"] != "default_factory_not_called"  # only a consequence of another line
    ]


def _line(field: str, message: str, value: object) -> str:
    info = Settings.model_fields[field]
    default = "" if info.default_factory or info.default is None else f" (by default {info.default})"
    if field.endswith("_http"):
        message = "is not an address: write HOST:PORT, like 0.0.0.0:8080"
    return f"{variable(field)}={value}: {message[:1].lower()}{message[1:]}; it is {info.description}{default}"


def _misspelt() -> list[str]:
    known = [variable(field) for field in Settings.model_fields if field != "kafka"]
    problems = []
    for name in _environment():
        if name.startswith(PREFIX) and not name.startswith(KAFKA_PREFIX) and name not in known:
            meant = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            problems += [f"{name} is not a setting: did you mean {meant[0]}?"] if meant else []
    return problems


def _owned(settings: Settings) -> list[str]:
    return [
        f"{KAFKA_PREFIX}{name.replace('.', '_').upper()}: {name} cannot be set this way: {OWNED_PROPERTIES[name]}"
        for name in settings.kafka
        if name in OWNED_PROPERTIES
    ]
