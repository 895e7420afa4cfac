"""`streams` as a process, with the settings of one service."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from streams.config import load_settings
from support.service.programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path


class CommandLine:
    """`streams` with the settings of one service."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.folder = folder
        self.settings = load_settings(bootstrap_servers=bootstrap, topic_prefix=f"t-{uuid4().hex[:10]}.")
        port = _free_port()
        self.variables = {
            "STREAMS_BOOTSTRAP_SERVERS": bootstrap,
            "STREAMS_TOPIC_PREFIX": self.settings.topic_prefix,
            "STREAMS_STATE_DIR": str(folder / "state"),
            "STREAMS_LOG_FORMAT": "json",
            "STREAMS_WORKER_HTTP": "127.0.0.1:0",
            "STREAMS_GATEWAY_HTTP": f"127.0.0.1:{port}",
            "STREAMS_GATEWAY_URL": f"http://127.0.0.1:{port}",
        }

    @property
    def environment(self) -> dict[str, str]:
        """Variables of its processes."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
        return {**inherited, "PYTHONPATH": str(ROOT), **self.variables}

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        """One command line, not waited for."""
        return subprocess.Popen(
            [sys.executable, "-m", "streams", *words],
            cwd=self.folder,
            env={**self.environment, **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, stdin: str = "", **more: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of one command line."""
        process = self.start(*words, **more)
        try:
            stdout, stderr = process.communicate(stdin, timeout=120)
        finally:
            process.kill()
        return process.returncode, stdout, stderr

    def json(self, *words: str, stdin: str = "") -> dict[str, Any]:
        """What a command line that succeeds prints with `--json`."""
        code, stdout, stderr = self.run(*words, "--json", stdin=stdin)
        assert code == 0, stderr
        printed: dict[str, Any] = json.loads(stdout)
        return printed

    def lines(self, *words: str) -> list[dict[str, Any]]:
        """What a command line that succeeds prints, a JSON object a line."""
        code, stdout, stderr = self.run(*words)
        assert code == 0, stderr
        return [json.loads(line) for line in stdout.split("\n") if line]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
