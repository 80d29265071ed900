"""A training from settings to a model that is judged and reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmarl.errors import Failed
from hmarl.progress import Reporter
from hmarl.runs import locked
from hmarl.storage import Storage, below, kept, publish, storage_of
from llm.runs import EVALUATION, LOG, SELF, SFT, begin, make_task, network_for
from llm.settings import GRPOSettings, Settings, SFTSettings, make_settings

if TYPE_CHECKING:
    from llm.evaluation import Evaluation
    from llm.generation import Generate
    from llm.rollout.pool import Pool
    from llm.tasks.demonstrations import Example
    from llm.tasks.supply_chain import SupplyChainTask
    from llm.trained import TrainedModel

_OBJECT_STORE = 1024**3  # bytes, for weights on their way
_LOOKED_AT = 64  # prompts
_LEFT_OUT = ("training", "final")  # of a run's copies: Ray Train keeps its checkpoints itself, the model in them
_KEPT_EVERY = 2.0  # seconds
Listener = Callable[[dict[str, Any]], None]


def train_grpo(settings: GRPOSettings | None = None, **values: Any) -> TrainedModel:
    """Teach a language model to order, by reinforcement learning on the simulator.

    What is there of the run already is kept: the same call again goes on where it stopped.

    Parameters
    ----------
    settings
        Or, by name, the fields that are not the defaults.

    Returns
    -------
    TrainedModel
        The best checkpoint by validation.

    Raises
    ------
    InputError
        A setting that is not allowed, a run started with other settings, or one that another process works on.
    Failed
        If nothing can recover it: no engine, or no worker, or weights that differ; the cause is in ``train.log``.
    """
    return train_from(settings or make_settings(GRPOSettings, values, "train_grpo"))


def train_sft(settings: SFTSettings | None = None, **values: Any) -> TrainedModel:
    """Teach a language model what demonstrations show; see :func:`train_grpo`."""
    return train_from(settings or make_settings(SFTSettings, values, "train_sft"))


def train_from(settings: Settings) -> TrainedModel:
    """Either of the two."""
    from llm.trained import TrainedModel

    with _begun(settings) as job:
        return TrainedModel(job.run())


def train_only(settings: GRPOSettings, listen: Listener, pool: Pool | None = None) -> Path:
    """Reinforcement learning without the evaluation on test paths and the report that come after it.

    Parameters
    ----------
    listen
        Told each step's row of ``metrics.jsonl`` that is new.
    pool
        Engines that others use too; without it they are started.

    Returns
    -------
    Path
        Of the trained model.

    Raises
    ------
    InputError, Failed
        As :func:`train_grpo`.
    """
    with _begun(settings) as job:
        return job.train([listen], pool)


@contextmanager
def _begun(settings: Settings) -> Iterator[_Job]:
    """The run's folder, held, with all that its training needs."""
    from llm.models import resolve

    settings.validate()
    network = network_for(None, settings.network, settings.set_)
    task = make_task(network, _asked(settings))
    model = resolve(settings.model)
    examples = _examples(settings, task)
    warnings = settings.validate(_longest_prompt(task, model)) + asked_otherwise(task, examples)
    storage = storage_of(settings.storage, settings.run_name, settings.folder, _LEFT_OUT)
    with locked(settings.folder), kept(storage):
        resumed = begin(settings, network)
        reporter = Reporter(settings.folder / LOG)
        try:
            reporter.note(f"{'goes on' if resumed else 'begins'}: {settings.model_dump_json()}")
            for warning in warnings:
                reporter.warn(warning)
            yield _Job(settings, task, model, examples, reporter, storage)
        except Failed as error:
            reporter.trace(error)
            raise
        finally:
            reporter.close()


def _asked(settings: Settings) -> dict[str, Any]:
    """How the task asks and judges; supervised training judges by the defaults."""
    return GRPOSettings.model_validate({"model": settings.model}).model_dump() | settings.model_dump()


def _examples(settings: Settings, task: SupplyChainTask) -> list[Example]:
    """Of the supervised training; none where there is none."""
    from llm.tasks.demonstrations import demonstrate, read_examples

    if isinstance(settings, SFTSettings) and settings.data is not None:
        return read_examples(settings.data)
    if not settings.demonstrations:
        return []
    return demonstrate(task, task.heuristic, settings.demonstrations, seed=settings.seed)


def asked_otherwise(task: SupplyChainTask, examples: list[Example]) -> list[str]:
    """A warning where the examples' prompts are built otherwise than those that the model is judged on."""
    (prompt,) = task.prompts(1, 0)
    asked = [turn["role"] for turn in prompt.messages]
    for number, example in enumerate(examples, 1):
        given = [turn["role"] for turn in example.prompt]
        if given != asked:
            return [
                f"data: example {number} asks by {', '.join(given)}; the model is judged on prompts by "
                f"{', '.join(asked)}: see --economics"
            ]
    return []


def _longest_prompt(task: SupplyChainTask, model: Path) -> int:
    """Tokens of the longest of some prompts."""
    from llm.chat import prompt_ids
    from llm.models import load_tokenizer

    tokenizer = load_tokenizer(model)
    return max(len(prompt_ids(tokenizer, prompt.messages)) for prompt in task.prompts(_LOOKED_AT, 0))


class _Job:
    """The stages of a training, each left out where it is done already."""

    def __init__(
        self,
        settings: Settings,
        task: SupplyChainTask,
        model: Path,
        examples: list[Example],
        reporter: Reporter,
        storage: Storage | None,
    ) -> None:
        self.settings, self.task, self.model, self.examples = settings, task, model, examples
        self.reporter, self.storage = reporter, storage
        self.folder, self.asked = settings.folder, _asked(settings)

    def run(self) -> Path:
        """All of them; returns the folder of the trained model."""
        from llm.report.html import write_report

        with self._connected():
            final = self.train()
            evaluation = self._evaluation(final)
        self.reporter.show(evaluation.table())
        report = write_report(self.folder, evaluation)
        publish(self.storage, self.reporter)
        self.reporter.say(f"model:  {final}")
        self.reporter.say(f"report: {report}")
        return final

    def train(self, listeners: Sequence[Listener] = (), pool: Pool | None = None) -> Path:
        """The training alone; returns the folder of the trained model."""
        with self._connected():
            if isinstance(self.settings, GRPOSettings):
                return self._grpo(self.settings, listeners, pool)
            return self._sft(self.settings, self.folder)

    def _connected(self) -> AbstractContextManager[None]:
        from hmarl.session import Need, connect

        settings, asked = self.settings, self.asked
        needs = [
            Need("training workers", settings.workers, gpus=1),
            Need("engines", asked["engines"], gpus=asked["tensor_parallel"]),
        ]
        return connect(settings.address, needs=needs, wait=settings.wait, object_store=_OBJECT_STORE)

    def _keep(self, row: dict[str, Any]) -> None:
        if self.storage is not None:
            self.storage.push(self.reporter, at_most_every=_KEPT_EVERY)

    def _stage(self, title: str) -> Callable[[str], None]:
        """Says how a stage went, and how long it took."""
        begun = time.monotonic()
        self.reporter.note(title)

        def done(words: str) -> None:
            self.reporter.say(f"{title}: {words} ({time.monotonic() - begun:.0f} s)")

        return done

    def _sft(self, settings: SFTSettings, folder: Path) -> Path:
        from llm.trainers.sft import FINAL, sft

        if (folder / FINAL).exists():
            return folder / FINAL
        done = self._stage("supervised training")
        final = sft(settings, self.examples, folder, self.reporter)
        done(f"{len(self.examples)} examples")
        return final

    def _grpo(self, settings: GRPOSettings, listeners: Sequence[Listener], shared: Pool | None) -> Path:
        from llm.serving import serving_to_train
        from llm.trainers.grpo import FINAL, grpo

        if (self.folder / FINAL).exists():
            return self.folder / FINAL
        model = self.model
        if settings.demonstrations:
            model = self._sft(_first(settings), self.folder / SFT)
        started = self._stage("engines")
        with serving_to_train(settings, model, shared) as pool:
            started(f"{settings.engines} ready")
            done = self._stage("reinforcement learning")
            final = grpo(settings, self.task, pool, model, self.folder, self.reporter, [self._keep, *listeners])
            done(f"{settings.steps} steps of {settings.groups_a_step} prompts, {settings.num_generations} answers each")
        return final

    def _evaluation(self, final: Path) -> Evaluation:
        """Of the trained model, on test paths; the model after supervised training beside it."""
        from llm.evaluation import Evaluation, evaluate, play
        from llm.tasks.decider import LanguageModelPolicy
        from llm.tasks.rules import named_policy

        path = self.folder / EVALUATION
        if path.exists():
            return Evaluation.load(path)
        settings, task = self.settings, self.task
        done = self._stage("evaluation")
        compare: dict[str, Any] = {name: named_policy(task.network, name) for name in settings.compare}
        own = self.asked["continuation"] == SELF
        if not own:
            compare.setdefault(task.continuation_name, task.continuation)
        before = self.folder / SFT / final.name
        if before.exists():
            with self._answering(before) as generate:
                policy = LanguageModelPolicy(task, generate(0.0))
                supervised = play(task.network, policy, settings.compare_episodes, settings.seed)
            compare = {SFT: supervised} | compare
        with self._answering(final) as generate:
            found = evaluate(
                task,
                generate(0.0),
                episodes=settings.compare_episodes,
                seed=settings.seed,
                compare=compare,
                continuation=None if own else task.continuation_name,
                sampled=generate(self.asked["temperature"]),
                temperature=self.asked["temperature"],
            )
        done(f"{settings.compare_episodes} episodes")
        found.save(path)
        return found

    @contextmanager
    def _answering(self, model: Path) -> Iterator[Callable[[float], Generate]]:
        """A model's answers, sampled at a temperature; 0: the likeliest."""
        from llm.generation import EngineGenerate
        from llm.models import load_tokenizer
        from llm.serving import serving

        asked = self.asked
        with serving(
            model,
            engines=asked["engines"],
            kind=asked["engine"],
            tensor_parallel=asked["tensor_parallel"],
            max_model_len=asked["max_prompt_length"] + asked["max_completion_length"],
            threads=self.settings.threads_of(asked["engines"]),
        ) as pool:
            tokenizer, longest, seed = load_tokenizer(model), asked["max_completion_length"], self.settings.seed
            yield lambda temperature: EngineGenerate(
                pool.generate, tokenizer, max_tokens=longest, temperature=temperature, seed=seed
            )


_OF_ITS_OWN = {
    "name", "output_dir", "batch_size", "gradient_accumulation_steps", "learning_rate", "warmup", "schedule",
    "adam_beta2", "max_grad_norm", "save_steps", "storage", "merge",
}  # fmt: skip


def _first(settings: GRPOSettings) -> SFTSettings:
    """Of the supervised training before: the same model on the same task, with rates and batches of its own."""
    shared = SFTSettings.model_fields.keys() & GRPOSettings.model_fields.keys() - _OF_ITS_OWN
    values = {name: getattr(settings, name) for name in shared if name != "steps"}
    storage = below(settings.storage, settings.run_name) if settings.storage else None
    return SFTSettings.model_validate({**values, "storage": storage, "name": SFT})
