"""The engine that is vLLM: its servers started with the model at hand, asked, and stopped."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from harness.engines.engine import Answer, Decoding, Done, Question, StoppedError, nobody
from harness.engines.server_client import Client
from harness.engines.server_engine import ServerEngine, ServerScorer
from harness.engines.vllm_servers import SERVED, VllmServers
from harness.errors import HarnessError
from harness.judge.checkpoints import base_of, resolve, revised
from harness.judge.format import load_format
from harness.settings import JudgeSettings, ServerSettings, VllmSettings


class _OwnClient(Client):
    """A client that knows at once when its server has died, instead of trying on."""

    def __init__(self, settings: ServerSettings, servers: VllmServers) -> None:
        super().__init__(settings)
        self.servers = servers

    def gone(self) -> None:
        """Stop if a server has ended.

        Raises:
            HarnessError: with the last words of its log.
        """
        if dead := self.servers.dead():
            raise self.servers.death(dead[0], "died")


def _asked_as(servers: VllmServers, settings: VllmSettings) -> ServerSettings:
    # an answer may take its time: nobody else is waiting
    return ServerSettings(
        base_url=servers.addresses, model=SERVED, concurrency=settings.concurrency, timeout=3600, api_key="none"
    )


class VllmEngine(ServerEngine):
    """A judge in vLLM."""

    def __init__(self, judge: JudgeSettings, settings: VllmSettings, precision: str, work: Path) -> None:
        ref = resolve(judge.model, judge.revision)
        location = ref.location
        if base_of(judge.model):
            # it takes adapters too, but only where its LoRA layers know the model
            from harness.judge.loading import save_merged

            location = str(work / "merged")
            save_merged(judge, Path(location), precision)
        extra = ["--trust-remote-code"] if judge.trust_remote_code else []
        if judge.max_pixels:
            extra += ["--mm-processor-kwargs", json.dumps({"max_pixels": judge.max_pixels})]
        format_ = load_format(Path(ref.location)) if Path(ref.location).is_dir() else None
        with ExitStack() as undone:
            self.servers = VllmServers(location, ref.revision, settings, precision, work, extra)
            undone.callback(self.servers.close)
            asked = _asked_as(self.servers, settings)
            super().__init__(asked, _OwnClient(asked, self.servers), format_)
            undone.pop_all()

    def _ask_all(
        self, questions: Sequence[Question], decoding: Decoding, seed: int, done: Done, opening: str | None = None
    ) -> list[list[Answer]]:
        """Ask; start a server that died again, and ask it what is owed."""
        answers: list[list[Answer] | None] = [None] * len(questions)
        while True:
            owed = [place for place, drawn in enumerate(answers) if drawn is None]
            try:
                given: Sequence[list[Answer] | None] = super()._ask_all(
                    [questions[place] for place in owed], decoding, seed, done, opening
                )
            except StoppedError as stop:
                given = stop.answers
                try:
                    if not self.servers.dead():
                        raise stop.why
                    self.servers.restart()
                except HarnessError as why:
                    for place, drawn in zip(owed, given, strict=True):
                        answers[place] = drawn
                    raise StoppedError(why, answers) from None
            for place, drawn in zip(owed, given, strict=True):
                answers[place] = drawn
            if all(drawn is not None for drawn in answers):
                return answers  # type: ignore[return-value]

    def close(self) -> None:
        """Stop the servers."""
        self.servers.close()


class VllmScorer(ServerScorer):
    """A reward model in vLLM."""

    def __init__(self, name: str, settings: VllmSettings, precision: str, batch_size: int, work: Path) -> None:
        ref = resolve(*revised(name))
        self.servers = VllmServers(ref.location, ref.revision, settings, precision, work, ["--runner", "pooling"])
        asked = _asked_as(self.servers, settings)
        super().__init__(SERVED, asked, 0, batch_size, _OwnClient(asked, self.servers))

    def score(self, texts: Sequence[Sequence[int]], done: Done = nobody) -> list[float]:
        """Score texts, starting a server that died again."""
        while True:
            try:
                return super().score(texts, done)
            except HarnessError:
                if not self.servers.dead():
                    raise
                self.servers.restart()

    def close(self) -> None:
        """Stop the server."""
        self.servers.close()
