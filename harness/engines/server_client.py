"""Asks servers that speak OpenAI's chat completions, with patience, and believes nothing of their replies."""

import asyncio
import base64
import math
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI, Timeout
from openai.types.chat import ChatCompletionMessage

from harness.config import without_secrets
from harness.engines.engine import REFUSED, Answer
from harness.errors import HarnessError, RunIncompleteError
from harness.settings import ServerSettings
from harness.texts import harmless

TRANSIENT = (408, 409, 425, 429)
"""Statuses that are asked again, as is every status from 500 on; any other 4xx is the user's to mend."""
OF_ONE_QUESTION = (400, 413, 422)
"""Statuses that may be about one question alone, such as a filter of contents: others go on where any is answered."""
LONGEST_REPLY = 2**25
"""Bytes of a reply; a longer one is no answer."""
MOST_PARTS = 2**19
"""Objects and lists of a reply; one of more is no answer, and making them would take minutes in which nothing else is
heard. The probabilities of 10,000 tokens, each with twenty alternatives, are fewer."""
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
    """A reply's body, which ends in an error where it grows too long or into too many parts."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self.stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = parts = 0
        async for part in self.stream:
            size += len(part)
            parts += part.count(b"{") + part.count(b"[")
            if size > LONGEST_REPLY:
                raise httpx2.ReadError(f"a reply of over {LONGEST_REPLY // 2**20} MiB")
            if parts > MOST_PARTS:
                raise httpx2.ReadError(f"a reply of over {MOST_PARTS} objects and lists")
            yield part

    async def aclose(self) -> None:
        await self.stream.aclose()


class _BoundedTransport(httpx2.AsyncHTTPTransport):
    """Takes no reply that is longer than any answer."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["accept-encoding"] = "identity"
        reply = await super().handle_async_request(request)
        assert isinstance(reply.stream, httpx2.AsyncByteStream)
        if reply.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            # it may be a thousand times as long as it arrives
            await reply.aclose()
            raise httpx2.ReadError("a packed reply, though none was asked for")
        # JSON is UTF-8, and some of what else a server may name decodes no text
        reply.headers["content-type"] = reply.headers.get("content-type", "").partition(";")[0]
        reply.stream = _Bounded(reply.stream)
        return reply


def _of_the_system(error: BaseException | None) -> str:
    """Say what the operating system's own error at the root is, such as a connection that was refused; else nothing."""
    found = ""
    while error is not None:
        found = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else found
        error = error.__cause__ or error.__context__
    return found


class Choice(NamedTuple):
    """One answer of a reply, as the server words it, with the tokens written and read where the reply tells.

    What was read for several answers together, the first of them has.
    """

    choice: Any
    tokens: int | None
    prompt_tokens: int | None = None


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

    def once(self, base_url: str, read: Callable[[AsyncOpenAI], Awaitable[_Read]]) -> _Read:
        """Ask something before the questions, in the time that one may take.

        Raises:
            APIConnectionError: if there is no reply in time, as where there is none at all.
        """

        async def asked() -> _Read:
            async with self.open(base_url) as client:
                return await asyncio.wait_for(read(client), self.settings.timeout)

        try:
            return asyncio.run(asked())
        except TimeoutError:
            raise APITimeoutError(httpx2.Request("GET", base_url)) from None

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
            listed = self.once(base_url, lambda client: client.models.with_raw_response.list()).http_response.json()
        except APIConnectionError as error:
            where = f"no server answers at {without_secrets(base_url)} ({self.words(error)})."
            raise HarnessError(where, "Start it, or mend base_url.") from None
        except APIStatusError as error:
            # a server need not list its models; the first question will tell
            if error.status_code in (401, 403):
                raise self._refusal(error, base_url) from None
            return ""
        except (ValueError, RecursionError):
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

    def read_choices(self, reply: Any, count: int) -> list[Choice]:
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
        read, written = usage(reply)
        # the usage is of all choices together
        told = written if count == 1 else None
        return [Choice(choice, told, read if i == 0 or read is None else 0) for i, choice in enumerate(choices[:count])]

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
        if self.given_up:
            failed = f"{without_secrets(base_url)} failed {self.failed_in_a_row} answers in a row ({error})."
            raise RunIncompleteError(failed, "See to the server; --resume asks only what is owed.")

    @property
    def given_up(self) -> bool:
        """Whether so many answers failed in a row that more are not asked for."""
        return self.failed_in_a_row >= max(IN_A_ROW, 2 * self.settings.concurrency)

    def _refusal(self, error: APIStatusError, base_url: str, model: str | None = None) -> HarnessError:
        """Say what the server refuses and what to mend."""
        fix = {
            401: "Set OPENAI_API_KEY to a key that it takes.",
            403: "Set OPENAI_API_KEY to a key that it takes.",
            404: "Mend model= or base_url= in --model-args.",
        }.get(error.status_code, "Mend --model-args, or shorten answers with --set judging.max_new_tokens=N.")
        if error.param in ("max_tokens", "temperature", "top_p", "seed", "stop"):
            fix = "If it takes no sampling settings, add sampling=server to --model-args."
        if error.param == "max_tokens":
            fix = f"Shorten answers with --set judging.max_new_tokens=N. {fix}"
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
        return self._short(body or _of_the_system(error) or error.__cause__ or error)

    def _short(self, said: Any) -> str:
        line = harmless(str(said)[:10_000])
        for form in self._key_forms:
            line = line.replace(form, "[redacted]")
        line = without_secrets(line).rstrip(".")
        return line if len(line) <= 200 else line[:197] + "..."


def usage(reply: Any) -> tuple[int | None, int | None]:
    """Take the tokens read and the tokens written out of a reply; None where it does not tell."""
    said = getattr(reply, "usage", None)
    told = [getattr(said, name, None) for name in ("prompt_tokens", "completion_tokens")]
    read, written = (count if type(count) is int and 0 <= count < 2**31 else None for count in told)
    return read, written


def _unwritable(text: str) -> str:
    """Say why a text is no answer; empty where it is one."""
    if len(text) > LONGEST_ANSWER:
        return f"{len(text)} characters"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a text with half a character, which no file can hold"
    return ""


def retry_after(header: str | None) -> float:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from now; 0 without one."""
    if not header:
        return 0.0
    with suppress(ValueError):
        return max(0.0, float(header))
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    return 0.0
