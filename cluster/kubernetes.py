"""A cluster on Kubernetes: what KubeRay's operator (1.5.1 or newer, for tokens) is told.

Fields: https://ray-project.github.io/kuberay/reference/api/. With ``authOptions`` the operator makes the token, keeps
it in a Secret and gives it to every pod, the one that submits the job among them.
"""

from __future__ import annotations

from typing import Any

from cluster.nodes import METRICS, Cluster, Group

API = "ray.io/v1"
STORAGE = "/storage"
_USER = 1000  # of Ray's images
_SPOT = {"cloud.google.com/gke-spot": "true", "eks.amazonaws.com/capacityType": "SPOT"}  # labels of such nodes

Object = dict[str, Any]


def ray_cluster(cluster: Cluster) -> Object:
    """RayCluster: nodes to submit jobs to."""
    return _object(API, "RayCluster", cluster.cluster_name, _cluster_spec(cluster))


def ray_job(cluster: Cluster) -> Object:
    """RayJob: a training with nodes of its own, which end with it; a retry goes on where it stopped."""
    training = f"--network two_store --name on-the-cluster --runs {STORAGE}/runs --wait 900"
    spec = {
        "entrypoint": f"python -m hmarl.train {training}",
        "submissionMode": "K8sJobMode",
        "backoffLimit": 3,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 600,
        "rayClusterSpec": _cluster_spec(cluster),
        "submitterPodTemplate": {
            "spec": {
                "restartPolicy": "Never",
                "securityContext": _pod_security(),
                "containers": [_container("submitter", cluster.image, {"cpu": "1", "memory": "2Gi"})],
            }
        },
    }
    return _object(API, "RayJob", cluster.cluster_name, spec)


def storage(cluster: Cluster) -> Object:
    """PersistentVolumeClaim: a folder that all pods see, for ``--runs`` and ``--storage``."""
    spec = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": f"{cluster.volume_gib}Gi"}},
    }
    return _object("v1", "PersistentVolumeClaim", cluster.volume, spec)


def pod_monitor(cluster: Cluster) -> Object:
    """PodMonitor: which pods the Prometheus operator reads metrics from."""
    spec = {
        "selector": {"matchExpressions": [{"key": "ray.io/cluster", "operator": "Exists"}]},
        "podMetricsEndpoints": [{"port": "metrics", "interval": "10s"}],
    }
    return _object("monitoring.coreos.com/v1", "PodMonitor", cluster.cluster_name, spec)


def _object(version: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _cluster_spec(cluster: Cluster) -> Object:
    return {
        "rayVersion": cluster.ray,
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "idleTimeoutSeconds": cluster.idle_minutes * 60,
            "securityContext": _container_security(),
            "resources": _limited({"cpu": "500m", "memory": "1Gi"}),
        },
        "headGroupSpec": {
            "serviceType": "ClusterIP",
            "enableIngress": False,
            "rayStartParams": {"num-cpus": "0", "metrics-export-port": str(METRICS)},
            "template": _pod(cluster, "head", cluster.head_nodes),
        },
        "workerGroupSpecs": [
            {
                "groupName": name,
                "replicas": group.least,
                "minReplicas": group.least,
                "maxReplicas": group.most,
                "rayStartParams": {"metrics-export-port": str(METRICS)},
                "template": _pod(cluster, name, group),
            }
            for name, group in cluster.workers.items()
        ],
    }


def _pod(cluster: Cluster, name: str, group: Group) -> Object:
    resources = {
        "cpu": str(group.cpus),
        "memory": f"{group.memory_gib}Gi",
        "ephemeral-storage": f"{group.disk_gib // 2}Gi",
    }
    if group.gpus:
        resources["nvidia.com/gpu"] = str(group.gpus)
    container = _container(f"ray-{name}", cluster.image, resources)
    container["volumeMounts"] = [{"name": "storage", "mountPath": STORAGE}]
    container["ports"] = [{"name": "metrics", "containerPort": METRICS}]
    if name == "head":
        container["ports"] += [
            {"name": "gcs-server", "containerPort": 6379},
            {"name": "dashboard", "containerPort": 8265},
            {"name": "client", "containerPort": 10001},
        ]
    spec: Object = {
        "securityContext": _pod_security(),
        "affinity": {"nodeAffinity": _affinity(group)},
        "containers": [container],
        "volumes": [{"name": "storage", "persistentVolumeClaim": {"claimName": cluster.volume}}],
    }
    tolerated = ["nvidia.com/gpu"] * bool(group.gpus) + [next(iter(_SPOT))] * group.spot
    if tolerated:
        spec["tolerations"] = [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in tolerated]
    return {"spec": spec}


def _affinity(group: Group) -> Object:
    """On spot nodes where there are any, or on none."""
    if group.spot:
        wanted = [{"matchExpressions": [{"key": k, "operator": "In", "values": [v]}]} for k, v in _SPOT.items()]
        weighted = [{"weight": 100, "preference": term} for term in wanted]
        return {"preferredDuringSchedulingIgnoredDuringExecution": weighted}
    refused = [{"key": key, "operator": "NotIn", "values": [value]} for key, value in _SPOT.items()]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": refused}]}}


def _container(name: str, image: str, resources: dict[str, str]) -> Object:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": _container_security(),
        "resources": _limited(resources),
    }


def _limited(resources: dict[str, str]) -> Object:
    return {"requests": dict(resources), "limits": dict(resources)}


def _pod_security() -> Object:
    return {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "fsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container_security() -> Object:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
