"""The examples in other languages, built in a copy of the checkout by the commands of their READMEs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.service.programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = {"go": ["go"], "java": ["java", "mvn"], "javascript": ["node", "npm"]}


class Example(NamedTuple):
    """One that is built, and its README's commands: the first kills a batch, the last is the executor."""

    folder: Path
    command: str
    executor: str


class Examples:
    """Builds each example once, in a copy; skips when its language is not installed."""

    def __init__(self, copy: Path) -> None:
        self._folder = copy / "docs" / "examples"
        shutil.copytree(
            ROOT / "docs" / "examples", self._folder, ignore=shutil.ignore_patterns("node_modules", "target", "bin")
        )
        shutil.copytree(ROOT / "schemas", copy / "schemas")
        self._built: dict[str, Example] = {}

    def __call__(self, language: str) -> Example:
        """The one in that language."""
        missing = [tool for tool in TOOLS[language] if shutil.which(tool) is None]
        if missing:
            pytest.skip(f"{language}: {' and '.join(missing)} not installed")
        if language not in self._built:
            folder = self._folder / language
            make, kill, executor = re.findall(
                r"```sh\n(.*?)\n```", (folder / "README.md").read_text("utf-8"), re.DOTALL
            )
            shell(make, folder, {})
            self._built[language] = Example(folder, kill, executor)
        return self._built[language]


def shell(command: str, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a README's command as a person would."""
    result = subprocess.run(
        # It ends the whole group: a shell alone would leave its child behind.
        ["timeout", "--kill-after=5", "180", "nice", "sh", "-ec", command],
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result
