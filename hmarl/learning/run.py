"""A training from start to report, and the run that it leaves behind. Ray and torch are read when training starts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hmarl.errors import explain
from hmarl.files import run_folder
from hmarl.learning.folder import COMPARISON, LOG, POLICY, REPORT, begin, read_config
from hmarl.learning.job import Training, compare_phases, read_rules, with_optimum
from hmarl.learning.train_settings import TrainSettings
from hmarl.network.config import Network
from hmarl.policies import LearnedPolicy, Policy
from hmarl.progress import Reporter
from hmarl.report.comparison import Comparison
from hmarl.runs import locked, read_rows
from hmarl.storage import kept, storage_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run:
    """What a training left behind.

    Parameters
    ----------
    folder
        ``runs/NAME``, or the name of a run in ``runs``.

    Examples
    --------
    >>> run = Run("runs/first")
    >>> run.comparison.result("phase4_joint", "reward").value
    >>> run.plot()
    """

    def __init__(self, folder: str | Path) -> None:
        path = Path(folder)
        self.folder = path if path.exists() or path.parent != Path() else run_folder(str(folder))
        self.config = read_config(self.folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @cached_property
    def network(self) -> Network:
        """The network that it was trained on, whole."""
        return Network.model_validate(self.config["network"])

    @cached_property
    def policy(self) -> LearnedPolicy:
        """The deployed policy.

        Raises
        ------
        InputError
            If the run has not come so far.
        """
        return LearnedPolicy.load(self.folder / POLICY)

    @cached_property
    def rules(self) -> dict[str, Policy]:
        """The rules that it is compared with, tuned where their name says so."""
        return read_rules(self.folder, self.network)

    @cached_property
    def phases(self) -> dict[str, LearnedPolicy]:
        """The policy at the end of each phase, in their order."""
        found = sorted(self.folder.glob(f"phase*/{POLICY}"))
        return {path.parent.name: LearnedPolicy.load(path) for path in found}

    @property
    def comparison(self) -> Comparison:
        """The comparison made at the end of training."""
        return Comparison.load(self.folder / COMPARISON / "comparison.json")

    @property
    def report(self) -> Path:
        """The page for a planner."""
        return self.folder / REPORT

    def metrics(self, phase: str) -> list[dict[str, Any]]:
        """The rows of a phase's metrics.jsonl."""
        return read_rows(self.folder / phase / "metrics.jsonl")

    def compare(
        self, episodes: int | None = None, scenarios: Sequence[str] = ("normal",), seed: int | None = None
    ) -> Comparison:
        """The run's phases and the rules on the same test paths, each phase paired with the one before.

        Parameters
        ----------
        episodes
            As many as at the end of training, where left out.
        scenarios, seed
            As for :func:`hmarl.report.compare`.
        """
        settings = self.config["settings"]
        return compare_phases(
            self.network,
            with_optimum(self.network, self.rules),
            self.phases,
            episodes or settings["compare_episodes"],
            settings["seed"] if seed is None else seed,
            scenarios,
        )

    def plot(self) -> Figure:
        """Every policy with its interval, as in comparison.png."""
        from hmarl.report.plots import comparison_figure

        return comparison_figure(self.comparison)


def train(network: str | Path | Network = "two_store", *, quiet: bool = False, **settings: Any) -> Run:
    """Train the agents of a network in phases, compare them with rules and write the report.

    What is there of the run already is kept: the same call again goes on where it stopped.

    Parameters
    ----------
    network
        A preset's name, a YAML file, or a network.
    quiet
        Print nothing.
    settings
        Fields of :class:`hmarl.learning.train_settings.TrainSettings`: name, seed, steps, ``set={...}`` ...

    Raises
    ------
    InputError
        A setting or network that is not allowed, a run started with other settings, a run that another process works
        on, a folder that cannot be written.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    given = network if isinstance(network, Network) else None
    values = {f"{key}_" if f"{key}_" in TrainSettings.model_fields else key: value for key, value in settings.items()}
    values["network"] = given.name if given else str(network)
    try:
        checked = TrainSettings.model_validate(values)
    except ValidationError as error:
        raise explain(error, TrainSettings, "train") from error
    return train_from(checked, given, quiet=quiet)


def train_from(settings: TrainSettings, network: Network | None = None, *, quiet: bool = False) -> Run:
    """As :func:`train`, from settings; `network` in the place of the one they name."""
    training = Training.prepare(settings, network)
    training.storage = storage_of(settings.storage, settings.run_name, training.folder)
    with locked(training.folder), kept(training.storage):
        resumed = begin(training.folder, settings, training.network)
        training.reporter = Reporter(training.folder / LOG, quiet)
        try:
            training.reporter.note(f"{'goes on' if resumed else 'begins'}: {settings.model_dump_json()}")
            training.run()
        finally:
            training.reporter.close()
    return Run(training.folder)
