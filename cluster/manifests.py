"""Write the manifests of a cluster: Kubernetes, AWS, GCP, and what shows its runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from cluster import charts, clouds, kubernetes
from cluster.image import dockerfile
from cluster.nodes import Cluster
from hmarl import command
from hmarl.errors import Failed
from hmarl.files import write_atomic


class ManifestSettings(Cluster):
    """Options of ``python -m cluster.manifests``."""

    out: Path = Field(Path("cluster"), description="folder that they are written to")
    check: bool = Field(False, description="write nothing; say which differ, with exit status 1")


def main(argv: list[str]) -> int:
    """Write the manifests that are not there yet or differ, or name them."""
    line = (__doc__ or "").split("\n")[0]
    settings = command.parse(ManifestSettings, argv, "python -m cluster.manifests", line)
    wanted = manifests(Cluster.model_validate(settings.model_dump(exclude={"out", "check"})))
    changed = [path for path, text in wanted.items() if not _is(settings.out / path, text)]
    if settings.check and changed:
        raise Failed(f"{settings.out}: out of date: {', '.join(changed)}: python -m cluster.manifests")
    for path in changed:
        print(write_atomic(settings.out / path, wanted[path]))
    return 0


def manifests(cluster: Cluster) -> dict[str, str]:
    """The text of each file by its path below the folder."""
    return {
        "kuberay/storage.yaml": _yaml(kubernetes.storage(cluster), "kubectl apply -f cluster/kuberay/storage.yaml"),
        "kuberay/raycluster.yaml": _yaml(
            kubernetes.ray_cluster(cluster),
            "kubectl apply -f cluster/kuberay/raycluster.yaml   (KubeRay 1.5.1 or newer)",
        ),
        "kuberay/rayjob.yaml": _yaml(
            kubernetes.ray_job(cluster), "kubectl apply -f cluster/kuberay/rayjob.yaml   (KubeRay 1.5.1 or newer)"
        ),
        "kuberay/podmonitor.yaml": _yaml(
            kubernetes.pod_monitor(cluster), "kubectl apply -f cluster/kuberay/podmonitor.yaml   (Prometheus operator)"
        ),
        "aws.yaml": _yaml(clouds.aws(cluster), *_up("aws")),
        "gcp.yaml": _yaml(clouds.gcp(cluster), *_up("gcp")),
        "Dockerfile": _headed(dockerfile(cluster), f"docker build -f cluster/Dockerfile -t {cluster.image} ."),
        "monitoring/prometheus.yml": _yaml(
            charts.prometheus(),
            "on the head: prometheus --config.file=prometheus.yml --web.listen-address=127.0.0.1:9090",
        ),
        "monitoring/grafana.ini": _headed(
            charts.grafana_ini(),
            "on the head, in this folder: grafana server --homepath HOME --config grafana.ini",
            mark=";",
        ),
        "monitoring/provisioning/datasources/prometheus.yaml": _yaml(charts.data_source()),
        "monitoring/provisioning/dashboards/hmarl.yaml": _yaml(charts.provider()),
        "monitoring/dashboards/hmarl.json": json.dumps(charts.dashboard(), indent=1) + "\n",
    }


def _up(cloud: str) -> tuple[str, ...]:
    return (
        "export RAY_AUTH_MODE=token; ray get-auth-token --generate",
        f"ray up cluster/{cloud}.yaml; ray dashboard cluster/{cloud}.yaml   (at the top of the checkout)",
    )


def _yaml(content: Any, *how: str) -> str:
    return _headed(yaml.safe_dump(content, sort_keys=False, width=150), *how)


def _headed(text: str, *how: str, mark: str = "#") -> str:
    lines = ["Written by python -m cluster.manifests from cluster/nodes.py: change that, and write it again.", *how]
    return "".join(f"{mark} {line}\n" for line in lines) + text


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    command.run(main)
