"""Where a call stops by itself, and what it says then."""

import shlex
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.config import RunConfig, redacted, server_settings
from harness.errors import HarnessError, LimitReachedError
from harness.settings import SERVER, AnsweringSection, JudgingSettings, ServerSettings

if TYPE_CHECKING:
    from harness.engines.meter import Limits


def limits_of(options: Namespace, *asking: RunConfig | JudgingSettings) -> "Limits":
    """Take the limits from the command line.

    Args:
        options: with `max_minutes`, `max_requests` and `max_cost`.
        asking: the configurations of what will be asked.

    Raises:
        HarnessError: if a limit hangs on prices, and no server that is asked has any.
    """
    from harness.engines.meter import Limits

    if options.max_cost is not None and not any(server.priced for server in _servers(asking)):
        raise HarnessError(
            "--max-cost is counted by the prices of a server, and none is given.",
            "Add price_in=P,price_out=P to --model-args, or set captions.engine.price_in and price_out.",
        )
    return Limits(options.max_minutes, options.max_requests, options.max_cost)


def _servers(asking: Iterable[RunConfig | JudgingSettings]) -> Iterator[ServerSettings]:
    """Find the servers that are asked."""
    for config in asking:
        if isinstance(config, RunConfig) and config.model == SERVER:
            yield server_settings(config.model_args)
        for section in [config, *(getattr(config, name) for name in type(config).model_fields)]:
            if isinstance(section, AnsweringSection) and isinstance(section.engine.holder, ServerSettings):
                yield section.engine.holder


@contextmanager
def stopping(where: Callable[[], str], typed: Sequence[str]) -> Iterator[None]:
    """Have a limit that is reached say what is done, and the command that goes on.

    Args:
        where: says how far the work is.
        typed: the arguments of this call.
    """
    try:
        yield
    except LimitReachedError as over:
        done = f" Done: {told}; all of it is kept." if (told := where()) else " What is done is kept."
        raise LimitReachedError(f"{over.problem}{done}", f"Go on: {going_on(typed)}") from over


def going_on(typed: Sequence[str]) -> str:
    """Write the command that was typed, with --resume and without a secret."""
    return shlex.join(["harness", *map(_without_secret, typed), *(["--resume"] if "--resume" not in typed else [])])


def _without_secret(word: str) -> str:
    """Leave out the value of `api_key` and the like, in `--model-args` and `--set`."""
    parts = (part.partition("=") for part in word.split(","))
    return ",".join(key + sign + (redacted({key: value})[key] if sign else "") for key, sign, value in parts)
