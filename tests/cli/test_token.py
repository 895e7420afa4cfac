"""`streams token`: it makes what the gateway takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from streams.cli.app import app
from streams.errors import ConfigError
from streams.gateway.access.callers import Caller, Role
from streams.gateway.access.tokens import Tokens

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("role", list(Role))
def test_a_new_token_is_one_that_the_gateway_takes_by_its_line(tmp_path: Path, role: Role) -> None:
    """Stdout has the token and the line, for two people; what to do with them is on stderr."""
    made = CliRunner().invoke(app, ["token", "new", "ann", "--role", role])
    assert made.exit_code == 0
    [(_, secret), (_, line)] = [each.split() for each in made.stdout.splitlines()]
    assert "STREAMS_GATEWAY_TOKENS_FILE" in made.stderr
    file = tmp_path / "tokens"
    file.write_text(f"{line}\n")
    found = Tokens(file).find(secret)
    assert found is not None
    assert found.caller == Caller("ann", role)
    again = CliRunner().invoke(app, ["token", "new", "ann", "--role", role])
    assert secret not in again.stdout


def test_a_name_or_a_role_that_cannot_be_one_makes_no_token() -> None:
    """Nothing is on stdout that somebody could take for one."""
    named = CliRunner().invoke(app, ["token", "new", "a:b", "--role", "viewer"])
    assert isinstance(named.exception, ConfigError)
    admin = CliRunner().invoke(app, ["token", "new", "ann", "--role", "admin"])
    roleless = CliRunner().invoke(app, ["token", "new", "ann"])
    assert [(each.exit_code, each.stdout) for each in (named, admin, roleless)] == [(1, ""), (2, ""), (2, "")]
