"""Parts of the installation: what a client does without, and what is said of a part that is missing."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from streams.cli.verbs import VERBS
from support.service.programs import ROOT

pytestmark = pytest.mark.long

OPTIONAL = "avro", "cramjam", "faust", "filelock", "httpx", "numpy", "prometheus_client", "rich", "structlog", "typer"


def _python(hidden: tuple[str, ...], program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program, without these modules."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({hidden}));"
    command = [sys.executable, "-c", hide + program, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_client_needs_no_extra() -> None:
    """Producers, readers of progress and executors import no more than the base."""
    program = "from streams.client import AsyncClient, Client, DeadLetterReader, Executor, ProgressReader;"
    program += "from streams.config import load_settings; load_settings()"
    done = _python(OPTIONAL, program)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "missing", "extra"),
    [
        ("--version", "typer", "cli"),
        ("kill --all --yes", "structlog", "cli"),
        ("verify", "numpy", "worker"),
        ("export", "numpy", "worker"),
        ("worker", "prometheus_client", "worker"),
        ("gateway", "faust", "gateway"),
        ("gateway", "prometheus_client", "gateway"),
        ("schemas check --against schemas", "avro", "schemas"),
    ],
)
def test_a_missing_extra_is_named_in_one_line(words: str, missing: str, extra: str) -> None:
    """Exit code 1, no traceback."""
    done = _python((missing,), "from streams.__main__ import main; main()", *words.split())
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f" needs {missing}" in line
    assert line.endswith(f"which is not installed: install the extra streams[{extra}]")


def test_all_other_verbs_need_the_extra_of_the_command_line_only() -> None:
    """So that whoever only kills batches installs neither what a worker nor what a gateway needs."""
    program = "from streams.cli.verbs import VERBS, Verbs;"
    program += "print([Verbs().commands[name].name for name, verb in VERBS.items() if verb.extra == 'cli'])"
    done = _python(("avro", "cramjam", "faust", "numpy", "prometheus_client"), program)
    assert (done.returncode, done.stderr) == (0, "")
    assert "'kill'" in done.stdout


def test_every_extra_that_a_verb_names_exists() -> None:
    """An installation by that name works."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {verb.extra for verb in VERBS.values()} <= known.keys()
