"""A small Kafka look-alike for a machine with neither Docker nor Java: the last resort, for a first look only."""

from __future__ import annotations

import importlib.util
import platform
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from filelock import FileLock

from streams.broker.base import BrokerUnavailableError, ProcessBroker, cache_folder, run

PACKAGE = "noida-db"
VERSION = "0.2.3"
# Hashes of the three wheels of this version; a file with another hash is refused.
HASHES = (
    "40a2fb15567e3d344e7483df62bb439e7d64ac6fb232f4f223554aed58204f82",  # Linux, x86-64
    "230209474a3283d73522c879c367c911cad9be56186d6045765f743228acf8e2",  # macOS, arm64
    "e7418fdddaf7dc8d00b985e2b643dfd4552e902210aebaa3ffc1ef42ff2d8313",  # macOS, x86-64
)


class EmbeddedBroker(ProcessBroker):
    """`noida-db start --only kafka` on the loopback address."""

    kind = "embedded"
    label = f"The embedded broker ({PACKAGE} {VERSION})"
    durable = False
    limits = (
        "it loses acknowledged records when it is killed, does not compact topics, does not shut out a worker that its "
        "group has given up, and creates missing topics: one worker, no data to keep"
    )

    def command(self) -> list[str]:
        """The command of an installed binary of exactly this version, else of one installed into our cache."""
        binary = _installed() or self._fetched()
        self.say(
            f"broker: running {PACKAGE} {VERSION}, a binary that nobody stands behind by name, on 127.0.0.1 only; "
            "Docker, or Java and Maven, give you Apache Kafka instead"
        )
        data = ["--data-dir", str(self.folder / "data")]
        return [str(binary), "start", "--only", "kafka", "--host", "127.0.0.1", "--kafka-port", str(self.port), *data]

    def _fetched(self) -> Path:
        target = cache_folder(f"{PACKAGE}-{VERSION}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.exists():
                self.say(f"broker: installing {PACKAGE} {VERSION} (11 MB, checked by hash) into {target} ...")
                _install(target)
        return target / "noida_db" / "noida-db"


def _installed() -> Path | None:
    """The binary from the extra `embedded`, if that is installed."""
    spec = importlib.util.find_spec("noida_db")
    if spec is None or not spec.submodule_search_locations or metadata.version(PACKAGE) != VERSION:
        return None
    return Path(spec.submodule_search_locations[0]) / "noida-db"


def _install(target: Path) -> None:
    """Install the wheel with the known hash; the folder appears only once it is complete."""
    if importlib.util.find_spec("pip") is None:
        raise BrokerUnavailableError("pip is not installed here; install the extra: streams[embedded]")
    if platform.system() not in {"Linux", "Darwin"}:
        raise BrokerUnavailableError(f"there is no {PACKAGE} for {platform.system()}")
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        pinned = Path(temporary) / "requirements.txt"
        pinned.write_text(" ".join([f"{PACKAGE}=={VERSION}", *(f"--hash=sha256:{known}" for known in HASHES)]) + "\n")
        whole = Path(temporary) / "package"
        options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--target", str(whole), "-r", str(pinned)]
        run([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *options], 300)
        whole.rename(target)
