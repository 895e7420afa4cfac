"""When a gateway may start."""

from __future__ import annotations

import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from streams.config import Settings
from streams.errors import ConfigError
from streams.gateway.access.start_rules import is_loopback, server_options, tls_options, tokens_of
from support.service.certificates import Authority
from support.service.door import LINES
from support.service.programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = "0.0.0.0:8080"
HTTPS = "https://streams.example.com"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A tokens file, a certificate and its key."""
    tokens = tmp_path / "tokens"
    tokens.write_text("\n".join(LINES))
    tokens.chmod(0o600)
    cert, key = Authority(tmp_path).issue("gateway")
    return {"gateway_tokens_file": tokens, "gateway_tls_cert": cert, "gateway_tls_key": key}


def _settings(**given: Any) -> Settings:
    return Settings(**given)


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "127.8.9.1:0", "[::1]:8080", "localhost:8080"])
def test_on_the_loopback_address_no_token_is_needed(address: str) -> None:
    """Only programs of this machine can come."""
    assert tokens_of(_settings(gateway_http=address)) is None


@pytest.mark.parametrize("address", [ELSEWHERE, "[::]:8080", "10.0.0.1:8080", "gateway:8080", "localhost.evil:80"])
def test_on_another_address_tokens_and_tls_are_needed(address: str, files: dict[str, Path]) -> None:
    """Each that is missing is named; a proxy's TLS is as good as its own."""
    tokens = {"gateway_tokens_file": files["gateway_tokens_file"]}
    with pytest.raises(ConfigError, match=r"set STREAMS_GATEWAY_TOKENS_FILE and STREAMS_GATEWAY_TLS_CERT with"):
        tokens_of(_settings(gateway_http=address))
    with pytest.raises(ConfigError, match=r"set STREAMS_GATEWAY_TLS_CERT with STREAMS_GATEWAY_TLS_KEY \(or"):
        tokens_of(_settings(gateway_http=address, **tokens))
    with pytest.raises(ConfigError, match=r"set STREAMS_GATEWAY_TLS_CERT with"):
        tokens_of(_settings(gateway_http=address, gateway_public_url="http://streams.example.com", **tokens))
    with pytest.raises(ConfigError, match=r"set STREAMS_GATEWAY_TOKENS_FILE; or STREAMS_GATEWAY_OPEN=true"):
        tokens_of(_settings(gateway_http=address, gateway_public_url=HTTPS))
    for guarded in ({**tokens, "gateway_public_url": HTTPS}, files):
        found = tokens_of(_settings(gateway_http=address, **guarded))
        assert found is not None
        assert {each.caller.name for each in found.held} == {"ann", "vic"}


def test_an_open_gateway_says_so_at_each_start(files: dict[str, Path]) -> None:
    """Tokens that it has are asked for all the same."""
    with structlog.testing.capture_logs() as told:
        assert tokens_of(_settings(gateway_http=ELSEWHERE, gateway_open=True)) is None
        tokens = files["gateway_tokens_file"]
        assert tokens_of(_settings(gateway_http=ELSEWHERE, gateway_open=True, gateway_tokens_file=tokens)) is not None
    assert [(each["log_level"], each["because"], each["tokens"]) for each in told] == [
        ("warning", "STREAMS_GATEWAY_OPEN=true", False),
        ("warning", "STREAMS_GATEWAY_OPEN=true", True),
    ]


def test_a_bad_tokens_file_lets_no_gateway_start(files: dict[str, Path]) -> None:
    """Also where none would be needed."""
    files["gateway_tokens_file"].write_text("ann")
    with pytest.raises(ConfigError, match="line 1"):
        tokens_of(_settings(gateway_http="127.0.0.1:8080", gateway_tokens_file=files["gateway_tokens_file"]))


def test_a_certificate_and_its_key_are_tried_before_the_start(files: dict[str, Path], tmp_path: Path) -> None:
    """One without the other, one that is not there, one that is none, the key of another."""
    for one in ("gateway_tls_cert", "gateway_tls_key"):
        with pytest.raises(ConfigError, match="go together: set both"):
            tokens_of(_settings(**{one: files[one]}))
    other = Authority(tmp_path / "other").issue("other")[1]
    for wrong in (tmp_path / "nowhere", files["gateway_tokens_file"], other):
        with pytest.raises(ConfigError, match=r"STREAMS_GATEWAY_TLS_KEY=.* cannot be used: "):
            tokens_of(_settings(gateway_tls_cert=files["gateway_tls_cert"], gateway_tls_key=wrong))


def test_a_short_metrics_token_is_refused_and_not_repeated() -> None:
    """It could be guessed, and the message goes to a log."""
    with pytest.raises(ConfigError, match="STREAMS_METRICS_TOKEN is too short") as caught:
        tokens_of(_settings(metrics_token="hunter2hunter2!"))  # noqa: S106 - of a test
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(_settings(metrics_token="hunter2"))  # noqa: S106 - likewise


def test_uvicorn_gets_tls_and_logs_no_urls(files: dict[str, Path]) -> None:
    """Only sound ciphers of TLS 1.2; nothing for plain HTTP; a proxy's headers only where there is a proxy."""
    assert tls_options(_settings()) == {}
    options = tls_options(_settings(**files))
    assert (options["ssl_certfile"], options["ssl_keyfile"]) == (
        str(files["gateway_tls_cert"]),
        str(files["gateway_tls_key"]),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(options["ssl_ciphers"])
    names = {each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"}
    assert names
    assert all(each.startswith("ECDHE-") and ("GCM" in each or "CHACHA20" in each) for each in names)
    assert server_options(_settings())["access_log"] is False
    assert server_options(_settings())["proxy_headers"] is False
    assert server_options(_settings(gateway_public_url=HTTPS))["proxy_headers"] is True


def test_only_addresses_of_the_loopback_network_are_loopback() -> None:
    """A name that merely begins so is resolved by others."""
    assert [is_loopback(each) for each in ("127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST")] == [True] * 5
    assert [is_loopback(each) for each in ("0.0.0.0", "::", "127.0.0.1.nip.io", "localhost.example.com")] == [False] * 4  # noqa: S104 - likewise


def test_a_gateway_that_may_not_start_opens_nothing_and_says_so(tmp_path: Path) -> None:
    """Before it looks for a broker: one line, exit code 1."""
    command = [sys.executable, "-m", "streams", "gateway"]
    variables = {"STREAMS_BOOTSTRAP_SERVERS": "127.0.0.1:1", "STREAMS_GATEWAY_HTTP": ELSEWHERE}
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **variables}
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"error: STREAMS_GATEWAY_HTTP={ELSEWHERE} can be reached by other machines: set")
