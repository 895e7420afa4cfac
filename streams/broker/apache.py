"""Apache Kafka without Docker: its jars by Maven, one KRaft process on Java."""

from __future__ import annotations

import base64
import re
import shutil
import tempfile
import uuid
from pathlib import Path

from filelock import FileLock

from streams.broker.base import BrokerUnavailableError, ProcessBroker, cache_folder, free_port, run

VERSION = "4.1.0"
OLDEST_JAVA = 17

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{VERSION}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
"""

# The same for every real broker started here, so that tests see one configuration.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # A killed broker can return with its id only after its old session has ended (9 s by default).
    "broker.heartbeat.interval.ms": "1000",
    "broker.session.timeout.ms": "4000",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "log.cleaner.dedupe.buffer.size": "33554432",
    "log.retention.ms": "-1",
}
MEMORY = ["-Xms256m", "-Xmx1g"]
# In a broker's first minutes, better compilation and parallel garbage collection cost more than they save.
BRIEF = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# As Kafka's own start script has it. With Java's defaults, collections took up to 50 ms, several of them each second.
LASTING = [
    "-Xms1g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
]


class ApacheBroker(ProcessBroker):
    """Apache Kafka on this machine's Java."""

    kind = "apache"
    label = f"Apache Kafka {VERSION} (Java, jars by Maven)"

    def command(self) -> list[str]:
        """Fetch missing jars, and format a new data folder."""
        java = _java()
        classpath = f"{self._jars()}/*"
        properties = self._properties()
        data = self.folder / "data"
        if not (data / "meta.properties").exists():
            tool = [java, *BRIEF, "-cp", classpath, "kafka.tools.StorageTool"]
            run([*tool, "format", f"--cluster-id={_cluster_id()}", "-c", str(properties)], 60)
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        flags = LASTING if self.lasting else BRIEF
        return [java, *MEMORY, *flags, quiet, "-cp", classpath, "kafka.Kafka", str(properties)]

    def _properties(self) -> Path:
        path = self.folder / "server.properties"
        if path.exists() and f":{self.port}\n" in path.read_text():
            return path
        controller = free_port()
        listeners = f"PLAINTEXT://127.0.0.1:{self.port}"
        own = {
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"CONTROLLER://127.0.0.1:{controller},{listeners}",
            "advertised.listeners": listeners,
            "log.dirs": str(self.folder / "data"),
        }
        path.write_text("".join(f"{name}={setting}\n" for name, setting in (SETTINGS | own).items()))
        return path

    def _jars(self) -> Path:
        jars = cache_folder(f"kafka-{VERSION}")
        jars.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{jars}.lock"):
            if not jars.exists():
                maven = shutil.which("mvn")
                if maven is None:
                    raise BrokerUnavailableError("Maven (mvn) is not installed")
                self.say(f"broker: fetching Apache Kafka {VERSION} by Maven, once (54 MB) ...")
                _fetch(maven, jars)
        return jars


def _cluster_id() -> str:
    """An id as Kafka makes them: 16 bytes in 22 characters."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _fetch(maven: str, jars: Path) -> None:
    """Copy Kafka and its dependencies; the folder appears only once it is complete."""
    with tempfile.TemporaryDirectory(dir=jars.parent) as temporary:
        (Path(temporary) / "pom.xml").write_text(POM)
        whole = Path(temporary) / "jars"
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={whole}"]
        run([maven, *goal, "-q", "-B", "-f", str(Path(temporary) / "pom.xml")], 600)
        whole.rename(jars)


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise BrokerUnavailableError("Java is not installed")
    version = run([java, "--version"], 30)
    found = re.search(r"\b(\d+)(?:\.\d+)*", version)
    if found is None or int(found.group(1)) < OLDEST_JAVA:
        raise BrokerUnavailableError(f"Java {OLDEST_JAVA} or later is needed, this is: {version.splitlines()[0]}")
    return java
