"""What one call of the command asks of models, what that costs, and where it stops.

The meter counts in this process alone, from its start or from `metering` on: what the cache or a record gives is never
asked, so it never counts. Engines tell it what they ask; whoever has an answer on the disk looks whether to go on.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.engines.engine import Answer
from harness.errors import LimitReachedError


class Limits(NamedTuple):
    """What one call may take; None is without end."""

    minutes: float | None = None
    """Wall time, training included."""
    requests: int | None = None
    """Requests to servers, retries included, and questions to models in this process."""
    cost: float | None = None
    """In the currency of the prices that servers are given."""


def free(read: int, written: int) -> float:
    """Say what tokens cost that cost nothing."""
    return 0.0


@dataclass
class Meter:
    """Counts what is asked and what comes back."""

    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], float] = time.monotonic
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def sent(self, requests: int = 1) -> None:
        """Count requests."""
        self.requests += requests

    def came(self, prompt_tokens: int | None, completion_tokens: int | None, cost: float = 0.0) -> None:
        """Count the tokens of a reply, where they are known, and what it cost."""
        self.prompt_tokens += prompt_tokens or 0
        self.completion_tokens += completion_tokens or 0
        self.cost += cost

    def asked(self, answers: Iterable[Answer], price: Callable[[int, int], float] = free) -> None:
        """Count answers to questions, with their tokens and what these cost."""
        for answer in answers:
            self.sent(answer.requests or 0)
            read, written = answer.prompt_tokens or 0, answer.tokens or 0
            self.came(read, written, price(read, written))

    @property
    def minutes(self) -> float:
        """Minutes since the start."""
        return (self.clock() - self.started) / 60

    def reached(self) -> LimitReachedError | None:
        """Return which limit is reached; None while there is room."""
        most = self.limits
        for option, spent, limit in (
            ("--max-minutes", self.minutes, most.minutes),
            ("--max-requests", self.requests, most.requests),
            ("--max-cost", self.cost, most.cost),
        ):
            if limit is not None and spent >= limit:
                return LimitReachedError(f"{option} {limit:g} is reached ({self.told()}).")
        return None

    def check(self) -> None:
        """Go on only while there is room.

        Raises:
            LimitReachedError: naming the limit.
        """
        if over := self.reached():
            raise over

    def told(self) -> str:
        """Say what this call has asked, and how long it took."""
        tokens = f"{self.prompt_tokens:,} tokens read, {self.completion_tokens:,} written"
        parts = [f"{self.requests:,} request{'s' * (self.requests != 1)}"]
        parts += [tokens] if self.prompt_tokens or self.completion_tokens else []
        parts += [f"cost {self.cost:.4g}"] if self.cost else []
        whole, seconds = divmod(round(60 * self.minutes), 60)
        return ", ".join([*parts, f"{whole} min {seconds:02d} s" if whole else f"{seconds} s"])


_meters = [Meter()]


def meter() -> Meter:
    """Return the meter at work."""
    return _meters[-1]


@contextmanager
def metering(limits: Limits, clock: Callable[[], float] = time.monotonic) -> Iterator[Meter]:
    """Count anew, from here on, and stop at `limits`."""
    _meters.append(Meter(limits, clock))
    try:
        yield _meters[-1]
    finally:
        _meters.pop()
