"""`python -m tests.fuzz.run TARGET [libFuzzer's options and corpus]`: the process that fuzzes; needs atheris.

With the path of a file it runs that input alone and shows the exception.
"""

from __future__ import annotations

import resource
import sys
from random import Random

import atheris

#: An allocation beyond it is a MemoryError, hence a finding, before the machine feels it.
MOST_MEMORY = 3 << 29

with atheris.instrument_imports(include=["proxy"]):
    from tests.fuzz.corpus import mutated
    from tests.fuzz.targets import TARGETS


def mutate(data: bytes, longest: int, seed: int) -> bytes:
    """One mutation, as libFuzzer asks for it."""
    return mutated(data, longest, Random(seed), atheris.Mutate)


def main() -> None:
    """Does not come back: libFuzzer ends the process."""
    target = TARGETS[sys.argv.pop(1)]
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    atheris.Setup(sys.argv, lambda data: target(data) and None, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
