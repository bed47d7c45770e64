"""What fuzzing starts from: the recorded sessions, taken apart for each target, and how a script is mutated."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

from mysql_mimic.types import Capabilities

from proxy.compression import ALGORITHMS, zstd
from tests.fuzz.script import PACKETS, Happening, Script, Step, in_packets
from tests.fuzz.targets import SIDES, Login

SEEDS = Path(__file__).parent / "seeds"

#: A mutator of plain bytes: what to mutate, and how long the outcome may be.
Mutate = Callable[[bytes, int], bytes]


def sessions() -> dict[str, Script]:
    """The recorded sessions by name."""
    return {path.name: Script.parse(path.read_bytes()) for path in sorted(SEEDS.iterdir())}


def seeds(target: str) -> Iterator[bytes]:
    """What a target starts from: packets, and the same as chunks of a stream."""
    for script in sessions().values():
        login, commands = split(script)
        whole = {"handshake": login, "observer": commands}.get(target, script)
        yield whole.encode()
        yield as_stream(whole).encode()
        if target == "observer":
            yield from (exchange.encode() for exchange in exchanges(commands))
            yield from (compressed(commands, flag).encode() for flag in ALGORITHMS)


def exchanges(commands: Script) -> Iterator[Script]:
    """A command with its answer, behind the one before (which may have prepared it): short inputs run often."""
    turns: list[list[Step]] = [[]]
    for step in commands.steps:
        if step.happening is Happening.CLIENT and turns[-1] and turns[-1][-1].happening is not Happening.CLIENT:
            turns.append([])
        turns[-1].append(step)
    for before, turn in pairwise([[], *turns]):
        yield replace(commands, steps=(*before, *turn))


def as_stream(script: Script) -> Script:
    """The same conversation, packets' headers among the data."""
    return replace(script, form=script.form & ~PACKETS, slices=0, steps=tuple(script.chunks()))


def compressed(commands: Script, flag: Capabilities) -> Script:
    """The same conversation where the two ends compress: some packets stored, some packed."""
    steps = []
    for number, (happening, data) in enumerate(as_stream(commands).steps):
        packed = data
        if number % 3:
            packed = zlib.compress(data) if flag is Capabilities.CLIENT_COMPRESS else zstd.compress(data)
        before = len(data) if number % 3 else 0
        head = len(packed).to_bytes(3, "little") + bytes((number & 0xFF,)) + before.to_bytes(3, "little")
        steps.append(Step(happening, head + packed))
    return replace(
        commands, capabilities=commands.capabilities | flag, form=commands.form & ~PACKETS, steps=tuple(steps)
    )


def split(script: Script) -> tuple[Script, Script]:
    """The login of a session, and the rest with what the login agreed on."""
    login, chunks = Login(script), as_stream(script).steps
    at = 0
    done = None
    while done is None:
        done = login.take(chunks[at])
        at += 1
    early = [
        part for happening, side in SIDES.items() for part in in_packets(happening, login.handshake.leftover(side))
    ]
    agreed = replace(
        script,
        capabilities=int(done.capabilities),
        extended=int(done.extended),
        collation=done.collation,
        status=done.status,
        steps=(*early, *script.steps[at:]),
    )
    return replace(script, steps=script.steps[:at]), agreed


def mutated(data: bytes, longest: int, random: Random, mutate: Mutate) -> bytes:
    """Another script: half of the time the bytes as they are, else its head, or its steps as such."""
    script = Script.parse(data)
    if not script.steps or random.random() < 0.4:
        return mutate(data, longest)
    steps = list(script.steps)
    at = random.randrange(len(steps))
    other = steps[random.randrange(len(steps))]
    match random.randrange(8):
        case 0:
            del steps[at]
        case 1:
            steps.insert(at, other)
        case 2:
            steps[at] = Step(other.happening, steps[at].data)
        case 3:
            script = replace(script, slices=random.randrange(8), form=script.form ^ random.randrange(2))
        case 4:
            script = replace(
                script,
                capabilities=script.capabilities ^ 1 << random.randrange(32),
                extended=script.extended ^ 1 << random.randrange(6),
                watch=random.randrange(256),
                legs=random.randrange(256),
            )
        case _:
            steps[at] = Step(steps[at].happening, mutate(steps[at].data, 1 << 12))
    return replace(script, steps=tuple(steps)).encode()[:longest]
