"""The engine that is Ray: other engines on several workers, of this machine or a cluster.

Plain actors that live as long as the engine, each with one model, are fed shards of questions. A finished shard
is a parquet file, so that a crash costs at most the shards under way; a worker that dies is started again, and
its shard is given out again. (Ray Data would load the models anew for every call, and `ray.data.llm` keeps one
answer of n.)
"""

import hashlib
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import ray
from ray.exceptions import RayActorError, RayTaskError

from harness.engines.engine import Answer, Decoding, Done, Question, StoppedError, nobody, open_engine, open_scorer
from harness.engines.meter import free, meter
from harness.errors import HarnessError, RunIncompleteError
from harness.judge.checkpoints import resolve, revised
from harness.judge.format import load_format
from harness.settings import AnsweringSection, ExpertSettings, JudgeSettings, RaySettings, ServerSettings

AGAIN = 3
"""How often a worker that died is started again, and a shard given out again."""


class _Worker:
    """Holds one engine or one scorer in a process of its own."""

    def __init__(self, opens: Callable[[], Any]) -> None:
        self.opens = opens

    @cached_property
    def held(self) -> Any:
        """What it holds, opened by the first shard: a failure there is a result, where here it would be a death."""
        return self.opens()

    def weighs(self) -> bool:
        """Tell whether the engine gives P(first) without words."""
        return bool(self.held.weighs)

    def work(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """Answer or score one shard; an engine that gives up hands over what it has."""
        try:
            return getattr(self.held, method)(*arguments)
        except StoppedError as stop:
            return _Stopped(str(stop.why), stop.answers)


class _Stopped:
    """What a worker's engine had answered when it gave up."""

    def __init__(self, why: str, answers: Sequence[Any]) -> None:
        self.why, self.answers = why, answers


class _Pool:
    """Workers that share the shards of whatever they are given."""

    def __init__(self, opens: Callable[[], Any], settings: RaySettings, shards: Path) -> None:
        self.settings, self.shards = settings, shards
        shards.mkdir(parents=True, exist_ok=True)
        self.ours = not ray.is_initialized()
        if self.ours:
            start(settings)
        actor = ray.remote(max_restarts=AGAIN, max_task_retries=AGAIN, num_gpus=settings.gpus_per_worker)(_Worker)
        self.workers = [actor.remote(opens) for _ in range(settings.workers)]

    def run(self, method: str, pieces: Sequence[tuple[str, tuple[Any, ...]]]) -> Iterator[tuple[int, Any, bool]]:
        """Yield the place of each shard, what came of it, and whether it was asked now, as they are finished.

        Args:
            method: of the engine.
            pieces: the key of each shard, and the method's arguments for it.

        Raises:
            LimitReachedError: once the shards under way are finished.
        """
        owed, over = list[int](), None
        for place, (key, _) in enumerate(pieces):
            if (path := self.shards / f"{key}.parquet").exists():
                yield place, json.loads(pyarrow.parquet.read_table(path).column("result")[0].as_py()), False
            else:
                owed.append(place)
        waiting: dict[Any, tuple[int, Any]] = {}
        idle = [worker for worker in self.workers for _ in range(2)]
        while owed or waiting:
            if owed and (over := meter().reached()):
                owed = []
            while owed and idle:
                place, worker = owed.pop(0), idle.pop(0)
                waiting[worker.work.remote(method, pieces[place][1])] = place, worker
            if not waiting:
                break
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            place, worker = waiting.pop(ready)
            idle.append(worker)
            result = self._get(ready)
            if not isinstance(result, _Stopped):
                self._keep(pieces[place][0], result)
            yield place, result, True
        if over:
            raise over

    def _get(self, reference: Any) -> Any:
        try:
            return ray.get(reference)
        except RayTaskError as error:
            if isinstance(cause := error.cause, HarnessError):
                raise cause from None
            raise
        except RayActorError as error:
            why = " ".join(str(error).split())[:200]
            raise RunIncompleteError(
                f"a Ray worker died again and again ({why}).", "--resume asks what is owed."
            ) from None

    def _keep(self, key: str, result: Any) -> None:
        path = self.shards / f"{key}.parquet"
        pyarrow.parquet.write_table(pa.table({"result": [json.dumps(result)]}), part := path.with_suffix(".part"))
        part.replace(path)

    def close(self) -> None:
        """Stop the workers, and Ray if it was started here."""
        for worker in self.workers:
            ray.kill(worker)
        if self.ours:
            ray.shutdown()


def start(settings: RaySettings) -> None:
    """Join the cluster at the given address, or start Ray on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = settings.address or os.environ.get("RAY_ADDRESS")
    here: dict[str, Any] = {"num_cpus": max(settings.workers, os.cpu_count() or 1), "include_dashboard": False}
    # a worker is to find the same harness as we do, and as few threads as it has cores
    passed = {name: os.environ[name] for name in ("PYTHONPATH", "HF_HUB_OFFLINE", "HF_HOME") if name in os.environ}
    if address:
        _look_for(address)
    ray.init(
        address=address or "local",
        runtime_env={"env_vars": passed},
        log_to_driver=False,
        logging_level=logging.ERROR,
        **({} if address else here),
    )


def _look_for(address: str) -> None:
    """Refuse an address where nobody listens; Ray itself would try for minutes.

    Raises:
        HarnessError: naming it.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise HarnessError(f"no Ray cluster answers at {address!r} ({error}).", "Mend --ray-address.") from None


class RayEngine:
    """A judge on several workers."""

    independent = False
    at_once = 4096

    def __init__(self, judge: JudgeSettings, settings: AnsweringSection, work: Path) -> None:
        assert isinstance(settings.engine, RaySettings)
        ref = resolve(judge.model, judge.revision)
        self.format = load_format(Path(ref.location)) if Path(ref.location).is_dir() else None
        self.identity = [ref.fingerprint, settings.decisive()]
        self.shard_size = settings.engine.shard_size
        inner = settings.model_copy(update={"engine": settings.engine.of})
        holder = settings.engine.of
        self.price = holder.price if isinstance(holder, ServerSettings) else free
        self.pool = _Pool(lambda: open_engine(judge, inner, work / "worker"), settings.engine, work / "shards")

    @property
    def weighs(self) -> bool:
        """Whether the workers' engines give P(first) without words."""
        return bool(self.pool._get(self.pool.workers[0].weighs.remote()))

    def answer(
        self, questions: Sequence[Question], decoding: Decoding, seed: int = 0, done: Done = nobody
    ) -> list[list[Answer]]:
        """Answer each question `decoding.samples` times, shard by shard.

        Raises:
            StoppedError: if a worker's engine gives up, or a worker dies again and again.
        """
        return self._answer("answer", questions, (decoding, seed), done)

    def weigh(self, questions: Sequence[Question], done: Done = nobody) -> list[Answer]:
        """Return P(first) of each question.

        Raises:
            StoppedError: likewise.
        """
        return [drawn for (drawn,) in self._answer("weigh", questions, (), done)]

    def _answer(
        self, method: str, questions: Sequence[Question], how: tuple[Any, ...], done: Done
    ) -> list[list[Answer]]:
        answers: list[list[Answer] | None] = [None] * len(questions)
        starts = range(0, len(questions), self.shard_size)
        shards = [questions[start : start + self.shard_size] for start in starts]
        pieces = [(_key(self.identity, method, how, shard), (shard, *how)) for shard in shards]
        try:
            for place, result, now in self.pool.run(method, pieces):
                given = result.answers if isinstance(result, _Stopped) else result
                for offset, drawn in enumerate(given):
                    answers[starts[place] + offset] = found = None if drawn is None else _answers(drawn, method)
                    # it is counted here: a worker's own meter knows nothing of the others'
                    meter().asked(found if found and now else (), self.price)
                if isinstance(result, _Stopped):
                    raise RunIncompleteError(result.why, "--resume asks what is owed.")
                done(len(given))
        except HarnessError as why:
            raise StoppedError(why, answers) from None
        return answers  # type: ignore[return-value]

    def close(self) -> None:
        """Stop the workers."""
        self.pool.close()


def _answers(drawn: Any, method: str) -> list[Answer]:
    """Make answers of what came from a worker or from a shard's file."""
    return [Answer(*drawn)] if method == "weigh" else [Answer(*each) for each in drawn]


def _key(*parts: Any) -> str:
    """Hash what decides a shard's result."""
    digest = hashlib.sha256()
    for part in parts[:-1]:
        digest.update(json.dumps(part, sort_keys=True).encode() + b"\0")
    for question in parts[-1]:
        digest.update(question.digest() if isinstance(question, Question) else json.dumps(list(question)).encode())
    return digest.hexdigest()[:32]


class RayScorer:
    """A reward model on several workers."""

    def __init__(self, name: str, settings: ExpertSettings, work: Path) -> None:
        assert isinstance(settings.engine, RaySettings)
        self.identity = [resolve(*revised(name)).fingerprint, settings.decisive()]
        self.shard_size = settings.engine.shard_size
        inner = settings.model_copy(update={"engine": settings.engine.of})
        self.pool = _Pool(lambda: open_scorer(name, inner, work / "worker"), settings.engine, work / "shards")

    def score(self, texts: Sequence[Sequence[int]], done: Done = nobody) -> list[float]:
        """Score texts, shard by shard."""
        starts = range(0, len(texts), self.shard_size)
        shards = [texts[start : start + self.shard_size] for start in starts]
        scores = [0.0] * len(texts)
        pieces = [(_key(self.identity, shard), (shard,)) for shard in shards]
        for place, result, _ in self.pool.run("score", pieces):
            scores[starts[place] : starts[place] + len(result)] = result
            done(len(result))
        return scores

    def close(self) -> None:
        """Stop the workers."""
        self.pool.close()
