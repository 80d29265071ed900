"""Who decides: classical rules, their tuning by simulation, the deployed learned policy."""

from hmarl.policies.catalogue import POLICIES, RULES, TUNABLE, make_policy, rule_from_json, rule_to_json
from hmarl.policies.learned import LearnedPolicy
from hmarl.policies.rules import ByRole, Policy
from hmarl.policies.simulate import Paths, simulate
from hmarl.policies.tuning import tune

__all__ = [
    "POLICIES",
    "RULES",
    "TUNABLE",
    "ByRole",
    "LearnedPolicy",
    "Paths",
    "Policy",
    "make_policy",
    "rule_from_json",
    "rule_to_json",
    "simulate",
    "tune",
]
