"""Randomness without a sequence: every value is a function of the seed and its own name.

Deleting one event, or adding one, therefore changes no other draw, and a trial can be repeated alone. Names are
whatever tells one draw from all others: `draw(seed, "crashed-host", 12, "crash", "victim")`. Values are the same on
every machine and Python, for they are BLAKE2b of the names and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")
Name = str | int


def _digest(seed: Name, names: tuple[Name, ...], size: int) -> bytes:
    """Hash seed and names; each is preceded by its length, so that ("ab", "c") and ("a", "bc") differ."""
    digest = blake2b(digest_size=size, person=b"shaketable")
    for name in (seed, *names):
        text = str(name).encode()
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.digest()


def draw(seed: Name, *names: Name) -> float:
    """Draw a number in [0, 1), uniform over names and seeds."""
    return (int.from_bytes(_digest(seed, names, 8), "big") >> 11) / (1 << 53)


def pick(seed: Name, names: Sequence[Name], options: Sequence[T]) -> T:
    """Pick one of `options`, each as likely as the others. Raises ValueError if there are none."""
    if not options:
        raise ValueError(f"nothing to pick from for {'/'.join(map(str, names)) or 'a draw'}")
    return options[int(draw(seed, *names) * len(options))]


def between(seed: Name, names: Sequence[Name], low: float, high: float) -> float:
    """Draw a number in [low, high]. Raises ValueError if `high` is less than `low`."""
    if high < low:
        raise ValueError(f"{high} is less than {low}")
    return min(high, low + (high - low) * draw(seed, *names))


def derive(seed: Name, *names: Name) -> str:
    """Make a seed for a part that draws by itself (a trial, the load): 16 hexadecimal digits."""
    return _digest(seed, (*names, "seed"), 8).hex()
