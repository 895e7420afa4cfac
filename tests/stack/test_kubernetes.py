"""The manifests against Kubernetes' own schemas, and as kustomize puts them together."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from support.service.programs import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("version", ["1.29.0", "1.37.0"])
def test_the_manifests_are_valid(version: str) -> None:
    """Strictly: a misspelt field is refused.

    The validator brings the schemas of all versions, 110 MB, so it is no part of the environment for development:
    `pipx install kubernetes-validate` puts it on the path.
    """
    if shutil.which("kubernetes-validate") is None:
        pytest.skip("kubernetes-validate is not on the path: pipx install kubernetes-validate")
    done = subprocess.run(
        ["kubernetes-validate", "--strict", "-k", version, *FILES],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_kustomize_puts_them_together() -> None:
    """Names, namespace, image and labels come out as one list of objects."""
    if shutil.which("kustomize") is None:
        pytest.skip("kustomize is not on the path")
    done = subprocess.run(["kustomize", "build", "."], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("namespace: streams\n") >= 10
    assert "image: streams\n" not in done.stdout
