"""How good a policy is, and how sure that is: statistics, comparisons, pictures, the report."""

from hmarl.report.comparison import Comparison, Result, compare
from hmarl.report.evaluation import Evaluation, evaluate
from hmarl.report.statistics import Estimate, batch_means, clustered, estimate, paired_difference

__all__ = [
    "Comparison",
    "Estimate",
    "Evaluation",
    "Result",
    "batch_means",
    "clustered",
    "compare",
    "estimate",
    "evaluate",
    "paired_difference",
]
