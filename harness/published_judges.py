"""Judges that others published, as `judges/<name>.yaml` describes them: what asking one as its authors do takes."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from harness.settings import Section

JUDGE = "judge:"
"""How the name of such a judge begins where a model is named."""

FIELDS = ("question", "first", "second")
"""What a judge's words hold, each once."""

Name = Annotated[str, Field(min_length=1, max_length=50)]


class Words(Section):
    """Where the words stand in which its authors ask a judge; they are theirs, so they do not come with the harness."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    """On GitHub, OWNER/NAME."""
    commit: str = Field(pattern="^[0-9a-f]{40}$")
    path: str = Field(pattern=r"^[\w./-]+$")
    """Of a Python file, in which they are one text; no line of it is run."""
    fields: dict[str, str]
    """What that text calls the question, the first and the second response: its name to `FIELDS`."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the text in UTF-8, with {question}, {first} and {second} where its own fields stood."""

    @property
    def address(self) -> str:
        """Where the file can be fetched."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{self.path}"

    @field_validator("fields")
    @classmethod
    def _are_all_three(cls, fields: dict[str, str]) -> dict[str, str]:
        if sorted(fields.values()) != sorted(FIELDS):
            raise ValueError(f"it must lead to each of {', '.join(FIELDS)} once")
        return fields


class Sentence(Section):
    """A way to write a verdict, and which of several counts."""

    form: str = Field(max_length=200)
    """With the field {verdict} where the name of the better response stands, blanks around it aside."""
    take: Literal["first", "last", "agreed"]
    """Which counts where it stands several times; `agreed` reads nothing where they name both responses."""

    @field_validator("form")
    @classmethod
    def _has_the_field(cls, form: str) -> str:
        if form.count("{verdict}") != 1:
            raise ValueError("it must hold {verdict} once")
        return form


class VerdictForm(Section):
    """How a judge writes its verdict. Plain texts and no patterns: a record of anybody's is read with it."""

    sentences: list[Sentence] = Field(min_length=1, max_length=5)
    """Each is looked for where the ones before it do not stand."""
    first: list[Name] = Field(["1"], min_length=1, max_length=5)
    second: list[Name] = Field(["2"], min_length=1, max_length=5)
    """What it calls the response shown first, and the one shown second."""

    @field_validator("second")
    @classmethod
    def _names_another(cls, second: list[str], info: ValidationInfo) -> list[str]:
        if both := set(second) & set(info.data.get("first", ())):
            raise ValueError(f"{min(both)!r} names the first response too")
        return second


class PublishedJudge(Section):
    """A judge that others published."""

    summary: str
    hub: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    """The model's name on the hub."""
    revision: str | None = None
    """A commit of the hub's; None takes the newest."""
    licence: str
    parameters: str
    """How many it has, as a person reads it."""
    cannot: str | None = None
    """Why the harness does not run it; such a judge is only described."""
    scores: bool = False
    """Of one that is only described: whether it gives each response a reward, and does not write which is better."""
    words: Words | None = None
    """Where the words stand in which it is asked to compare two responses."""
    prompt: str | None = None
    """Or these words themselves, with {question}, {first} and {second}, where they are yours to copy."""
    verdict: VerdictForm | None = None
    """How it writes which is better."""
    head: Literal["value-head"] | None = None
    """Or the head by which it gives a reward to each response, shown as a reply to the question; it has no words."""
    max_pixels: int | None = Field(None, ge=1)
    """Pixels that its authors scale an image down to."""
    max_new_tokens: int | None = Field(None, ge=1)
    """Length that its authors let an answer have."""
    printed: str | None = None
    """Its name in the published figures (`results/published`)."""
    remark: str | None = None
    """What to know when its printed figures are set beside measured ones."""

    indifferent: ClassVar[frozenset[str]] = frozenset({"summary", "licence", "parameters", "printed", "remark"})

    @field_validator("prompt")
    @classmethod
    def _holds_the_fields(cls, prompt: str | None) -> str | None:
        if prompt and (missing := [name for name in FIELDS if len(re.findall(f"{{{name}}}", prompt)) != 1]):
            raise ValueError(f"it must hold {{{missing[0]}}} once")
        return prompt

    @model_validator(mode="after")
    def _is_asked_in_one_way(self) -> "PublishedJudge":
        ways = [name for name in ("cannot", "words", "prompt", "head") if getattr(self, name)]
        if len(ways) != 1:
            raise ValueError(
                f"it must have one of cannot, words, prompt and head, and has {' and '.join(ways) or 'none'}"
            )
        if (self.words or self.prompt) and not self.verdict:
            raise ValueError("a judge that writes needs the field verdict")
        if self.verdict and not (self.words or self.prompt):
            raise ValueError("verdict is for a judge that is asked in words")
        return self

    @property
    def arguments(self) -> dict[str, str | int]:
        """Say what loads it, as `--model-args` does."""
        named = {"pretrained": self.hub, "revision": self.revision, "max_pixels": self.max_pixels}
        return {name: value for name, value in named.items() if value is not None}
