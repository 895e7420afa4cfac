"""The settings' librdkafka properties, translated for Faust (aiokafka)."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any

import faust

from streams.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_UNDERSTOOD = frozenset(
    {
        "bootstrap.servers",
        "client.id",
        "compression.type",
        "enable.ssl.certificate.verification",
        "linger.ms",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.endpoint.identification.algorithm",
        "ssl.key.location",
        "ssl.key.password",
    }
)
_SECURITY = ("sasl.", "ssl.", "security.", "enable.ssl.", "enable.sasl.", "https.")


def app_options(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a Faust app for a connection to the brokers as the properties describe it.

    Raises:
        ConfigError: a security property for which Faust has no counterpart.
    """
    _refuse_unknown_security(properties)
    options: dict[str, Any] = {
        "broker": [f"kafka://{server.strip()}" for server in str(properties["bootstrap.servers"]).split(",")],
        "broker_credentials": _credentials(properties),
    }
    if "client.id" in properties:
        options["broker_client_id"] = properties["client.id"]
    if properties.get("compression.type", "none") != "none":
        options["producer_compression_type"] = properties["compression.type"]
    if "linger.ms" in properties:
        options["producer_linger"] = float(properties["linger.ms"]) / 1000
    return options


def keep_logins_out_of_the_log() -> None:
    """At the level `debug` aiokafka logs each request: that of a login by PLAIN is the password."""
    logging.getLogger("aiokafka.conn").addFilter(_is_no_login)


def _is_no_login(record: logging.LogRecord) -> bool:
    told = record.args if isinstance(record.args, tuple) else ()
    return not any(type(each).__name__.startswith("SaslAuthenticate") for each in told)


def without_effect(properties: Mapping[str, Any]) -> list[str]:
    """Tuning properties of librdkafka for which the gateway's own client has no counterpart."""
    return sorted(set(properties) - _UNDERSTOOD)


def _refuse_unknown_security(properties: Mapping[str, Any]) -> None:
    refused = [name for name in without_effect(properties) if name.startswith(_SECURITY)]
    if refused:
        known = ", ".join(sorted(name for name in _UNDERSTOOD if name.startswith(_SECURITY)))
        raise ConfigError(f"the gateway cannot honour {', '.join(refused)}: it knows {known}")


def _credentials(properties: Mapping[str, Any]) -> Any:
    """Faust's credentials; None for plain text without a login."""
    protocol = str(properties.get("security.protocol", "plaintext")).upper()
    match protocol:
        case "PLAINTEXT":
            return None
        case "SSL":
            return faust.SSLCredentials(_ssl_context(properties))
        case "SASL_PLAINTEXT":
            return _sasl(properties, None)
        case "SASL_SSL":
            return _sasl(properties, _ssl_context(properties))
        case _:
            raise ConfigError(f"security.protocol {protocol}: plaintext, ssl, sasl_plaintext or sasl_ssl")


def _sasl(properties: Mapping[str, Any], context: ssl.SSLContext | None) -> Any:
    mechanism = properties.get("sasl.mechanism", properties.get("sasl.mechanisms", "GSSAPI"))
    if mechanism not in _MECHANISMS:
        raise ConfigError(f"sasl.mechanism {mechanism}: the gateway knows {', '.join(_MECHANISMS)}")
    missing = [name for name in ("sasl.username", "sasl.password") if name not in properties]
    if missing:
        raise ConfigError(f"{', '.join(missing)}: needed by sasl.mechanism {mechanism}")
    return faust.SASLCredentials(
        username=properties["sasl.username"],
        password=properties["sasl.password"],
        mechanism=mechanism,
        ssl_context=context,
    )


def _ssl_context(properties: Mapping[str, Any]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=properties.get("ssl.ca.location"))
        if "ssl.certificate.location" in properties:
            context.load_cert_chain(
                properties["ssl.certificate.location"],
                properties.get("ssl.key.location"),
                properties.get("ssl.key.password"),
            )
    except OSError as error:
        names = [name for name in properties if name.startswith("ssl.") and name.endswith("location")]
        raise ConfigError(f"{', '.join(names)}: {error}") from None
    if properties.get("ssl.endpoint.identification.algorithm", "https") == "none":
        context.check_hostname = False
    if str(properties.get("enable.ssl.certificate.verification", "true")).lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
