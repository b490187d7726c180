"""A judge's format: the words in which a checkpoint is asked, kept beside its weights.

Every judge trained here ends its judgment with VL-RewardBench's own sentence, so one reader serves
them all. A model that brings no format of its own is asked with the benchmark's prompt.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import DataError
from harness.records.store import write_atomically

FILE = "judge_format.json"


@dataclass(frozen=True)
class JudgeFormat:
    """The prompt of a judge and the sentence its judgment ends in."""

    prompt: str
    """With the fields {question}, {first} and {second}; the image comes before it."""
    verdict: str = "Overall Judgment: Answer {number} is better."
    """With the field {number}, 1 or 2."""
    separator: str = "\n\n"
    """Between rationale and verdict."""

    def ask(self, question: str, first: str, second: str) -> str:
        """Write the prompt for one presentation."""
        values = {"question": question, "first": first, "second": second}
        # not str.format: a response may itself hold braces
        return re.sub(r"\{(question|first|second)\}", lambda field: values[field[1]], self.prompt)

    def hinted(self, prompt: str, better: int) -> str:
        """Add to a prompt which answer is better (0 or 1), as hinted sampling does (Con-J, arXiv 2410.03742, 3.1)."""
        return f"{prompt}{self.separator}{self.verdict.format(number=better + 1)}"

    def judgment(self, rationale: str, better: int) -> str:
        """Write a judgment: `rationale` and the verdict for the response shown first (0) or second (1)."""
        verdict = self.verdict.format(number=better + 1)
        return f"{rationale}{self.separator}{verdict}" if rationale else verdict

    def rationale(self, judgment: str) -> str:
        """Return a judgment without its closing verdict."""
        head = self.verdict.split("{number}")[0].strip().lower()
        place = judgment.lower().rfind(head)
        return (judgment if place < 0 else judgment[:place]).strip()

    def save(self, checkpoint: Path) -> None:
        """Write the format into a checkpoint's folder."""
        write_atomically(checkpoint / FILE, json.dumps(asdict(self), indent=1))


def load_format(checkpoint: Path) -> JudgeFormat | None:
    """Read the format that a checkpoint brings, if any."""
    path = checkpoint / FILE
    if not path.exists():
        return None
    try:
        return JudgeFormat(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is not a judge format: {error}.", "It holds prompt, verdict and separator.") from error


REWARD_FILE = "judge_reward.json"


@dataclass(frozen=True)
class RewardFormat:
    """What a judge with a reward head reads: image and prompt from the user, then the response as its own turn.

    The file that holds it tells such a checkpoint from one that writes judgments.
    """

    prompt: str = "{question}"
    """With the field {question}; the image comes before it."""

    def ask(self, question: str) -> str:
        """Write the user's turn."""
        return self.prompt.replace("{question}", question)

    def save(self, checkpoint: Path) -> None:
        """Write the format into a checkpoint's folder."""
        about = {"what": "a scalar reward of one response, from the hidden state of its last token"}
        write_atomically(checkpoint / REWARD_FILE, json.dumps(about | asdict(self), indent=1))


def load_reward_format(checkpoint: Path) -> RewardFormat | None:
    """Read the format of a checkpoint with a reward head; None for any other."""
    path = checkpoint / REWARD_FILE
    if not path.exists():
        return None
    try:
        return RewardFormat(json.loads(path.read_text(encoding="utf-8"))["prompt"])
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} is not the format of a reward head: {error}.", "It holds what and prompt.") from error


EMBEDDED = JudgeFormat(
    "{question} answer 1: {first} answer 2: {second} which is better?",
    "overall judgment: answer {number} is better.",
    " ",
)
"""The embedded judge's few words; its vocabulary has no room for criteria."""

PLAIN = JudgeFormat(
    "You see an image, a question about it and two answers. Say what in the image decides between them, "
    "then name the better answer.\n\nQuestion: {question}\n\nAnswer 1: {first}\n\nAnswer 2: {second}\n\n"
    'End with "Overall Judgment: Answer 1 is better." or "Overall Judgment: Answer 2 is better."'
)
"""What a general model is trained on when its checkpoint brings no format."""
