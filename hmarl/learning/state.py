"""How far the training of a phase is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

STATE = "state.json"


@dataclass
class State:
    """How far a phase is: what a checkpoint holds beside the algorithm's own state."""

    started_from: str  # digest of the policy that the phase began with
    steps: int = 0  # agent-steps
    iteration: int = 0
    seconds: float = 0.0
    start: float | None = None  # objective a day on validation, more is better, of what the phase began with
    score: float | None = None  # and of the best policy trained
    score_low: float = 0.0
    score_high: float = 0.0
    best_at: int = 0  # steps of the best policy
    waited: int = 0  # validations since then
    stage: int = 0
    stage_began: int = 0  # steps

    @classmethod
    def read(cls, checkpoint: Path) -> State:
        """The state in a checkpoint."""
        return cls(**json.loads((checkpoint / STATE).read_text(encoding="utf-8")))
