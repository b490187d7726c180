"""The engine that is a server: questions are written as its requests, and its replies read as answers."""

import asyncio
import base64
import io
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from openai import APIConnectionError, APIStatusError, AsyncOpenAI

from harness.config import without_secrets
from harness.engines.engine import Answer, Decoding, Done, Question, StoppedError, nobody, seed_of
from harness.engines.meter import meter
from harness.engines.server_client import Choice, Client, RefusedError, usage
from harness.errors import HarnessError, RunIncompleteError
from harness.judge.format import PLAIN, JudgeFormat
from harness.protocols.reading import read_strict
from harness.settings import ServerSettings


class _Request(NamedTuple):
    """One request: a question, which of its samples, and which server."""

    place: int
    sample: int
    samples: int
    server: int


class ServerEngine:
    """A model behind one server, or behind several that share the questions."""

    independent = True
    at_once = 1024

    def __init__(
        self, settings: ServerSettings, client: Client | None = None, format_: JudgeFormat | None = None
    ) -> None:
        self.settings, self.format = settings, format_
        self.client = client or Client(settings)
        # vLLM gives exact probabilities of named tokens, and several answers to one request
        self.vllm = set(self.client.owners()) == {"vllm"}
        self.verdicts: tuple[int, int] | None = None
        self.opening = ""
        if self.vllm:
            self._find_verdicts(format_ or PLAIN)

    @property
    def weighs(self) -> bool:
        """Whether the servers give the probabilities of named tokens."""
        return self.verdicts is not None

    @property
    def tells_p(self) -> bool:
        """Whether written answers come with P(first), where the servers do as they are asked."""
        return self.weighs or self.settings.alternatives > 0

    def _find_verdicts(self, format_: JudgeFormat) -> None:
        """Learn from the server's tokenizer which tokens name the better answer, and what comes before them."""

        async def learn(client: AsyncOpenAI) -> None:
            async def post(path: str, **body: Any) -> Any:
                return await client.post(path, body={"model": self.settings.model, **body}, cast_to=object)

            texts = [format_.judgment("", better) for better in (0, 1)]
            one, two = [(await post("/tokenize", prompt=t, add_special_tokens=False))["tokens"] for t in texts]
            apart = [i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b]
            if len(one) == len(two) and len(apart) == 1:
                self.opening = (await post("/detokenize", tokens=one[: apart[0]]))["prompt"]
                self.verdicts = one[apart[0]], two[apart[0]]

        # where it cannot be learnt there is no P(first), and a protocol that needs it says so
        with suppress(APIStatusError, APIConnectionError, KeyError, TypeError, ValueError, RecursionError):
            self.client.once(self.settings.base_url[0].removesuffix("/v1"), learn)

    def answer(
        self, questions: Sequence[Question], decoding: Decoding, seed: int = 0, done: Done = nobody
    ) -> list[list[Answer]]:
        """Answer each question `decoding.samples` times.

        Raises:
            StoppedError: if a server refuses a question, or has failed too often in a row.
        """
        return self._ask_all(questions, decoding, seed, done)

    def weigh(self, questions: Sequence[Question], done: Done = nobody) -> list[Answer]:
        """Return P(first) of each question from the one token that names the verdict."""
        assert self.verdicts is not None, "a caller looks at `weighs` first"
        format_ = self.format or PLAIN
        answers = []
        for (drawn,) in self._ask_all(questions, Decoding(1), 0, done, self.opening):
            if drawn.error is None and drawn.p_first is not None:
                drawn = drawn._replace(text=format_.judgment("", int(drawn.p_first < 0.5)), tokens=1)
            answers.append(drawn)
        return answers

    def close(self) -> None:
        """Nothing to give back: connections live only while questions are under way."""

    def _ask_all(
        self, questions: Sequence[Question], decoding: Decoding, seed: int, done: Done, opening: str | None = None
    ) -> list[list[Answer]]:
        answers, stop = asyncio.run(self._answer_all(questions, decoding, seed, done, opening))
        whole = [drawn if all(answer is not None for answer in drawn) else None for drawn in answers]
        if stop is not None:
            raise StoppedError(stop, whole)
        return whole  # type: ignore[return-value]

    async def _answer_all(
        self, questions: Sequence[Question], decoding: Decoding, seed: int, done: Done, opening: str | None
    ) -> tuple[list[list[Answer | None]], HarnessError | None]:
        """Ask every question; what is under way when a server is given up still comes home."""
        urls = self.settings.base_url
        gates = [asyncio.Semaphore(self.settings.concurrency) for _ in urls]
        answers: list[list[Answer | None]] = [[None] * decoding.samples for _ in questions]
        stops: list[HarnessError] = []
        refused: dict[int, RefusedError] = {}

        async def ask(request: _Request) -> None:
            async with gates[request.server]:
                if stops:
                    return
                body = self._body(questions[request.place], decoding, seed, request, opening)
                url, sent = urls[request.server], 0

                async def send() -> list[Choice]:
                    nonlocal sent
                    meter().check()
                    meter().sent()
                    sent += 1
                    reply = await clients[request.server].chat.completions.create(**body)
                    self._pay(reply, url)
                    return self.client.read_choices(reply, request.samples)

                try:
                    reply = await self.client.ask(send, url, str(self.settings.model))
                    if isinstance(reply, Answer):
                        drawn = [reply] * request.samples
                    else:
                        drawn = [self._read(choice, opening is not None) for choice in reply]
                    drawn = [one._replace(requests=0 if i else sent) for i, one in enumerate(drawn)]
                    answers[request.place][request.sample : request.sample + request.samples] = [*drawn]
                    self.client.count(drawn[0].error, url)
                except RefusedError as refusal:
                    refused[request.place] = refusal
                    answers[request.place] = [*Answer("", error=refusal.why, requests=sent).again(decoding.samples)]
                    self.client.failed_in_a_row += 1
                    if self.client.given_up:
                        stops.append(refusal)
                except HarnessError as stop:
                    stops.append(stop)
                if all(answer is not None for answer in answers[request.place]):
                    done(1)

        clients = [self.client.open(url) for url in urls]
        try:
            await asyncio.gather(*(ask(request) for request in self._requests(len(questions), decoding)))
        finally:
            for client in clients:
                await client.close()
        if refused and not (stops or self.client.answered):
            stops.append(next(iter(refused.values())))
        if stops and isinstance(stops[0], RefusedError):
            # it is not about these questions
            for place in refused:
                answers[place] = [None] * decoding.samples
        return answers, stops[0] if stops else None

    def _pay(self, reply: Any, url: str) -> None:
        """Count what a reply cost, whatever it holds.

        Raises:
            HarnessError: if that cannot be told, and a limit hangs on it.
        """
        read, written = usage(reply)
        if meter().limits.cost is not None and None in (read, written):
            told = (
                f"{without_secrets(url)} does not say how many tokens it read and wrote, so --max-cost cannot be kept."
            )
            raise HarnessError(told, "Say --max-requests in its place.")
        meter().came(read, written, self.settings.price(read or 0, written or 0))

    def _requests(self, questions: int, decoding: Decoding) -> list[_Request]:
        """Say what is asked of which server; both orders of an item go to one, which has read their image then."""
        count = decoding.samples if self.vllm else 1
        servers = len(self.settings.base_url)
        return [
            _Request(place, sample, count, place // 2 % servers)
            for place in range(questions)
            for sample in range(0, decoding.samples, count)
        ]

    def _body(
        self,
        question: Question,
        decoding: Decoding,
        seed: int,
        request: _Request,
        opening: str | None,
    ) -> dict[str, Any]:
        """Write one request: texts and images in their order."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": [_content(part) for part in question.parts]}]
        body: dict[str, Any] = {"model": self.settings.model, "messages": messages}
        if self.settings.sampling == "server":
            return body | {"max_completion_tokens": decoding.max_new_tokens}
        body |= {"max_tokens": decoding.max_new_tokens, "temperature": decoding.temperature}
        if decoding.stop:
            body["stop"] = list(decoding.stop)
        if decoding.temperature > 0:
            # a server draws its n answers from seed, seed + 1, ...
            body |= {"top_p": decoding.top_p, "seed": (seed_of(question, seed) + request.sample) % 2**31}
        if request.samples > 1:
            body["n"] = request.samples
        extra: dict[str, Any] = {}
        if self.verdicts:
            body["logprobs"] = True
            extra |= {"logprob_token_ids": list(self.verdicts), "return_tokens_as_token_ids": True}
        elif self.settings.alternatives:
            body |= {"logprobs": True, "top_logprobs": self.settings.alternatives}
        if opening is not None:
            messages.append({"role": "assistant", "content": opening})
            extra |= {"continue_final_message": True, "add_generation_prompt": False}
        return body | ({"extra_body": extra} if extra else {})

    def _read(self, given: Choice, weighed: bool) -> Answer:
        """Read one choice: its text, and P(first) where its tokens come with probabilities."""
        choice = given.choice
        # a model that refuses, or spends every token on thinking, has answered, but named no verdict
        refusal = choice.message.refusal
        text = (choice.message.content or (refusal if isinstance(refusal, str) else "")).strip()
        steps = getattr(getattr(choice, "logprobs", None), "content", None)
        if not isinstance(steps, list) or not all(isinstance(getattr(step, "token", None), str) for step in steps):
            return Answer(text, None, given.tokens, prompt_tokens=given.prompt_tokens)
        names = tuple(f"token_id:{token}" for token in self.verdicts) if self.verdicts else ("1", "2")
        if weighed:
            named = steps[:1]
        else:
            better = {"first": names[0], "second": names[1]}.get(str(read_strict(text)))
            named = [step for step in steps if _name(step.token) == better][-1:]
        tokens = len(steps) if given.tokens is None else given.tokens
        return Answer(text, _p_first(named[0], names) if named else None, tokens, prompt_tokens=given.prompt_tokens)


def _name(token: str) -> str:
    return token if token.startswith("token_id:") else token.strip(" \u0120\u2581")


def _p_first(step: Any, names: tuple[str, ...]) -> float | None:
    """Return P(first) against P(second) at one token; None where either is not told."""
    others = getattr(step, "top_logprobs", None)
    told = {
        _name(other.token): other.logprob
        for other in (others if isinstance(others, list) else ())
        if isinstance(getattr(other, "token", None), str)
    }
    known = [told[name] for name in names if isinstance(told.get(name), int | float) and abs(told[name]) < 1e300]
    if len(known) < 2:
        return None
    first, second = known
    return 1 / (1 + math.exp(max(-700.0, min(700.0, second - first))))


def _content(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    image = io.BytesIO()
    part.convert("RGB").save(image, "PNG")
    url = "data:image/png;base64," + base64.b64encode(image.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": url}}


class ServerScorer:
    """A reward model behind a server that knows `/classify`, as vLLM does."""

    def __init__(
        self, name: str, settings: ServerSettings, number: int, batch_size: int, client: Client | None = None
    ) -> None:
        """Take the address of expert `number` where there are several, else the one there is."""
        urls = settings.base_url
        self.url = urls[min(number, len(urls) - 1)].removesuffix("/v1")
        self.name, self.settings, self.batch_size = name, settings, batch_size
        self.client = client or Client(settings)

    def score(self, texts: Sequence[Sequence[int]], done: Done = nobody) -> list[float]:
        """Score texts; the raw output of the head, without the sigmoid that vLLM's default applies.

        Raises:
            HarnessError: if the server refuses them.
            RunIncompleteError: if it fails.
        """
        return asyncio.run(self._score(texts, done))

    async def _score(self, texts: Sequence[Sequence[int]], done: Done) -> list[float]:
        gate = asyncio.Semaphore(self.settings.concurrency)
        scores = [math.nan] * len(texts)

        async def ask(start: int) -> None:
            batch = [list(text) for text in texts[start : start + self.batch_size]]
            body = {"model": self.name, "input": batch, "use_activation": False}

            async def send() -> list[float]:
                # scores that are half there are kept nowhere, so no limit stops them in the middle
                meter().sent()
                meter().came(sum(map(len, batch)), None)
                return self.client.read_scores(await client.post("/classify", body=body, cast_to=object), len(batch))

            async with gate:
                reply = await self.client.ask(send, self.url, self.name)
            if isinstance(reply, Answer):
                raise RunIncompleteError(
                    f"{without_secrets(self.url)} gave no scores of {self.name} ({reply.error}).", "Run it again."
                )
            scores[start : start + len(batch)] = reply
            done(len(batch))

        async with self.client.open(self.url) as client:
            await asyncio.gather(*(ask(start) for start in range(0, len(texts), self.batch_size)))
        return scores

    def close(self) -> None:
        """Nothing to give back."""
