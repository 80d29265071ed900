"""How good a policy is, and how sure that is: statistics, comparisons, pictures, the report."""

from hmarl.report.comparison import Comparison, Result, compare
from hmarl.report.evaluation import Evaluation, evaluate
from hmarl.report.seeds import Seeds, Spread, over_seeds
from hmarl.report.statistics import (
    Estimate,
    batch_means,
    clustered,
    estimate,
    interquartile_mean,
    paired_difference,
    relative_difference,
)

__all__ = [
    "Comparison",
    "Estimate",
    "Evaluation",
    "Result",
    "Seeds",
    "Spread",
    "batch_means",
    "clustered",
    "compare",
    "estimate",
    "evaluate",
    "interquartile_mean",
    "over_seeds",
    "paired_difference",
    "relative_difference",
]
