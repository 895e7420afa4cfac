"""The tokens file: what is taken, what is refused, and how it is read again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import structlog

from streams.errors import ConfigError
from streams.gateway.access.callers import Caller, Role, Token
from streams.gateway.access.tokens import LOOK_EVERY_S, Tokens, digest_of, line_of, new_secret, read_tokens

if TYPE_CHECKING:
    from pathlib import Path

ANN, VIC = line_of("ann", Role.OPERATOR, "secret-a"), line_of("vic", Role.VIEWER, "secret-v")


def _file(folder: Path, content: str, mode: int = 0o600) -> Path:
    path = folder / "tokens"
    path.write_text(content)
    path.chmod(mode)
    return path


def test_a_secret_has_256_random_bits_and_its_line_only_their_hash() -> None:
    """43 characters of base64 are 256 bits; the line begins with name and role."""
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(re.fullmatch(r"streams_[A-Za-z0-9_-]{43}", each) for each in secrets)
    secret = secrets.pop()
    line = line_of("ann@example.com", Role.OPERATOR, secret)
    assert re.fullmatch(r"ann@example\.com:operator:[0-9a-f]{64}", line)
    assert secret not in line


def test_tokens_are_read_with_comments_and_empty_lines_left_out(tmp_path: Path) -> None:
    """Hashes may be in capitals; lines may end as on other systems."""
    path = _file(tmp_path, f"# who may\r\n\r\n{ANN}\r\nvic:viewer:{digest_of('secret-v').hex().upper()}\r\n")
    assert read_tokens(path) == {
        Token(Caller("ann", Role.OPERATOR), digest_of("secret-a")),
        Token(Caller("vic", Role.VIEWER), digest_of("secret-v")),
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{ANN}\nvic:viewer:secret-v\n", "line 2: must be NAME:ROLE:SHA256"),
        ("ann:admin:" + "0" * 64, "line 1: must be NAME:ROLE:SHA256"),
        ("ann:operator:" + "0" * 63, "line 1: must be NAME:ROLE:SHA256"),
        ("ann:operator:" + "0" * 65, "line 1: must be NAME:ROLE:SHA256"),
        ("an n:operator:" + "0" * 64, "line 1: must be NAME:ROLE:SHA256"),
        (":operator:" + "0" * 64, "line 1: must be NAME:ROLE:SHA256"),
        ("ann:operator:" + "0" * 64 + " # hers", "line 1: must be NAME:ROLE:SHA256"),
        ("streams_put-here-by-mistake", "line 1: must be NAME:ROLE:SHA256"),
        (f"{ANN}\n{line_of('ann', Role.VIEWER, 'other')}", "line 2: the name ann is there twice"),
        (f"{ANN}\n{line_of('bob', Role.VIEWER, 'secret-a')}", "line 2: bob has the secret of an earlier line"),
    ],
)
def test_a_line_that_breaks_a_rule_is_told_by_its_number_and_never_repeated(
    tmp_path: Path, content: str, said: str
) -> None:
    """The message is for a log, and a secret may stand in the line by mistake."""
    with pytest.raises(ConfigError, match=said) as caught:
        Tokens(_file(tmp_path, content))
    assert not {"secret-v", "put-here-by-mistake", "0" * 63} & set(re.findall(r"[\w-]+", str(caught.value)))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever writes it is an operator. Reading it is another thing: secrets of Kubernetes are mounted so."""
    with pytest.raises(ConfigError, match="may be written by others than its owner: run `chmod go-w"):
        Tokens(_file(tmp_path, ANN, mode))
    assert Tokens(_file(tmp_path, ANN, 0o444)).held


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The message names the setting."""
    with pytest.raises(ConfigError, match=r"STREAMS_GATEWAY_TOKENS_FILE=.*nowhere cannot be read: No such file"):
        Tokens(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["", "a:b", "a b", "a" * 101, "a\nb", "ä"])
def test_a_name_that_would_break_its_line_is_refused(name: str) -> None:
    """Before a secret is shown that nobody could use."""
    with pytest.raises(ConfigError, match="cannot be a token's"):
        line_of(name, Role.VIEWER, "x")


def test_a_token_is_found_by_its_whole_secret_only(tmp_path: Path) -> None:
    """Neither by a part of it, nor by its hash, which stands in the file."""
    tokens = Tokens(_file(tmp_path, f"{ANN}\n{VIC}\n"))
    found = tokens.find("secret-v")
    assert found is not None
    assert found.caller == Caller("vic", Role.VIEWER)
    for other in ("", "secret-", "secret-vv", "SECRET-V", digest_of("secret-v").hex(), VIC):
        assert tokens.find(other) is None


def test_a_changed_file_is_read_again_and_a_bad_one_leaves_the_last_good_one_loudly(tmp_path: Path) -> None:
    """The complaint comes at once and again each minute; the moment of mending is told too."""
    now = 0.0
    path = _file(tmp_path, f"{ANN}\n{VIC}\n")
    tokens = Tokens(path, lambda: now)

    def later(seconds: float) -> bool:
        nonlocal now
        now += seconds
        return tokens.refresh()

    with structlog.testing.capture_logs() as told:
        assert not later(LOOK_EVERY_S)
        _file(tmp_path, f"{ANN}\n")
        assert not later(LOOK_EVERY_S / 2)
        assert later(LOOK_EVERY_S / 2)
        assert tokens.find("secret-v") is None
        _file(tmp_path, f"{ANN}\nbob:operator\n")
        assert not later(LOOK_EVERY_S)
        assert not later(30)
        assert len([each for each in told if each["log_level"] == "error"]) == 1
        assert not later(31)
        path.unlink()
        assert not later(LOOK_EVERY_S)
        assert tokens.find("secret-a") is not None
        _file(tmp_path, f"{ANN}\n", 0o666)
        assert not later(LOOK_EVERY_S)
        _file(tmp_path, VIC)
        assert later(LOOK_EVERY_S)
    assert (tokens.find("secret-a"), tokens.named("ann")) == (None, None)
    assert tokens.find("secret-v") == tokens.named("vic") is not None
    assert [each["event"] for each in told if each["log_level"] == "info"] == [
        "tokens changed",
        "the tokens file can be used again",
        "tokens changed",
    ]
    reasons = [each["reason"] for each in told if each["log_level"] == "error"]
    assert [re.findall("line 2|cannot be read|written by others", each) for each in reasons] == [
        ["line 2"],
        ["line 2"],
        ["cannot be read"],
        ["written by others"],
    ]


def test_the_last_line_can_be_removed_too(tmp_path: Path) -> None:
    """Then nobody gets in, whoever was the last."""
    now = 0.0
    tokens = Tokens(_file(tmp_path, ANN), lambda: now)
    _file(tmp_path, "")
    now = LOOK_EVERY_S
    assert tokens.refresh()
    assert tokens.held == frozenset()
