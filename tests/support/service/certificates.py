"""Certificates for tests, by the program `openssl`."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"


class Authority:
    """An authority of its own, in a folder; `root` is its certificate."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl, which makes the certificates, is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.root = folder / "ca.pem"
        self._key = folder / "ca.key"
        issuer = ["-subj", "/CN=authority of the tests", "-addext", "keyUsage=critical,keyCertSign"]
        _openssl("req", "-x509", *_KEY, "-keyout", self._key, "-out", self.root, "-days", "2", *issuer)

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for the loopback names, and its key without a password; both PEM."""
        cert, key, request, more = (self._folder / f"{name}.{kind}" for kind in ("pem", "key", "csr", "ext"))
        more.write_text(_NAMES)
        _openssl("req", *_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signed = ["-CA", self.root, "-CAkey", self._key, "-CAcreateserial", "-days", "2", "-extfile", more]
        _openssl("x509", "-req", "-in", request, "-out", cert, *signed)
        return cert, key


def _openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
