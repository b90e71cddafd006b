"""Manifests and values for Kubernetes: what the operator's own schemas ask for, and closed by default.

No cluster can run here. The schemas come with dask-kubernetes, and are asked where it is installed; unknown names are
refused then, which a cluster would drop without a word. What scalesr itself asks of its manifests is checked always.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
CHART = "operator/deployment/helm/dask-kubernetes-operator"


def documents() -> list[dict[str, Any]]:
    """Return all documents of all manifests."""
    return [found for name in ("cluster.yaml", "run.yaml") for found in yaml.safe_load_all((FOLDER / name).read_text())]


def one(kind: str) -> dict[str, Any]:
    """Return the document of a kind of which there is one."""
    (found,) = [document for document in documents() if document["kind"] == kind]
    return found


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the specification of each pod."""
    for document in documents():
        spec = document["spec"]
        for role in ("scheduler", "worker", "template"):
            if role in spec:
                yield f"{document['metadata']['name']} {role}", spec[role]["spec"]


def installed(path: str) -> Any:
    """Return a YAML file of dask-kubernetes."""
    spec = find_spec("dask_kubernetes")
    if spec is None or spec.origin is None:
        pytest.skip("needs the schemas of the operator: pip install dask-kubernetes")
    file = Path(spec.origin).parent / path
    if not file.is_file():
        pytest.skip(f"this release of dask-kubernetes comes without {path}")
    return yaml.safe_load(file.read_text())


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of OpenAPI as one of JSON that refuses names it does not know."""
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if isinstance(value, dict) and key == "properties":
            out[key] = {name: strict(inner) for name, inner in value.items()}
        elif isinstance(value, dict):
            out[key] = strict(value)
        elif isinstance(value, list):
            out[key] = [strict(item) if isinstance(item, dict) else item for item in value]
        else:
            out[key] = value
    if schema.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        out["additionalProperties"] = False
    # Python has no words for the formats of Kubernetes, such as int32.
    return {key: value for key, value in out.items() if key != "format" or not isinstance(value, str)}


@pytest.mark.parametrize("kind", ["DaskCluster", "DaskWorkerGroup"])
def test_the_operators_own_schemas_are_met(kind: str) -> None:
    definition = installed(f"{CHART}/crds/{kind.lower()}.yaml")
    (version,) = [found for found in definition["spec"]["versions"] if found["name"] == "v1"]
    document = one(kind)
    group, _, number = document["apiVersion"].partition("/")
    assert (group, number) == (definition["spec"]["group"], "v1")
    schema = strict(version["schema"]["openAPIV3Schema"])
    body = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "metadata")}
    jsonschema.Draft7Validator(schema).validate(body)
    body["spec"]["worker"]["spec"]["containers"][0]["imgae"] = "mistyped"
    with pytest.raises(jsonschema.ValidationError, match="imgae"):
        jsonschema.Draft7Validator(schema).validate(body)


def test_the_chart_knows_every_value() -> None:
    known = installed(f"{CHART}/values.yaml")
    ours = yaml.safe_load((FOLDER / "operator-values.yaml").read_text())
    assert ours.keys() <= known.keys()
    assert ours["rbac"].keys() <= known["rbac"].keys()


def test_all_lies_in_one_namespace_and_the_operator_keeps_to_it() -> None:
    assert {document["metadata"]["namespace"] for document in documents()} == {"scalesr"}
    values = yaml.safe_load((FOLDER / "operator-values.yaml").read_text())
    assert values["rbac"]["cluster"] is False
    assert values["kopfArgs"] == ["--namespace=scalesr"]


@pytest.mark.parametrize(("name", "pod"), list(pods()), ids=[name for name, _ in pods()])
def test_no_pod_can_do_more_than_it_must(name: str, pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    inner = container["securityContext"]
    assert inner["readOnlyRootFilesystem"] is True
    assert inner["allowPrivilegeEscalation"] is False
    assert inner["capabilities"] == {"drop": ["ALL"]}
    limits = container["resources"]["limits"]
    assert "memory" in limits
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environment["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "true"
    role = "CLIENT" if "run" in name else name.rpartition(" ")[2].upper()
    for part, file in (("CERT", ""), ("KEY", "-key")):
        there = environment[f"DASK_DISTRIBUTED__COMM__TLS__{role}__{part}"]
        assert there == f"/certificates/{role.lower()}{file}.pem"


def test_workers_have_one_gpu_and_say_so() -> None:
    for name, pod in pods():
        (container,) = pod["containers"]
        gpus = container["resources"]["limits"].get("nvidia.com/gpu")
        assert gpus == (None if "scheduler" in name else "1")
        if "worker" in name:
            told = container["args"]
            assert told[told.index("--resources") + 1] == "GPU=1"
            # Dask lets go before Kubernetes kills.
            assert int(told[told.index("--memory-limit") + 1].removesuffix("GiB")) < int(
                container["resources"]["limits"]["memory"].removesuffix("Gi")
            )


def test_pre_emptible_workers_differ_in_where_they_run_alone() -> None:
    stays = one("DaskCluster")["spec"]["worker"]["spec"]
    goes = one("DaskWorkerGroup")["spec"]["worker"]["spec"]
    assert goes["containers"] == stays["containers"]
    assert {key for key in goes if goes[key] != stays.get(key)} == {
        "nodeSelector",
        "tolerations",
        "terminationGracePeriodSeconds",
    }


def test_the_scheduler_is_found_and_let_in_to() -> None:
    cluster = one("DaskCluster")
    name, space = cluster["metadata"]["name"], cluster["metadata"]["namespace"]
    address = f"tls://{name}-scheduler.{space}.svc:8786"
    callers = [pod["containers"][0]["args"] for who, pod in pods() if "scheduler" not in who]
    assert all(address in told for told in callers)
    service = cluster["spec"]["scheduler"]["service"]
    assert service["selector"] == {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    assert {port["name"]: port["port"] for port in service["ports"]} == {"tcp-comm": 8786, "http-dashboard": 8787}
    admitted = [peer["podSelector"]["matchLabels"] for peer in one("NetworkPolicy")["spec"]["ingress"][0]["from"]]
    assert {"dask.org/cluster-name": name} in admitted
    assert one("Job")["spec"]["template"]["metadata"]["labels"] in admitted


def test_no_registry_is_named() -> None:
    images = {pod["containers"][0]["image"] for _, pod in pods()}
    assert images == {"scalesr:cuda"}
    assert not re.search(r"(?i)\bghcr|docker\.io|quay|gcr\.io", "".join(f.read_text() for f in FOLDER.iterdir()))
