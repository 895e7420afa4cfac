"""Settings: where values come from, and what is said about bad ones."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from streams.config import Settings, Topic, load_settings, variable
from streams.errors import ConfigError


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no `.env` of whoever runs the tests."""
    for name in [each for each in os.environ if each.startswith("STREAMS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def _refused() -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    return str(caught.value).splitlines()


def test_without_any_variable_the_defaults_make_a_usable_configuration() -> None:
    """Nothing has to be set for a broker on this machine."""
    settings = load_settings()
    assert settings.kafka_properties() == {"bootstrap.servers": "localhost:9092"}
    assert settings.topic(Topic.BATCH_SLICES) == "invocations.batch-slices"
    assert settings.group_id == "invocations.workers"


def test_the_group_follows_the_prefix_so_that_two_services_never_share_one() -> None:
    """The default group is named after the topics' prefix."""
    assert load_settings(topic_prefix="shop.").group_id == "shop.workers"


def test_a_variable_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`.env` gives defaults that the environment overrides."""
    (tmp_path / ".env").write_text("STREAMS_WORKER_ID=from-file\nSTREAMS_TOPIC_PREFIX=file.\n")
    monkeypatch.setenv("STREAMS_WORKER_ID", "from-environment")
    settings = load_settings()
    assert (settings.worker_id, settings.topic_prefix) == ("from-environment", "file.")


def test_a_byte_order_mark_does_not_hide_the_first_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Editors of other systems write one; the lines may end as theirs do."""
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfSTREAMS_KAFKA_SASL_USERNAME=bob\r\nSTREAMS_WORKER_ID=from-file\r\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings().kafka == {"sasl.username": "bob"}
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfSTREAMS_WORKER_ID=from-file\r\n")
    assert load_settings().worker_id == "from-file"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("STREAMS_WORKER_ID=w\n".encode("utf-16"), r"^\.env is UTF-16: save it as UTF-8$"),
        ("STREAMS_WORKER_ID=w\n".encode("utf-16-le"), r"^\.env is UTF-16 or UTF-32 without a byte order mark: save"),
        ("STREAMS_WORKER_ID=w\n".encode("utf-32"), r"^\.env is UTF-32"),
        (b"# fine\nSTREAMS_WORKER_ID=\xe4\n", r"^\.env, line 2: byte E4 at 19 is not UTF-8"),
    ],
)
def test_an_env_file_of_another_encoding_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, said: str
) -> None:
    """It is not passed over, though nothing that could be taken for a variable stands in it."""
    (tmp_path / ".env").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        load_settings()


def test_kafka_properties_come_from_variables_and_from_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every librdkafka property can be set, its dots written as underscores."""
    (tmp_path / ".env").write_text("STREAMS_KAFKA_SASL_USERNAME=bob\nSTREAMS_KAFKA_SECURITY_PROTOCOL=PLAINTEXT\n")
    monkeypatch.setenv("STREAMS_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    properties = load_settings().kafka_properties()
    assert properties["security.protocol"] == "SASL_SSL"
    assert properties["sasl.username"] == "bob"


def test_passwords_never_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Kafka properties are left out of the settings' text."""
    monkeypatch.setenv("STREAMS_KAFKA_SASL_PASSWORD", "hunter2")
    settings = load_settings()
    assert settings.kafka_properties()["sasl.password"] == "hunter2"
    assert "hunter2" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("STREAMS_PAGE_BUDGET_MS", "0", "greater than 0"),
        ("STREAMS_SESSION_TIMEOUT_MS", "soon", "valid integer"),
        ("STREAMS_LOG_FORMAT", "xml", "'auto', 'console' or 'json'"),
        ("STREAMS_TOPIC_PREFIX", "a/b", "pattern"),
        ("STREAMS_WORKER_ID", "one two", "pattern"),
        ("STREAMS_KAFKA", "x", "a variable each"),
    ],
)
def test_a_bad_value_is_told_with_variable_value_and_rule(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    """One line names the variable, what it holds and what it should hold."""
    monkeypatch.setenv(variable, value)
    [line] = _refused()
    assert line.startswith(f"{variable}={value}: ")
    assert said in line
    assert "; it is " in line


def test_several_bad_values_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person corrects all of them at once, and sees no line that only follows from another."""
    monkeypatch.setenv("STREAMS_TOPIC_PREFIX", "a/b")
    monkeypatch.setenv("STREAMS_IDLE_POLL_MS", "-1")
    assert [line.partition("=")[0] for line in _refused()] == ["STREAMS_TOPIC_PREFIX", "STREAMS_IDLE_POLL_MS"]


def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name would otherwise be a setting silently ignored."""
    monkeypatch.setenv("STREAMS_BOOTSTRAP_SERVER", "kafka:9092")
    assert _refused() == ["STREAMS_BOOTSTRAP_SERVER is not a setting: did you mean STREAMS_BOOTSTRAP_SERVERS?"]


def test_a_variable_that_resembles_no_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orchestrators add variables of their own for a service called `streams`."""
    monkeypatch.setenv("STREAMS_PORT_8080_TCP", "tcp://10.0.0.1:8080")
    assert load_settings().bootstrap_servers == "localhost:9092"


@pytest.mark.parametrize(
    "name",
    [
        "ISOLATION_LEVEL",
        "ACKS",
        "GROUP_ID",
        "TRANSACTIONAL_ID",
        "PARTITIONER",
        "QUEUING_STRATEGY",
        "METADATA_BROKER_LIST",
    ],
)
def test_a_kafka_property_that_correctness_rests_on_cannot_be_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Exactly-once and routing are not up to the environment."""
    monkeypatch.setenv(f"STREAMS_KAFKA_{name}", "x")
    [line] = _refused()
    assert line.startswith(f"STREAMS_KAFKA_{name}: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("PARTITION_ASSIGNMENT_STRATEGY", "range,roundrobin"), ("GROUP_PROTOCOL", "consumer")],
)
def test_another_way_to_share_partitions_out_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Workers, executors and gateways would end at their first assignment, with an error that names no setting."""
    monkeypatch.setenv(f"STREAMS_KAFKA_{name}", value)
    [line] = _refused()
    assert line.startswith(f"STREAMS_KAFKA_{name}: ")
    assert "handing partitions over" in line


@pytest.mark.parametrize("name", ["group.protocol", "message.max.bytes", "default.topic.config"])
def test_a_property_that_breaks_the_design_reaches_no_client(name: str) -> None:
    """Settings that a program makes itself, as one with an executor may, are looked at by every client's maker."""
    with pytest.raises(ConfigError, match=name):
        Settings(kafka={name: "1"}).kafka_properties()


def test_settings_cannot_be_changed_once_they_are_made() -> None:
    """What a process was started with stays."""
    with pytest.raises(ValueError, match="frozen"):
        Settings().topic_prefix = "other."  # type: ignore[misc]


def test_an_address_that_is_none_says_how_one_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port alone is what most people try first."""
    monkeypatch.setenv("STREAMS_WORKER_HTTP", "8080")
    with pytest.raises(ConfigError, match=r"STREAMS_WORKER_HTTP=8080: is not an address: write HOST:PORT") as told:
        load_settings()
    assert "None" not in str(told.value)


def test_labels_are_pairs_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value may be empty or hold an equals sign; a key may not."""
    monkeypatch.setenv("STREAMS_RECONCILE_LABELS", "tenant=acme, zone=a=b,old=")
    assert load_settings().reconcile_labels == {"tenant": "acme", "zone": "a=b", "old": ""}
    assert Settings().reconcile_labels == load_settings().reconcile_labels


@pytest.mark.parametrize(
    "value",
    [
        "tenant",
        "=acme",
        "tenant=acme,",
        f"tenant={'x' * 1_001}",
        ",".join(f"l{n}=x" for n in range(65)),
        ",".join(f"{n}={'é' * 600}" for n in range(60)),
    ],
    ids=["no value", "no key", "an end", "too long", "too many", "too large"],
)
def test_labels_that_no_tick_could_carry_are_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the setting's name, before the worker starts."""
    monkeypatch.setenv("STREAMS_RECONCILE_LABELS", value)
    (line,) = _refused()
    assert line.startswith("STREAMS_RECONCILE_LABELS=")
    assert "KEY=VALUE" in line


def test_the_readme_lists_every_setting_with_its_default() -> None:
    """A setting that nobody can find does not exist."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(STREAMS_\w+)` \| (.*?) \|", readme, flags=re.MULTILINE))
    settings = Settings()
    for field in Settings.model_fields.keys() - {"kafka", "worker_id", "group_id"}:
        default = getattr(settings, field)
        if default is None:
            assert variable(field) in rows
            continue
        told = f"{default:g}" if isinstance(default, float) else str(default)
        assert rows[variable(field)].startswith(f"`{told.lower() if isinstance(default, bool) else told}`")
    assert rows.keys() >= {variable(field) for field in Settings.model_fields.keys() - {"kafka"}}
