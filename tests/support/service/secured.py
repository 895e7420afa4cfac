"""The service on a broker that demands a login and a right for everything, with the rights of docs/security.md."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

from streams.broker.base import free_port
from streams.config import Settings
from support import pages
from support.kafka.secure_broker import SecureBroker, password_of
from support.service.harness import LIVELY
from support.service.programs import ROOT, Program

if TYPE_CHECKING:
    from pathlib import Path

USERS = ("setup", "worker", "gateway", "client", "executor", "operator")
"""Whom the page gives rights."""

_ACLS = "org.apache.kafka.tools.AclCommand"
_AT = ("--bootstrap-server", "localhost:9093", "--command-config", "admin.properties")


def lines_of_rights() -> list[tuple[str, ...]]:
    """The page's lines for `kafka-acls.sh`, without the broker's address."""
    lines = [line.words for line in pages.command_lines() if line.words[0] == "kafka-acls.sh"]
    assert all(line[1:5] == _AT for line in lines)
    return [line[5:] for line in lines]


class Secured:
    """The broker, its users, and programs that log in as one of them; all log at the level `debug`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = SecureBroker(folder / "broker")
        self.gateway_port = free_port()
        self.programs: list[Program] = []
        self.said: list[str] = []
        """What commands have printed."""

    def __enter__(self) -> Self:
        self.broker.start()
        try:
            self.broker.add_users(*USERS, "stranger")
            for line in lines_of_rights():
                done = self.broker.tool(_ACLS, line)
                assert done.returncode == 0, (line, done.stdout, done.stderr)
        except BaseException:
            self.broker.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for program in self.programs:
            program.end()
        self.broker.stop()

    def environment(self, user: str, **more: str) -> dict[str, str]:
        """The variables of a program that logs in as this user."""
        return {**LIVELY, "STREAMS_LOG_LEVEL": "debug", **self.broker.variables(user), **more}

    def settings(self, user: str) -> Settings:
        """The settings of a client in this process."""
        kafka = {name: text for name, text in self.broker.client(user).items() if name != "bootstrap.servers"}
        return Settings(bootstrap_servers=self.broker.bootstrap, kafka=kafka)

    def program(self, user: str, *args: str, **more: str) -> Program:
        """One of the service's programs, started."""
        program = Program(f"{user}-{len(self.programs)}", list(args), self.folder, self.environment(user, **more))
        self.programs.append(program)
        program.start()
        return program

    def run(self, user: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`streams <words>` to its end."""
        return self.python(user, "-m", "streams", *words, **more)

    def python(self, user: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A program of Python to its end."""
        done = subprocess.run(
            [sys.executable, *words],
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **self.environment(user, **more)},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        self.said += [done.stdout, done.stderr]
        return done

    def output(self) -> str:
        """All that programs and commands have written."""
        return "\n".join([*(each.log.read_text(errors="replace") for each in self.programs), *self.said])

    def news(self) -> str:
        """The last lines of each program, for people."""
        logs = [each.log.read_text(errors="replace").splitlines() for each in self.programs]
        return "\n".join("\n".join([each for each in log if '"debug"' not in each][-15:]) for log in logs)

    @staticmethod
    def secrets() -> dict[str, Any]:
        """The password of each user."""
        return {user: password_of(user) for user in USERS}
