"""How the gateway's own client reaches the brokers."""

from __future__ import annotations

import logging
import ssl

import faust
import pytest
from aiokafka.protocol.admin import (
    SaslAuthenticateRequest,
    SaslAuthenticateRequest_v1,
    SaslHandShakeRequest,
    SaslHandShakeRequest_v1,
)

from streams.errors import ConfigError
from streams.gateway.faust_options import app_options, keep_logins_out_of_the_log, without_effect

PLAIN = {"bootstrap.servers": "one:9092, two:9093"}


def test_brokers_and_tuning_are_taken_over() -> None:
    """Every broker, the client's name, compression and linger reach Faust."""
    options = app_options(PLAIN | {"client.id": "me", "compression.type": "lz4", "linger.ms": "20"})
    assert options == {
        "broker": ["kafka://one:9092", "kafka://two:9093"],
        "broker_credentials": None,
        "broker_client_id": "me",
        "producer_compression_type": "lz4",
        "producer_linger": 0.02,
    }


def test_login_over_plain_text() -> None:
    """SASL without TLS carries mechanism, name and password."""
    login = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ann",
        "sasl.password": "secret",
    }
    credentials = app_options(PLAIN | login)["broker_credentials"]
    assert isinstance(credentials, faust.SASLCredentials)
    assert credentials.protocol.value == "SASL_PLAINTEXT"
    assert (credentials.mechanism.value, credentials.username, credentials.password) == (
        "SCRAM-SHA-512",
        "ann",
        "secret",
    )
    assert credentials.ssl_context is None


def test_login_over_tls_checks_the_broker_unless_told_otherwise() -> None:
    """Certificate and host name are checked; each check can be turned off by its own property."""
    login = {"security.protocol": "sasl_ssl", "sasl.mechanisms": "PLAIN", "sasl.username": "a", "sasl.password": "b"}
    checked = app_options(PLAIN | login)["broker_credentials"].ssl_context
    assert (checked.check_hostname, checked.verify_mode) == (True, ssl.CERT_REQUIRED)
    any_host = app_options(PLAIN | login | {"ssl.endpoint.identification.algorithm": "none"})["broker_credentials"]
    assert (any_host.ssl_context.check_hostname, any_host.ssl_context.verify_mode) == (False, ssl.CERT_REQUIRED)
    nothing = app_options(PLAIN | login | {"enable.ssl.certificate.verification": "false"})["broker_credentials"]
    assert (nothing.ssl_context.check_hostname, nothing.ssl_context.verify_mode) == (False, ssl.CERT_NONE)


def test_tls_alone() -> None:
    """TLS without a login."""
    credentials = app_options(PLAIN | {"security.protocol": "ssl"})["broker_credentials"]
    assert isinstance(credentials, faust.SSLCredentials)
    assert credentials.context.check_hostname


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"security.protocol": "carrier_pigeon"}, "security.protocol CARRIER_PIGEON"),
        ({"security.protocol": "sasl_ssl"}, "sasl.mechanism GSSAPI: the gateway knows PLAIN"),
        ({"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"}, "sasl.username, sasl.password: needed"),
        ({"sasl.oauthbearer.config": "x"}, "the gateway cannot honour sasl.oauthbearer.config"),
        ({"security.protocol": "ssl", "ssl.ca.pem": "x"}, "the gateway cannot honour ssl.ca.pem"),
        ({"security.protocol": "ssl", "ssl.ca.location": "/nowhere.pem"}, "ssl.ca.location: .*No such file"),
    ],
)
def test_security_that_faust_cannot_give_is_refused_by_name(properties: dict[str, str], message: str) -> None:
    """Never connected less securely than the settings say."""
    with pytest.raises(ConfigError, match=message):
        app_options(PLAIN | properties)


def test_tuning_without_a_counterpart_is_known() -> None:
    """Such properties change nothing in the gateway, and it can say so."""
    assert without_effect(PLAIN | {"linger.ms": "5", "queue.buffering.max.kbytes": "9", "batch.size": "7"}) == [
        "batch.size",
        "queue.buffering.max.kbytes",
    ]


def test_a_password_is_not_logged_on_its_way_to_the_broker(caplog: pytest.LogCaptureFixture) -> None:
    """A login by PLAIN, as aiokafka logs its requests at the level `debug`; others are still logged."""
    keep_logins_out_of_the_log()
    connection = logging.getLogger("aiokafka.conn")
    login = SaslAuthenticateRequest(b"\0ann\0hunter2").build(SaslAuthenticateRequest_v1)
    assert "hunter2" in repr(login)
    with caplog.at_level(logging.DEBUG, "aiokafka"):
        for request in (SaslHandShakeRequest("PLAIN").build(SaslHandShakeRequest_v1), login):
            connection.debug("Request to %s:%d %d: %s", "kafka", 9093, 1, request)
    assert "SaslHandShakeRequest_v1(mechanism='PLAIN')" in caplog.text
    assert "hunter2" not in caplog.text
