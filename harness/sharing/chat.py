"""OpenAI's chat completions: what a request asks of a judge, and how its answers are written as a reply.

Taken is what a judge's protocol needs: one user message of texts and images. Whatever else would change an answer is
refused, so that nobody believes that it was heeded.
"""

import base64
import binascii
import math
import secrets
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from harness.data.images import IMAGE_LIMIT, image_bytes, opened
from harness.engines.engine import Answer, Decoding, Question
from harness.protocols.reading import read_strict

IMAGES = 64
"""Images that a question may have; a pair of MMRB2 has up to 39 in its responses alone."""
CHARACTERS = 1_000_000
"""Characters that a question's texts may have together."""
TOKENS = 16_384
"""Tokens that an answer may have at most."""
SAMPLES = 64
"""Answers to one request at most."""
NEVER = -9999.0
"""What OpenAI writes for the logarithm of a probability of 0."""


class RequestError(Exception):
    """A request that is not answered: a status, and what OpenAI's clients read of it."""

    def __init__(self, status: HTTPStatus, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    def body(self) -> dict[str, Any]:
        """Write it in OpenAI's shape."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Text(_Strict):
    type: Literal["text"]
    text: str


class _Address(_Strict):
    url: str
    detail: str | None = None


class _Image(_Strict):
    type: Literal["image_url"]
    image_url: _Address


class _Message(_Strict):
    role: Literal["user"]
    content: str | Annotated[list[Annotated[_Text | _Image, Field(discriminator="type")]], Field(min_length=1)]
    name: str | None = None


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class ChatRequest(_Strict):
    """The body of a request."""

    model: str
    messages: list[_Message] = Field(min_length=1, max_length=1)
    max_tokens: int | None = Field(None, ge=1, le=TOKENS)
    max_completion_tokens: int | None = Field(None, ge=1, le=TOKENS)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    n: int | None = Field(None, ge=1, le=SAMPLES)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_texts), Field(max_length=4)] | None = (
        None
    )
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    stream: Literal[False] | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None


class Asked(NamedTuple):
    """What a request asks."""

    question: Question
    decoding: Decoding
    seed: int
    logprobs: bool
    """Whether the verdict's probabilities are wanted."""


def read_request(body: bytes, served: str, longest: int) -> Asked:
    """Read a request.

    Args:
        body: JSON.
        served: the name of the model that answers.
        longest: tokens of an answer where the request does not say.

    Raises:
        RequestError: saying what is wrong with it.
    """
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or None
        raise RequestError(HTTPStatus.BAD_REQUEST, _problem(first["type"], where, first["msg"]), where) from None
    if request.model != served:
        told = f"The model {request.model[:100]!r} does not exist; {served!r} does."
        raise RequestError(HTTPStatus.NOT_FOUND, told, "model", "model_not_found")
    temperature = request.temperature or 0.0
    decoding = Decoding(
        request.max_completion_tokens or request.max_tokens or longest,
        temperature,
        1.0 if request.top_p is None or not temperature else request.top_p,
        request.n or 1,
        tuple(request.stop or ()),
    )
    # greedy answers need none, and are then asked together; without one, equal requests draw other answers
    seed = request.seed if request.seed is not None else secrets.randbelow(2**31)
    return Asked(_question(request.messages[0]), decoding, seed if temperature else 0, bool(request.logprobs))


def _problem(kind: str, where: str | None, message: str) -> str:
    if kind == "extra_forbidden":
        return f"Unrecognized request argument supplied: {where}."
    if where == "messages" or (where or "").startswith("messages.0.role"):
        return f"A judge takes one message, the user's ({message})."
    if where == "stream":
        return "Streaming is not supported: an answer is short."
    return f"Invalid value for {where}: {message}." if where else f"The body is no JSON object of a request: {message}."


def _question(message: _Message) -> Question:
    parts = [_Text(type="text", text=message.content)] if isinstance(message.content, str) else message.content
    if sum(len(part.text) for part in parts if isinstance(part, _Text)) > CHARACTERS:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"A question has at most {CHARACTERS:,} characters.", "messages")
    if sum(isinstance(part, _Image) for part in parts) > IMAGES:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"A question has at most {IMAGES} images.", "messages")
    taken, pixels = list[Any](), 0
    for part in parts:
        taken.append(_image(part.image_url.url) if isinstance(part, _Image) else part.text)
        pixels += taken[-1].width * taken[-1].height if isinstance(part, _Image) else 0
        if pixels > IMAGE_LIMIT:
            # a plain image of some kilobytes may have as many as a single one may, which are hundreds of megabytes
            told = f"A question's images have at most {IMAGE_LIMIT:,} pixels together."
            raise RequestError(HTTPStatus.BAD_REQUEST, told, "messages")
    return Question(tuple(taken))


def _image(url: str) -> Any:
    """Decode an image that came with its request; nothing is ever fetched."""
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        told = "An image comes as a data URL, data:image/png;base64,...; this server fetches nothing."
        raise RequestError(HTTPStatus.BAD_REQUEST, told, "messages")
    try:
        return opened(image_bytes(base64.b64decode(data, validate=True))).convert("RGB")
    except (binascii.Error, ValueError, OSError) as error:
        told = f"An image cannot be read: {' '.join(str(error).split())[:100]}."
        raise RequestError(HTTPStatus.BAD_REQUEST, told, "messages") from None


def write_reply(asked: Asked, answers: Sequence[Answer], served: str) -> dict[str, Any]:
    """Write a reply.

    Raises:
        RequestError: if an answer is none.
    """
    if failed := next((answer.error for answer in answers if answer.error), None):
        raise RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, f"The engine gave no answer: {failed}.")
    read, written = ([getattr(one, name) for one in answers] for name in ("prompt_tokens", "tokens"))
    counts = {"prompt_tokens": _sum(read), "completion_tokens": _sum(written)}
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": served,
        "choices": [
            {
                "index": place,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "logprobs": _logprobs(answer) if asked.logprobs else None,
                "finish_reason": "length" if (answer.tokens or 0) >= asked.decoding.max_new_tokens else "stop",
            }
            for place, answer in enumerate(answers)
        ],
        "usage": counts | {"total_tokens": _sum(list(counts.values()))},
    }


def _sum(counts: Sequence[int | None]) -> int | None:
    """Add up counts of tokens; None where an engine does not tell one."""
    return None if None in counts else sum(count or 0 for count in counts)


def _logprobs(answer: Answer) -> dict[str, Any]:
    """Write the probabilities of the one token that named the verdict: 1 against 2, which add up to 1."""
    better = {"first": "1", "second": "2"}.get(str(read_strict(answer.text)))
    if better is None or answer.p_first is None:
        return {"content": [], "refusal": None}
    of = {"1": _log(answer.p_first), "2": _log(1 - answer.p_first)}
    steps = [{"token": token, "logprob": of[token], "bytes": list(token.encode())} for token in ("1", "2")]
    named = steps[int(better) - 1]
    return {
        "content": [named | {"top_logprobs": sorted(steps, key=lambda one: -of[str(one["token"])])}],
        "refusal": None,
    }


def _log(p: float) -> float:
    return math.log(p) if p > 0 else NEVER
