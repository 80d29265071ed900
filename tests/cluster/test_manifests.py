"""The manifests are those of the description, take what Ray and KubeRay take, and open nothing to strangers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from cluster import clouds
from cluster.manifests import manifests
from cluster.nodes import CHECKOUT, Cluster, Group

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = manifests(Cluster())
# https://ray-project.github.io/kuberay/reference/api/, with authOptions since KubeRay 1.5.1
FIELDS = {
    "RayClusterSpec": "authOptions suspend managedBy autoscalerOptions headServiceAnnotations enableInTreeAutoscaling "
    "gcsFaultToleranceOptions headGroupSpec rayVersion workerGroupSpecs",
    "AutoscalerOptions": "resources image imagePullPolicy securityContext idleTimeoutSeconds upscalingMode version env "
    "envFrom volumeMounts",
    "HeadGroupSpec": "template headService enableIngress rayStartParams serviceType",
    "WorkerGroupSpec": "suspend groupName replicas minReplicas maxReplicas idleTimeoutSeconds rayStartParams template "
    "scaleStrategy numOfHosts",
    "RayJobSpec": "activeDeadlineSeconds backoffLimit rayClusterSpec submitterPodTemplate metadata clusterSelector "
    "submitterConfig managedBy deletionStrategy entrypoint runtimeEnvYAML jobId submissionMode entrypointResources "
    "entrypointNumCpus entrypointNumGpus ttlSecondsAfterFinished shutdownAfterJobFinishes suspend schedule",
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cluster.manifests", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def read(path: str) -> Any:
    return yaml.safe_load(MANIFESTS[path])


def clusters() -> list[Any]:
    """The spec of a RayCluster, alone and in a RayJob."""
    return [read("kuberay/raycluster.yaml")["spec"], read("kuberay/rayjob.yaml")["spec"]["rayClusterSpec"]]


def pods() -> list[Any]:
    """The spec of every pod."""
    templates = [read("kuberay/rayjob.yaml")["spec"]["submitterPodTemplate"]]
    for spec in clusters():
        templates += [spec["headGroupSpec"]["template"], *(group["template"] for group in spec["workerGroupSpecs"])]
    return [template["spec"] for template in templates]


def test_the_committed_files_are_those_of_the_description() -> None:
    assert {path: (ROOT / "cluster" / path).read_text() for path in MANIFESTS} == MANIFESTS


def test_check_names_what_is_out_of_date_and_writes_nothing(tmp_path: Path) -> None:
    written = run("--out", str(tmp_path))
    assert written.returncode == 0, written.stderr
    assert written.stdout.split() == [str(tmp_path / path) for path in MANIFESTS]
    assert run("--out", str(tmp_path), "--check").returncode == 0
    (tmp_path / "gcp.yaml").write_text("changed")
    found = run("--out", str(tmp_path), "--check")
    assert (found.returncode, found.stderr) == (
        1,
        f"error: {tmp_path}: out of date: gcp.yaml: python -m cluster.manifests\n",
    )
    assert (tmp_path / "gcp.yaml").read_text() == "changed"


def test_a_description_of_ones_own_changes_all_of_them(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("cluster_name: mine\nrunner_nodes: {most: 20, spot: false, aws: c7i.8xlarge}\n")
    assert run("--config", str(mine), "--out", str(tmp_path)).returncode == 0
    aws, gcp, job = (
        yaml.safe_load((tmp_path / p).read_text()) for p in ("aws.yaml", "gcp.yaml", "kuberay/rayjob.yaml")
    )
    runners = aws["available_node_types"]["runners"]
    assert runners["node_config"]["InstanceType"] == "c7i.8xlarge"
    assert "InstanceMarketOptions" not in runners["node_config"]
    assert (aws["cluster_name"], runners["max_workers"], aws["max_workers"]) == ("mine", 20, 23)
    assert gcp["available_node_types"]["runners"]["max_workers"] == 20
    assert job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"] == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runner-nodes", "{most: 0}"], "--runner-nodes: most: 0: at least 1"),
        (["--trainer-nodes", "{spot: true}"], "--trainer-nodes: spot: for groups without GPUs"),
        (["--engine-nodes", "{least: 3}"], "--engine-nodes: least 3: at most most, 1"),
        (["--runner-nodes", "{nodes: 3}"], "--runner-nodes: nodes: unknown; it is one of aws, cpus"),
    ],
)
def test_a_wrong_description_is_one_line(arguments: list[str], message: str) -> None:
    found = run(*arguments)
    assert found.returncode == 2
    assert message in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_head_is_one_node_that_stays() -> None:
    with pytest.raises(ValidationError, match="one, always there"):
        Cluster(
            head_nodes=Group(cpus=7, memory_gib=24, least=1, most=1, spot=True, aws="m7i.2xlarge", gcp="n2-standard-8")
        )


@pytest.mark.parametrize("path", ["aws.yaml", "gcp.yaml"])
def test_ray_up_takes_them(path: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    content = read(path)
    config = prepare_config(content)
    validate_config(config)
    assert config["head_start_ray_commands"] == content["head_start_ray_commands"]
    assert config["available_node_types"].keys() == {"head", "runners", "trainers", "engines"}


def test_rays_schema_would_refuse_what_it_does_not_know() -> None:
    from jsonschema import ValidationError as Refused
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(Refused, match="unheard_of"):
        validate_config(prepare_config({**read("aws.yaml"), "unheard_of": 1}))


def test_ray_start_takes_the_commands() -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    for make in (clouds.aws, clouds.gcp):
        manifest = make(Cluster())
        for command in (*manifest["head_start_ray_commands"], *manifest["worker_start_ray_commands"]):
            used = {word.partition("=")[0] for word in command.split() if word.startswith("--")}
            assert used <= known
    for spec in clusters():
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            assert {f"--{name}" for name in group["rayStartParams"]} <= known


def test_kuberay_documents_every_field() -> None:
    known = {kind: set(names.split()) for kind, names in FIELDS.items()}
    assert read("kuberay/rayjob.yaml")["spec"].keys() <= known["RayJobSpec"]
    for spec in clusters():
        assert spec.keys() <= known["RayClusterSpec"]
        assert spec["autoscalerOptions"].keys() <= known["AutoscalerOptions"]
        assert spec["headGroupSpec"].keys() <= known["HeadGroupSpec"]
        for group in spec["workerGroupSpecs"]:
            assert group.keys() <= known["WorkerGroupSpec"]
            assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_tokens_are_asked_for_and_in_no_manifest() -> None:
    for spec in clusters():
        assert spec["authOptions"] == {"mode": "token"}
    for path in ("aws.yaml", "gcp.yaml"):
        manifest = read(path)
        starts = [*manifest["head_start_ray_commands"], *manifest["worker_start_ray_commands"]]
        assert all("RAY_AUTH_MODE=token" in command for command in starts if "ray start" in command)
        assert manifest["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert [path for path, text in MANIFESTS.items() if "RAY_AUTH_TOKEN" in text] == []


def test_nothing_listens_to_strangers() -> None:
    for path in ("aws.yaml", "gcp.yaml"):
        (start,) = [command for command in read(path)["head_start_ray_commands"] if "--head" in command]
        assert "--dashboard-host=127.0.0.1" in start
    for spec in clusters():
        assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
        assert spec["headGroupSpec"]["enableIngress"] is False
    assert "http_addr = 127.0.0.1" in MANIFESTS["monitoring/grafana.ini"]
    assert "--web.listen-address=127.0.0.1:9090" in MANIFESTS["monitoring/prometheus.yml"]
    assert [path for path, text in MANIFESTS.items() if "0.0.0.0" in text] == []


def test_pods_are_nobody_special_and_say_what_they_need() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            resources = container["resources"]
            assert resources["limits"] == resources["requests"]
            assert {"cpu", "memory"} <= resources["limits"].keys()


def test_only_runners_may_be_taken_back() -> None:
    aws, gcp = (read(path)["available_node_types"] for path in ("aws.yaml", "gcp.yaml"))
    assert [name for name, node in aws.items() if "InstanceMarketOptions" in node["node_config"]] == ["runners"]
    assert [
        name
        for name, node in gcp.items()
        if node["node_config"].get("scheduling", {}).get("provisioningModel") == "SPOT"
    ] == ["runners"]
    for spec in clusters():
        places = {
            group["groupName"]: group["template"]["spec"]["affinity"]["nodeAffinity"]
            for group in spec["workerGroupSpecs"]
        }
        hard = "requiredDuringSchedulingIgnoredDuringExecution"
        assert {name: hard in place for name, place in places.items()} == {
            "runners": False,
            "trainers": True,
            "engines": True,
        }


def test_all_packages_and_nothing_else_of_the_checkout_go_along() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= {*CHECKOUT}
    assert {"runs", ".env", ".git", "."}.isdisjoint(CHECKOUT)
    for part in CHECKOUT:
        assert part in MANIFESTS["Dockerfile"]
        assert read("aws.yaml")["file_mounts"][f"~/hmarl/{part}"] == part


def test_a_dashboards_charts_do_not_cover_one_another() -> None:
    from cluster.charts import dashboard, query
    from hmarl.gauges import MEASURES
    from llm.trainers.measures import MEASURES as LLM_MEASURES

    content = dashboard()
    taken: set[tuple[int, int]] = set()
    for panel in content["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    drawn = [target["expr"] for panel in content["panels"] for target in panel.get("targets", [])]
    assert sorted(drawn) == sorted(query(measure) for measure in (*MEASURES, *LLM_MEASURES))
    assert json.loads(MANIFESTS["monitoring/dashboards/hmarl.json"]) == content


def test_a_query_is_written_as_prometheus_wants_it() -> None:
    from cluster.charts import query
    from hmarl.gauges import Measure

    assert query(Measure("hmarl_steps", "steps", "", "", kind="counter")) == (
        'max by (run, phase) (last_over_time(ray_hmarl_steps_total{run=~"$run",phase=~"$phase"}[1h]))'
    )
