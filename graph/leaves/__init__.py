"""From a recorded statement to its leaves.

`read` looks at the text alone, while recording; `resolve` completes it at export, when the schema is known.
"""

from graph.leaves.classify import UNRESTRICTED
from graph.leaves.joins import Join, joins
from graph.leaves.read import READING_RULES, Occurrence, Reading, read
from graph.leaves.resolve import Resolution, resolve
from graph.leaves.rules import Output, Role, Rule, RuleKind

__all__ = [
    "READING_RULES",
    "UNRESTRICTED",
    "Join",
    "Occurrence",
    "Output",
    "Reading",
    "Resolution",
    "Role",
    "Rule",
    "RuleKind",
    "joins",
    "read",
    "resolve",
]
