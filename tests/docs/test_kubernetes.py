"""The manifests of `deploy/kubernetes` fit one another, the settings and the programs' endpoints."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from streams.config import Settings, variable
from support.service.programs import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
EXAMPLE = "secret.example.yaml"
SETTINGS = {variable(field) for field in Settings.model_fields if field != "kafka"}


def documents(name: str) -> list[dict[str, Any]]:
    """The objects of a file."""
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


KUSTOMIZATION = documents("kustomization.yaml")[0]
OBJECTS = {
    (each["kind"], each["metadata"]["name"]): each for name in KUSTOMIZATION["resources"] for each in documents(name)
}
WORKLOADS = [key for key in OBJECTS if key[0] in {"StatefulSet", "Deployment", "Job"}]


def pod(key: tuple[str, str]) -> dict[str, Any]:
    """A workload's pod."""
    found: dict[str, Any] = OBJECTS[key]["spec"]["template"]
    return found


def test_every_manifest_is_applied_but_the_example() -> None:
    """A file that is forgotten in the kustomization looks as if it did something."""
    files = {path.name for path in FOLDER.glob("*.yaml")} - {EXAMPLE, "kustomization.yaml"}
    assert files == set(KUSTOMIZATION["resources"])


def test_no_secret_is_in_the_repository() -> None:
    """The example says how to make each, and its content would be refused."""
    assert not [key for key in OBJECTS if key[0] == "Secret"]
    for each in documents(EXAMPLE):
        assert all(text.startswith("<") for text in each["stringData"].values())


@pytest.mark.parametrize("key", WORKLOADS, ids="-".join)
def test_a_workload_runs_with_the_least_rights(key: tuple[str, str]) -> None:
    """As the image is made: user 10001, nothing writable but its volumes, no token of the cluster."""
    spec = pod(key)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} <= container["resources"].keys()


@pytest.mark.parametrize("key", WORKLOADS, ids="-".join)
def test_what_a_workload_names_is_there(key: tuple[str, str]) -> None:
    """Settings, config maps, secrets, volumes, and the verb of the program."""
    spec = pod(key)["spec"]
    (container,) = spec["containers"]
    given = {each["name"] for each in container.get("env", ())}
    maps = [OBJECTS["ConfigMap", each["configMapRef"]["name"]] for each in container["envFrom"]]
    given |= {name for each in maps for name in each["data"]}
    assert {name for name in given if name.startswith("STREAMS_")} <= SETTINGS
    secrets = {each["metadata"]["name"]: each["stringData"] for each in documents(EXAMPLE)}
    volumes = {each["name"]: each for each in spec.get("volumes", ())}
    claims = {each["metadata"]["name"] for each in OBJECTS[key]["spec"].get("volumeClaimTemplates", ())}
    mounts = {each["name"]: each["mountPath"] for each in container.get("volumeMounts", ())}
    assert mounts.keys() == volumes.keys() | claims
    files = {
        f"{mounts[name]}/{file}"
        for name, volume in volumes.items()
        if "secret" in volume
        for file in secrets[volume["secret"]["secretName"]]
    }
    named = {each["value"] for each in container.get("env", ()) if each["name"].endswith("_FILE")}
    assert named <= files
    assert container["args"][0] in {"worker", "gateway", "topics"}


@pytest.mark.parametrize("key", [key for key in WORKLOADS if key[0] != "Job"], ids="-".join)
def test_a_program_is_probed_spared_and_found(key: tuple[str, str]) -> None:
    """Live decides about restarts, ready about traffic; a budget and a service select its pods."""
    labels = pod(key)["metadata"]["labels"]
    assert OBJECTS[key]["spec"]["selector"]["matchLabels"] == labels
    (container,) = pod(key)["spec"]["containers"]
    asked = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    assert asked == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
    assert pod(key)["spec"]["terminationGracePeriodSeconds"] >= 30
    name = key[1]
    assert OBJECTS["Service", name]["spec"]["selector"] == labels
    assert OBJECTS["PodDisruptionBudget", name]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["NetworkPolicy", name]["spec"]["podSelector"]["matchLabels"] == labels


def test_a_worker_keeps_its_name_and_its_tables() -> None:
    """The name of its pod is its id and its address; the claim is its state folder, as the image has it."""
    worker = OBJECTS["StatefulSet", "worker"]["spec"]
    (container,) = worker["template"]["spec"]["containers"]
    variables = {each["name"]: each for each in container["env"]}
    assert variables["STREAMS_WORKER_ID"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert f".{worker['serviceName']}." in variables["STREAMS_WORKER_URL"]["value"]
    assert OBJECTS["Service", worker["serviceName"]]["spec"]["clusterIP"] == "None"
    mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(rf"STREAMS_STATE_DIR={re.escape(mounted['state'])}$", image, flags=re.MULTILINE)
