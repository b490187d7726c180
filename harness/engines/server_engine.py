"""The engine that is a server: anything that speaks OpenAI's chat completions, asked with patience."""

import asyncio
import base64
import io
import math
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI, OpenAI, Timeout
from openai.types.chat import ChatCompletionMessage

from harness.config import without_secrets
from harness.engines.engine import REFUSED, Answer, Decoding, Done, Question, StoppedError, nobody, seed_of
from harness.errors import HarnessError, RunIncompleteError
from harness.judge.format import PLAIN, JudgeFormat
from harness.protocols.reading import read_strict
from harness.settings import ServerSettings
from harness.texts import harmless

TRANSIENT = (408, 409, 425, 429)
"""Statuses that are asked again, as is every status from 500 on; any other 4xx is the user's to mend."""
OF_ONE_QUESTION = (400, 413, 422)
"""Statuses that may be about one question alone, such as a filter of contents: others go on where any is answered."""
LONGEST_REPLY = 2**25
"""Bytes of a reply; a longer one is no answer."""
LONGEST_ANSWER = 1_000_000
"""Characters of an answer; a longer one is no answer, and readers would take minutes over it."""
LONGEST_WAIT = 60.0
"""Seconds that the waits between retries grow to."""
LONGEST_OBEYED = 600.0
"""Seconds of Retry-After that are waited for; a server that asks for more has failed."""
IN_A_ROW = 16
"""Answers that may fail in a row, or two for each at once, before the server is given up."""


class _FailedError(Exception):
    """One attempt failed for now; `wait` is what the server asked for, in seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class RefusedError(HarnessError):
    """The server refuses this question; `why` is what it said, in one line."""

    def __init__(self, problem: str, fix: str, why: str) -> None:
        super().__init__(problem, fix)
        self.why = why


class _Bounded(httpx2.AsyncByteStream):
    """A reply's body, which ends in an error where it grows too long."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self.stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self.stream:
            size += len(part)
            if size > LONGEST_REPLY:
                raise httpx2.ReadError(f"a reply of over {LONGEST_REPLY // 2**20} MiB")
            yield part

    async def aclose(self) -> None:
        await self.stream.aclose()


class _BoundedTransport(httpx2.AsyncHTTPTransport):
    """Takes no reply that is longer than any answer."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        # a reply that is packed may be a thousand times as long
        request.headers["accept-encoding"] = "identity"
        reply = await super().handle_async_request(request)
        assert isinstance(reply.stream, httpx2.AsyncByteStream)
        reply.stream = _Bounded(reply.stream)
        return reply


class _Request(NamedTuple):
    """One request: a question, which of its samples, and which server."""

    place: int
    sample: int
    samples: int
    server: int


class _Choice(NamedTuple):
    """One answer of a reply, as the server words it, and its length where the reply tells."""

    choice: Any
    tokens: int | None


_Read = TypeVar("_Read")


class Client:
    """Asks one or several servers, many questions at a time.

    What may pass is asked again, ever later; what the user has to mend stops everything in one line; an
    answer that never came is an error, never a text.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        # a local server needs no key, but the client insists on one
        self._key = (settings.api_key or os.environ.get("OPENAI_API_KEY") or "").strip() or "no-key-given"
        if not (self._key.isascii() and self._key.isprintable()):
            raise HarnessError("the API key holds a character that no key has.", "Set OPENAI_API_KEY again.")
        # a server may repeat the key that it does not like, as it is or packed
        packed = (base64.b64encode(b" " * shift + self._key.encode()).decode() for shift in range(3))
        inner = (form[4 if shift else 0 : len(form) // 4 * 4 - 4] for shift, form in enumerate(packed))
        self._key_forms = [self._key, quote(self._key, safe=""), *(form for form in inner if len(form) > 8)]
        self.failed_in_a_row = 0
        self.answered = 0

    def open(self, base_url: str) -> AsyncOpenAI:
        """Open a client that believes no reply to be as short as it says."""
        inner = httpx2.AsyncClient(transport=_BoundedTransport(limits=httpx2.Limits(max_connections=None)))
        return AsyncOpenAI(**self.arguments(base_url), http_client=inner)

    def arguments(self, base_url: str) -> dict[str, Any]:
        """Return what a client of the openai package is made with."""
        timeout = Timeout(self.settings.timeout, connect=min(10.0, self.settings.timeout))
        return {"base_url": base_url, "api_key": self._key, "timeout": timeout, "max_retries": 0}

    def owners(self) -> list[str]:
        """Return what each server says it is, such as `vllm`; "" where it does not tell.

        Raises:
            HarnessError: if one is not there or does not take the key.
        """
        return [self._owner(base_url) for base_url in self.settings.base_url]

    def _owner(self, base_url: str) -> str:
        try:
            with OpenAI(**self.arguments(base_url)) as client:
                listed = client.models.with_raw_response.list().http_response.json()
        except APIConnectionError as error:
            where = f"no server answers at {without_secrets(base_url)} ({self.words(error)})."
            raise HarnessError(where, "Start it, or mend base_url.") from None
        except APIStatusError as error:
            # a server need not list its models; the first question will tell
            if error.status_code in (401, 403):
                raise self._refusal(error, base_url) from None
            return ""
        except ValueError:
            # nor need what it lists be JSON
            return ""
        try:
            return str(listed["data"][0]["owned_by"])
        except (TypeError, KeyError, IndexError):
            # nor tell whose they are
            return ""

    async def ask(self, send: Callable[[], Awaitable[_Read]], base_url: str, model: str) -> _Read | Answer:
        """Send until there is a reply that can be read or no retry is left; return it, or an answer with the error.

        Args:
            send: posts once and reads the reply; it raises `_FailedError` for one that is no answer.
            base_url: of the server, for messages.
            model: likewise.

        Raises:
            RefusedError: if the server refuses this question.
            HarnessError: if the server refuses, or has died.
        """
        wait, why = self.settings.backoff, ""
        for attempt in range(self.settings.max_retries + 1):
            try:
                return await self._attempt(send, base_url, model)
            except _FailedError as failed:
                why = str(failed)
                if attempt == self.settings.max_retries or failed.wait > LONGEST_OBEYED:
                    break
                # jitter, so that what failed together does not come back together
                await asyncio.sleep(failed.wait + wait * random.uniform(0.5, 1))
                wait = min(2 * wait, LONGEST_WAIT)
        return Answer("", error=why)

    async def _attempt(self, send: Callable[[], Awaitable[_Read]], base_url: str, model: str) -> _Read:
        try:
            # a server that sends a byte now and then never times out by itself
            return await asyncio.wait_for(send(), self.settings.timeout)
        except (APITimeoutError, TimeoutError):
            raise _FailedError(f"no answer within {self.settings.timeout:g} s") from None
        except APIConnectionError as error:
            self.gone()
            raise _FailedError(f"connection failed: {self.words(error)}") from None
        except (ValueError, RecursionError) as error:
            # no JSON, no UTF-8, a number of thousands of digits, or nested without end
            raise _FailedError(f"a reply that is no JSON: {self.words(error)}") from None
        except APIStatusError as error:
            if error.status_code in TRANSIENT or error.status_code >= 500:
                self.gone()
                wait = retry_after(error.response.headers.get("retry-after"))
                raise _FailedError(f"{error.status_code} {self.words(error)}", wait) from None
            raise self._refusal(error, base_url, model) from None

    def gone(self) -> None:
        """Look whether a server that does not answer will ever do; one of somebody else's may."""

    def read_choices(self, reply: Any, count: int) -> list[_Choice]:
        """Take the choices out of a reply, which may be anything that a server sends with status 200."""
        # the client checks no field, so a reply need not be what its type says
        choices = getattr(reply, "choices", None)
        if not isinstance(choices, list) or len(choices) < count:
            raise _FailedError(f"a reply that is no answer: {self._short(reply)}")
        for choice in choices:
            message = getattr(choice, "message", None)
            text = getattr(message, "content", None)
            if not isinstance(message, ChatCompletionMessage) or not isinstance(text, str | None):
                raise _FailedError(f"a reply that is no answer: {self._short(reply)}")
            refusal = getattr(message, "refusal", None)
            if unwritable := _unwritable(text or (refusal if isinstance(refusal, str) else "")):
                raise _FailedError(f"a reply that is no answer: {unwritable}")
        # the usage is of all choices together
        tokens = getattr(getattr(reply, "usage", None), "completion_tokens", None) if count == 1 else None
        told = tokens if type(tokens) is int and 0 <= tokens < 2**31 else None
        return [_Choice(choice, told) for choice in choices[:count]]

    def read_scores(self, reply: Any, count: int) -> list[float]:
        """Take the scores out of a reply of `/classify`."""
        try:
            rows = [[float(score) for score in row["probs"]] for row in reply["data"]]
        except (KeyError, TypeError, ValueError, OverflowError):
            # whatever else a server sends with status 200
            rows = []
        if len(rows) != count or any(len(row) != 1 or not math.isfinite(row[0]) for row in rows):
            raise _FailedError(f"a reply that holds no {count} scores: {self._short(reply)}")
        return [score for (score,) in rows]

    def count(self, error: str | None, base_url: str) -> None:
        """Give up on a server that only fails, lest a long benchmark waits for a dead one all night."""
        self.failed_in_a_row = self.failed_in_a_row + 1 if error else 0
        self.answered += not error
        if self.failed_in_a_row >= max(IN_A_ROW, 2 * self.settings.concurrency):
            failed = f"{without_secrets(base_url)} failed {self.failed_in_a_row} answers in a row ({error})."
            raise RunIncompleteError(failed, "See to the server; --resume asks only what is owed.")

    def _refusal(self, error: APIStatusError, base_url: str, model: str | None = None) -> HarnessError:
        """Say what the server refuses and what to mend."""
        fix = {
            401: "Set OPENAI_API_KEY to a key that it takes.",
            403: "Set OPENAI_API_KEY to a key that it takes.",
            404: "Mend model= or base_url= in --model-args.",
        }.get(error.status_code, "Mend --model-args, or shorten answers with --set judging.max_new_tokens=N.")
        if error.param in ("max_tokens", "temperature", "top_p", "seed", "stop"):
            fix = "If it takes no sampling settings, add sampling=server to --model-args."
        words = f"{error.status_code}, {self.words(error)}"
        problem = f"{without_secrets(base_url.rstrip('/'))} refuses model {model or self.settings.model!r}: {words}."
        if error.status_code in OF_ONE_QUESTION:
            return RefusedError(problem, fix, f"{REFUSED}{words}")
        return HarnessError(problem, fix)

    def words(self, error: Exception) -> str:
        """Return what the server said, or what the network did, in one line."""
        body = getattr(error, "body", None)
        if isinstance(body, dict):
            body = body.get("message") or body.get("detail") or body
        return self._short(body or error.__cause__ or error)

    def _short(self, said: Any) -> str:
        line = harmless(str(said)[:10_000])
        for form in self._key_forms:
            line = line.replace(form, "[redacted]")
        line = without_secrets(line).rstrip(".")
        return line if len(line) <= 200 else line[:197] + "..."


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

    def _find_verdicts(self, format_: JudgeFormat) -> None:
        """Learn from the server's tokenizer which tokens name the better answer, and what comes before them."""
        root = self.settings.base_url[0].removesuffix("/v1")
        with OpenAI(**self.client.arguments(root)) as client:

            def tokens(text: str) -> list[int]:
                body = {"model": self.settings.model, "prompt": text, "add_special_tokens": False}
                return list(client.post("/tokenize", body=body, cast_to=object)["tokens"])  # type: ignore[index]

            try:
                one, two = (tokens(format_.judgment("", better)) for better in (0, 1))
                apart = [i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b]
                if len(one) == len(two) and len(apart) == 1:
                    body = {"model": self.settings.model, "tokens": one[: apart[0]]}
                    self.opening = client.post("/detokenize", body=body, cast_to=object)["prompt"]  # type: ignore[index]
                    self.verdicts = one[apart[0]], two[apart[0]]
            except (APIStatusError, APIConnectionError, KeyError, TypeError):
                # then there is no P(first), and a protocol that needs it says so
                self.verdicts = None

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
                url = urls[request.server]

                async def send() -> list[_Choice]:
                    reply = await clients[request.server].chat.completions.create(**body)
                    return self.client.read_choices(reply, request.samples)

                try:
                    reply = await self.client.ask(send, url, str(self.settings.model))
                    if isinstance(reply, Answer):
                        drawn = [reply] * request.samples
                    else:
                        drawn = [self._read(choice, opening is not None) for choice in reply]
                    answers[request.place][request.sample : request.sample + request.samples] = drawn
                    self.client.count(drawn[0].error, url)
                except RefusedError as refusal:
                    refused[request.place] = refusal
                    answers[request.place] = [Answer("", error=refusal.why)] * decoding.samples
                    self.client.failed_in_a_row += 1
                    if self.client.failed_in_a_row >= max(IN_A_ROW, 2 * self.settings.concurrency):
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

    def _read(self, given: _Choice, weighed: bool) -> Answer:
        """Read one choice: its text, and P(first) where its tokens come with probabilities."""
        choice = given.choice
        # a model that refuses, or spends every token on thinking, has answered, but named no verdict
        refusal = choice.message.refusal
        text = (choice.message.content or (refusal if isinstance(refusal, str) else "")).strip()
        steps = getattr(getattr(choice, "logprobs", None), "content", None)
        if not isinstance(steps, list) or not all(isinstance(getattr(step, "token", None), str) for step in steps):
            return Answer(text, None, given.tokens)
        names = tuple(f"token_id:{token}" for token in self.verdicts) if self.verdicts else ("1", "2")
        if weighed:
            named = steps[:1]
        else:
            better = {"first": names[0], "second": names[1]}.get(str(read_strict(text)))
            named = [step for step in steps if _name(step.token) == better][-1:]
        return Answer(text, _p_first(named[0], names) if named else None, len(steps))


def _unwritable(text: str) -> str:
    """Say why a text is no answer; empty where it is one."""
    if len(text) > LONGEST_ANSWER:
        return f"{len(text)} characters"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a text with half a character, which no file can hold"
    return ""


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


def retry_after(header: str | None) -> float:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from now; 0 without one."""
    if not header:
        return 0.0
    with suppress(ValueError):
        return max(0.0, float(header))
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    return 0.0


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
