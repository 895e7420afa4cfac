"""A Restate server of its own with the services of `service.mjs`, and what is asked of it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.lib.service import BenchError, await_end, say
from bench.peers.installed import RESTATE
from streams.broker.base import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_AT_ONCE = 1_000
"""Most ids that its internal endpoints take."""
_FILL = 500
_FILLERS = 8
_CONNECTIONS = 4
_READY_WITHIN_S = 60.0
_FILLED_WITHIN_S = 1_800.0
_ASKED_WITHIN_S = 600.0
_ENDS_WITHIN_S = 20.0


class Restate:
    """One server with its default settings, on this machine only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._admin, self._ingress, self._node, self._service = (free_port() for _ in range(4))
        self.ingress_url = f"http://127.0.0.1:{self._ingress}"
        self._admin_url = f"http://127.0.0.1:{self._admin}"
        self._running = ExitStack()

    def start(self) -> None:
        """Start it and the services; returns once they answer."""
        addresses = {
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{self._admin}",
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{self._ingress}",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{self._node}",
            "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{self._node}",
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_BASE_DIR": str(self.folder / "data"),
            "RESTATE_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
        }
        self._start([_program("restate-server"), "--no-logo"], "server", addresses)
        self._start(["node", "service.mjs", str(self._service)], "services", {"NODE_ENV": "production"})
        deadline = time.monotonic() + _READY_WITHIN_S
        while True:
            try:
                self._ask("/deployments", {"uri": f"http://127.0.0.1:{self._service}"})
                _post(f"{self.ingress_url}/pings/ping", {}, within_s=5)
            except (OSError, BenchError) as error:
                if time.monotonic() > deadline:
                    raise BenchError(f"Restate does not answer: {error}\n{self._tail()}") from None
                time.sleep(0.5)
            else:
                return

    def stop(self) -> None:
        """Stop both."""
        self._running.close()

    def fill(self, count: int, *, later: bool) -> None:
        """Invoke `count` rows, and wait until they are there: scheduled for tomorrow, or suspended."""
        say(f"Restate: {count:,} rows")
        sizes = [min(_FILL, count - begin) for begin in range(0, count, _FILL)]
        with ThreadPoolExecutor(_FILLERS) as pool:
            list(pool.map(lambda size: self._fill(size, later=later), sizes))
        self.await_count("scheduled" if later else "suspended", count)

    def await_count(self, status: str, count: int) -> None:
        """Wait until `count` rows have this status."""
        deadline = time.monotonic() + _FILLED_WITHIN_S
        while (found := self.count(f"status = '{status}'")) != count:
            if time.monotonic() > deadline:
                raise BenchError(f"Restate: {found:,} of {count:,} {status}")
            say(f"Restate: {found:,} of {count:,} {status}")
            time.sleep(0.5)

    def count(self, where: str) -> int:
        """Rows for which that is so."""
        (found,) = self._query(f"SELECT count(*) AS n FROM sys_invocation WHERE {_ROWS} AND {where}")  # noqa: S608
        return int(found["n"])

    def ids(self) -> list[str]:
        """Of all rows."""
        return [each["id"] for each in self._query(f"SELECT id FROM sys_invocation WHERE {_ROWS}")]  # noqa: S608

    def batches(self, operation: str, ids: Sequence[str]) -> None:
        """Kill or cancel these by the internal endpoint, a thousand to a request, a few requests at once."""
        path = f"/internal/invocations_batch_operations/{operation}"
        parts = [ids[begin : begin + _AT_ONCE] for begin in range(0, len(ids), _AT_ONCE)]
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            answers = list(pool.map(lambda part: self._ask(path, {"invocation_ids": part}), parts))
        failed = sum(len(answer.get("failed_invocation_ids", ())) for answer in answers)
        if failed:
            raise BenchError(f"Restate: {failed:,} of {len(ids):,} could not be asked to {operation}")

    def command_line(self, operation: str, limit: int) -> None:
        """Kill or cancel all rows by its command line."""
        ran = subprocess.run(
            [
                _program("restate"),
                "invocations",
                operation,
                "emails",
                "--yes",
                "--limit",
                str(limit),
                "--request-timeout",
                str(int(_ASKED_WITHIN_S * 1_000)),
            ],
            env=os.environ
            | {
                "RESTATE_ADMIN_URL": self._admin_url,
                "RESTATE_CLI_CONFIG_HOME": str(self.folder),
                "DO_NOT_TRACK": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise BenchError(f"restate invocations {operation}: {ran.stdout[-500:]}{ran.stderr[-500:]}")

    def _fill(self, size: int, *, later: bool) -> None:
        _post(f"{self.ingress_url}/filling/send", {"count": size, "delay": later}, within_s=_ASKED_WITHIN_S)

    def _query(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._ask("/query", {"query": sql})["rows"]
        return rows

    def _ask(self, path: str, body: Any) -> Any:
        return _post(f"{self._admin_url}{path}", body, within_s=_ASKED_WITHIN_S)

    def _start(self, command: list[str], name: str, env: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=RESTATE, env=os.environ | env, stdout=log, stderr=log)
        self._running.callback(_end, process)

    def _tail(self) -> str:
        logs = [self.folder / f"{name}.log" for name in ("server", "services")]
        return "\n".join(log.read_text(encoding="utf-8", errors="replace")[-1_000:] for log in logs)


_ROWS = "target_service_name = 'emails'"


@contextmanager
def restate() -> Iterator[Restate]:
    """A server for one measurement; nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="streams-bench-restate-") as folder:
        made = Restate(Path(folder))
        try:
            made.start()
            yield made
        finally:
            made.stop()


def _program(name: str) -> str:
    """The program itself: what npm puts in its place is a script that does not hand signals on."""
    (found,) = (RESTATE / "node_modules" / "@restatedev").glob(f"{name}-*-*/bin/{name}")
    return str(found)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    await_end(process, _ENDS_WITHIN_S)


def _post(url: str, body: Any, *, within_s: float) -> Any:
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310 - ours, on this machine
    try:
        with urllib.request.urlopen(request, timeout=within_s) as answer:  # noqa: S310
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise BenchError(f"{url}: {error.code} {error.read()[:500]!r}") from None
    return json.loads(text) if text else None
