"""An Apache Kafka that demands TLS, SCRAM and a permission for everything; what is not allowed is refused."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from streams.broker import apache
from streams.broker.apache import ApacheBroker
from streams.broker.base import BrokerUnavailableError, free_port, last_line, run
from support.service.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ADMIN = "admin"
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
_UP_WITHIN_S = 90.0


class SecureBroker(ApacheBroker):
    """One listener, SASL_SSL with SCRAM-SHA-512; `admin` may do everything, others what ACLs allow.

    The gateway can log in by PLAIN, too, as it has a client of its own for that.
    """

    label = f"Apache Kafka {apache.VERSION}, by TLS and SCRAM only"

    def __init__(self, folder: Path) -> None:
        super().__init__(free_port(), folder, print)
        self.authority = Authority(self.folder / "tls")

    def command(self) -> list[str]:
        """Format the data folder with the administrator's password in it."""
        java, classpath = apache._java(), f"{self._jars()}/*"
        properties = self._secured()
        login = f"SCRAM-SHA-512=[name={ADMIN},password={password_of(ADMIN)}]"
        tool = [java, *apache.BRIEF, "-cp", classpath, "kafka.tools.StorageTool", "format", "--add-scram", login]
        if not (self.folder / "data" / "meta.properties").exists():
            run([*tool, f"--cluster-id={apache._cluster_id()}", "-c", str(properties)], 60)
        return [java, *apache.MEMORY, *apache.BRIEF, _QUIET, "-cp", classpath, "kafka.Kafka", str(properties)]

    def await_service(self) -> None:
        """Wait until the administrator can log in."""
        deadline = time.monotonic() + _UP_WITHIN_S
        while time.monotonic() < deadline and self.wait(0.2):
            try:
                AdminClient({**self.client(ADMIN), "log_level": 0}).list_topics(timeout=2)
            except KafkaException:
                continue
            return
        raise BrokerUnavailableError(f"it did not come up: {last_line(self.log)}")

    def client(self, user: str) -> dict[str, Any]:
        """The properties of librdkafka for a user."""
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.authority.root),
            "sasl.mechanisms": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password_of(user),
        }

    def variables(self, user: str) -> dict[str, str]:
        """The same as variables of the service's programs."""
        kafka = {name: text for name, text in self.client(user).items() if name != "bootstrap.servers"}
        named = {f"STREAMS_KAFKA_{name.replace('.', '_').upper()}": text for name, text in kafka.items()}
        return {"STREAMS_BOOTSTRAP_SERVERS": self.bootstrap, **named}

    def add_users(self, *users: str) -> None:
        """Let these log in; they may do nothing yet."""
        rounds = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        wanted: list[UserScramCredentialAlteration] = []
        wanted += [UserScramCredentialUpsertion(user, rounds, password_of(user).encode()) for user in users]
        admin = AdminClient(self.client(ADMIN))
        for future in admin.alter_user_scram_credentials(wanted).values():
            future.result(30)

    def tool(self, main: str, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """One of Kafka's own programs, as the administrator."""
        config = self.folder / "admin.properties"
        config.write_text(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n"
            f"ssl.truststore.type=PEM\nssl.truststore.location={self.authority.root}\n"
            f"sasl.jaas.config={_login(ADMIN)}\n"
        )
        command = [apache._java(), "-Xmx128m", *apache.BRIEF, _QUIET, "-cp", f"{self._jars()}/*", main, *words]
        return subprocess.run(
            [*command, "--bootstrap-server", self.bootstrap, "--command-config", str(config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def _secured(self) -> Path:
        path = self.folder / "server.properties"
        if path.exists():
            return path
        cert, key = self.authority.issue("broker")
        keystore = self.folder / "broker-keystore.pem"
        keystore.write_text(key.read_text() + cert.read_text())
        controller = free_port()
        client = f"SASL_SSL://127.0.0.1:{self.port}"
        own = {
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"CONTROLLER://127.0.0.1:{controller},{client}",
            "advertised.listeners": client,
            "inter.broker.listener.name": "SASL_SSL",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": _login(ADMIN),
            "listener.name.sasl_ssl.plain.sasl.jaas.config": _plain_logins(),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.root),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            # The controller's own listener, on this machine only, knows nobody by name.
            "super.users": f"User:{ADMIN};User:ANONYMOUS",
            "log.dirs": str(self.folder / "data"),
        }
        path.write_text("".join(f"{name}={text}\n" for name, text in (apache.SETTINGS | own).items()))
        return path


def password_of(user: str) -> str:
    """The password of a user of such a broker."""
    return f"{user}s-own-kafka-password"


def _login(user: str) -> str:
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    return f'{module} required username="{user}" password="{password_of(user)}";'


def _plain_logins() -> str:
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return f'{module} required user_gateway="{password_of("gateway")}";'
