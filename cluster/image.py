"""The image of a cluster's pods: Ray's own, with the project installed by pip from its checkout."""

from __future__ import annotations

from cluster.nodes import CHECKOUT, Cluster


def dockerfile(cluster: Cluster) -> str:
    """``docker build -f cluster/Dockerfile -t IMAGE .`` at the top of the checkout."""
    files = [part for part in CHECKOUT if "." in part or part.isupper()]
    folders = [part for part in CHECKOUT if part not in files]
    lines = [
        f"FROM rayproject/ray:{cluster.ray}-py312-gpu",
        "USER root",
        "RUN mkdir /project && chown 1000 /project",
        "USER 1000",
        "WORKDIR /project",
        f"COPY --chown=1000 {' '.join(files)} ./",
        *(f"COPY --chown=1000 {folder} {folder}" for folder in folders),
        f"RUN pip install --no-cache-dir -e '.[{cluster.extras}]'",
    ]
    return "\n".join(lines) + "\n"
