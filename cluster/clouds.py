"""A cluster of machines that ``ray up`` starts on AWS or GCP.

Fields: ``ray/autoscaler/ray-schema.json``, which Ray ships. The project's part of the checkout is copied to each node
and installed there by pip; run ``ray up`` at its top. The token is the file that ``ray get-auth-token --generate``
makes: it is copied as well, and in no manifest. The dashboard listens on the head's loopback interface: ``ray dashboard
cluster/aws.yaml`` brings it here.
"""

from __future__ import annotations

from typing import Any

from cluster.nodes import CHECKOUT, METRICS, Cluster, Group

Object = dict[str, Any]

_TOKEN = "~/.ray/auth_token"  # where Ray looks for it
_PROJECT, _PYTHON = "~/hmarl", "~/venv/bin"
_UBUNTU = {  # 24.04, whose Python is 3.12; with NVIDIA's driver for nodes with GPUs
    "aws": (
        "resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
        "resolve:ssm:/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
    ),
    "gcp": (
        "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64",
        "projects/ubuntu-os-accelerator-images/global/images/family/ubuntu-accelerator-2404-amd64-with-nvidia-570",
    ),
}


def aws(cluster: Cluster) -> Object:
    """What ``ray up`` is told of a cluster on AWS."""
    provider = {
        "type": "aws",
        "region": cluster.aws_region,
        "availability_zone": ",".join(cluster.aws_zones),
        "cache_stopped_nodes": False,
    }
    nodes = {name: _aws_node(group) for name, group in cluster.groups.items()}
    return _manifest(cluster, provider, nodes, "boto3")


def gcp(cluster: Cluster) -> Object:
    """What ``ray up`` is told of a cluster on GCP."""
    provider = {
        "type": "gcp",
        "region": cluster.gcp_region,
        "availability_zone": cluster.gcp_zone,
        "project_id": cluster.gcp_project,
    }
    nodes = {name: _gcp_node(group) for name, group in cluster.groups.items()}
    return _manifest(cluster, provider, nodes, "google-api-python-client")


def _manifest(cluster: Cluster, provider: Object, nodes: dict[str, Object], library: str) -> Object:
    return {
        "cluster_name": cluster.cluster_name,
        "max_workers": sum(group.most for group in cluster.workers.values()),
        "idle_timeout_minutes": cluster.idle_minutes,
        "provider": provider,
        "auth": {"ssh_user": "ubuntu"},
        "head_node_type": "head",
        "available_node_types": {
            name: _node_type(group, nodes[name], name == "head") for name, group in cluster.groups.items()
        },
        "file_mounts": {**{f"{_PROJECT}/{part}": part for part in CHECKOUT}, _TOKEN: _TOKEN},
        "rsync_exclude": ["__pycache__"],
        "initialization_commands": [
            "sudo cloud-init status --wait > /dev/null",
            "sudo apt-get update -qq && sudo apt-get install -qq -y python3-venv rsync gcc",
        ],
        "setup_commands": [
            "test -d ~/venv || python3 -m venv ~/venv",
            f"chmod 600 {_TOKEN}",
            f"{_PYTHON}/pip install --quiet -e {_PROJECT}'[{cluster.extras}]'",
            "grep -q RAY_AUTH_MODE ~/.bashrc || "
            "echo 'export RAY_AUTH_MODE=token PATH=\"$HOME/venv/bin:$PATH\"' >> ~/.bashrc",
        ],
        "head_setup_commands": [f"{_PYTHON}/pip install --quiet {library}"],
        "head_start_ray_commands": [
            f"{_PYTHON}/ray stop",
            _start(
                "--head --port=6379 --num-cpus=0 --dashboard-host=127.0.0.1 --dashboard-port=8265 "
                "--autoscaling-config=~/ray_bootstrap_config.yaml"
            ),
        ],
        "worker_start_ray_commands": [f"{_PYTHON}/ray stop", _start("--address=$RAY_HEAD_IP:6379")],
    }


def _start(how: str) -> str:
    return (
        f"ulimit -n 65536; cd {_PROJECT} && RAY_AUTH_MODE=token {_PYTHON}/ray start {how} "
        f"--object-manager-port=8076 --metrics-export-port={METRICS}"
    )


def _node_type(group: Group, config: Object, head: bool) -> Object:
    resources = {"CPU": 0 if head else group.cpus} | ({"GPU": group.gpus} if group.gpus else {})
    limits = {"min_workers": 0, "max_workers": 0} if head else {"min_workers": group.least, "max_workers": group.most}
    return {"resources": resources, **limits, "node_config": config}


def _aws_node(group: Group) -> Object:
    node: Object = {
        "InstanceType": group.aws,
        "ImageId": _UBUNTU["aws"][bool(group.gpus)],
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": group.disk_gib, "VolumeType": "gp3", "Encrypted": True}}
        ],
        "MetadataOptions": {"HttpTokens": "required"},
    }
    if group.spot:
        node["InstanceMarketOptions"] = {"MarketType": "spot"}
    return node


def _gcp_node(group: Group) -> Object:
    node: Object = {
        "machineType": group.gcp,
        "disks": [
            {
                "boot": True,
                "autoDelete": True,
                "type": "PERSISTENT",
                "initializeParams": {
                    "diskSizeGb": group.disk_gib,
                    "sourceImage": _UBUNTU["gcp"][bool(group.gpus)],
                },
            }
        ],
    }
    if group.spot:
        node["scheduling"] = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}
    elif group.gpus:
        node["scheduling"] = {"onHostMaintenance": "TERMINATE"}
    return node
