"""The cluster, described once: every manifest is written from it. Reads neither Ray nor torch."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

_GROUPS = {"head": "head_nodes", "runners": "runner_nodes", "trainers": "trainer_nodes", "engines": "engine_nodes"}
CHECKOUT = ("pyproject.toml", "README.md", "LICENSE", "hmarl", "llm", "tune", "cluster")
"""What a node needs of the checkout: neither runs nor data nor ``.env``."""
METRICS = 8080
"""Port of each node that its metrics are read from."""


class Group(BaseModel):
    """Nodes of a kind.

    ``cpus`` and ``memory_gib`` are what Ray's processes get of a node, a little less than the machines have: the
    system needs the rest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus: int = Field(ge=1, le=1024)
    memory_gib: int = Field(ge=1, le=16_384)
    gpus: int = Field(0, ge=0, le=16)
    disk_gib: int = Field(100, ge=50, le=65_536)
    least: int = Field(0, ge=0, le=4096, description="nodes that are always there")
    most: int = Field(1, ge=1, le=4096, description="nodes that the autoscaler may start")
    spot: bool = Field(False, description="nodes that the cloud may take back at any time")
    aws: str = Field(description="instance type")
    gcp: str = Field(description="machine type")

    @model_validator(mode="after")
    def _is_possible(self) -> Group:
        if self.least > self.most:
            raise ValueError(f"least {self.least}: at most most, {self.most}")
        if self.spot and self.gpus:
            raise ValueError("spot: for groups without GPUs: a training loses too much with one of its nodes")
        return self

    def __str__(self) -> str:
        gpus = f", {self.gpus} GPUs" if self.gpus else ""
        return f"{self.cpus} CPUs, {self.memory_gib} GiB{gpus}, {self.least} to {self.most}{' spot' * self.spot}"


class Cluster(BaseModel):
    """Head, runners (simulators and small trainings), trainers and engines of language models."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster_name: str = Field("hmarl", pattern=r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", description="of the cluster")
    image: str = Field(
        "hmarl:latest", min_length=1, description="built by cluster/Dockerfile, where Kubernetes finds it"
    )
    extras: str = Field("llm,tune,gpu", description="of the project's installation, the same on all nodes")
    volume: str = Field("hmarl", description="claim of a volume that all pods mount at /storage")
    volume_gib: int = Field(200, ge=1, description="its size")
    idle_minutes: int = Field(10, ge=1, description="after which a node that nothing runs on is given back")
    aws_region: str = Field("us-east-1", description="where ray up starts machines")
    aws_zones: list[str] = Field(["us-east-1a", "us-east-1b"], min_length=1, description="in the order tried")
    gcp_project: str = Field("my-project", description="that pays")
    gcp_region: str = Field("us-central1", description="where ray up starts machines")
    gcp_zone: str = Field("us-central1-a", description="of that region")
    head_nodes: Group = Field(
        Group(cpus=7, memory_gib=24, disk_gib=200, least=1, most=1, aws="m7i.2xlarge", gcp="n2-standard-8"),
        description="the node that runs what is submitted, not what that starts",
    )
    runner_nodes: Group = Field(
        Group(cpus=15, memory_gib=52, most=8, spot=True, aws="m7i.4xlarge", gcp="n2-standard-16"),
        description="simulators, sweeps and small trainings",
    )
    trainer_nodes: Group = Field(
        Group(cpus=180, memory_gib=1600, gpus=8, disk_gib=1000, most=2, aws="p5.48xlarge", gcp="a3-highgpu-8g"),
        description="language models are trained on them",
    )
    engine_nodes: Group = Field(
        Group(cpus=180, memory_gib=1600, gpus=8, disk_gib=1000, most=1, aws="p5.48xlarge", gcp="a3-highgpu-8g"),
        description="language models answer on them",
    )

    @field_validator(*_GROUPS.values(), mode="before")
    @classmethod
    def _changed(cls, value: Any, info: ValidationInfo) -> Any:
        """A group that says only what is different."""
        assert info.field_name is not None
        default = cls.model_fields[info.field_name].default
        return {**default.model_dump(), **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _has_one_head(self) -> Cluster:
        head = self.head_nodes
        if (head.least, head.most, head.spot) != (1, 1, False):
            raise ValueError("head_nodes: one, always there")
        return self

    @property
    def groups(self) -> dict[str, Group]:
        """All of them, the head first."""
        return {name: getattr(self, field) for name, field in _GROUPS.items()}

    @property
    def workers(self) -> dict[str, Group]:
        """Those beside the head."""
        return {name: group for name, group in self.groups.items() if name != "head"}

    @property
    def ray(self) -> str:
        """Version of Ray."""
        return importlib.metadata.version("ray")
