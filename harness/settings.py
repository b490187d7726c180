"""Every group of settings, with its defaults: the sections of a configuration, engines, sources of pairs."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator


class Section(BaseModel):
    """A group of settings; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    indifferent: ClassVar[frozenset[str]] = frozenset()
    """Fields that change no result: in the record, but in no cache key and no run's name."""

    def decisive(self) -> dict[str, Any]:
        """Return the settings that may change a result, as plain data."""
        dump = self.model_dump(mode="json", exclude=set(self.indifferent))
        for name in dump:
            if isinstance(value := getattr(self, name), Section):
                dump[name] = value.decisive()
        return dump


Precision = Literal["auto", "float32", "bfloat16"]


class ComputingSection(Section):
    """Settings of something that a model computes."""

    precision: Precision = "auto"
    """`auto` is what the machine computes natively (`harness.precision`); a record holds what that was.

    Training keeps the weights in float32 and multiplies in this precision; with an adapter, the weights
    that stay as they are have it too. A model of lmms-eval's (`--model`) chooses its own.
    """


class EngineSettings(Section):
    """What answers or scores."""

    @property
    def holder(self) -> "EngineSettings":
        """The engine that holds the model: itself, if it hands the work to no other."""
        return self


class TransformersSettings(EngineSettings):
    """The engine in this process: transformers on the machine at hand."""

    name: Literal["transformers"] = "transformers"


class VllmSettings(EngineSettings):
    """vLLM in an environment of its own; the harness starts it on loopback, asks, and stops it."""

    name: Literal["vllm"] = "vllm"
    python: str | None = None
    """That environment's interpreter; else HARNESS_VLLM_PYTHON names it, or `make vllm` has built it."""
    version: str | None = None
    """vLLM's version, found when the run is configured."""
    tensor_parallel: int = Field(1, ge=1)
    """GPUs that one model is spread over."""
    replicas: int | None = Field(None, ge=1)
    """Servers side by side; where it is left out, as many as the GPUs allow."""
    options: dict[str, Any] = {}
    """Further arguments of vLLM's server, such as `max-model-len: 8192`."""
    concurrency: int = Field(128, ge=1)
    """Questions under way at once at each server."""
    start_timeout: float = Field(900, gt=0)
    """Seconds that a server may take to start."""

    indifferent: ClassVar[frozenset[str]] = frozenset({"python", "replicas", "concurrency", "start_timeout"})


def _address_list(value: Any) -> Any:
    return value.replace(";", " ").split() if isinstance(value, str) else value


class ServerSettings(EngineSettings):
    """A server that somebody else runs: anything that speaks OpenAI's chat completions."""

    name: Literal["server"] = "server"
    base_url: Annotated[list[Annotated[str, Field(pattern="^https?://")]], BeforeValidator(_address_list)]
    """Up to and including `/v1`; several, separated by a semicolon, share the work."""
    model: str | None = None
    """The name under which the server knows it; an expert's is its own."""
    sampling: Literal["protocol", "server"] = "protocol"
    """Who says how answers are drawn; `server` for models that take no sampling settings."""
    alternatives: int = Field(0, ge=0, le=20)
    """Tokens whose probability is asked for at each place: 20 gives P(first), where the server can; vLLM needs none."""
    api_key: str | None = None
    """Better set as OPENAI_API_KEY; a local server needs none."""
    concurrency: int = Field(8, ge=1)
    """Questions under way at once."""
    max_retries: int = Field(5, ge=0)
    """How often a question is asked again when the server is busy, silent or breaks off."""
    backoff: float = Field(1.0, gt=0)
    """Seconds before the first retry; each further one waits twice as long."""
    timeout: float = Field(120.0, gt=0)
    """Seconds that an answer may take."""
    price_in: float | None = Field(None, ge=0)
    """What a million tokens cost that it reads, in any currency."""
    price_out: float | None = Field(None, ge=0)
    """What a million tokens cost that it writes."""

    indifferent: ClassVar[frozenset[str]] = frozenset(
        {"api_key", "concurrency", "max_retries", "backoff", "timeout", "price_in", "price_out"}
    )

    @property
    def priced(self) -> bool:
        """Whether it has prices."""
        return self.price_in is not None or self.price_out is not None

    def price(self, read: int, written: int) -> float:
        """Say what so many tokens cost; a price that is not given is none."""
        return (read * (self.price_in or 0) + written * (self.price_out or 0)) / 1e6


def _named(value: Any) -> Any:
    """Let `engine: vllm` stand for `engine: {name: vllm}`."""
    if isinstance(value, str):
        return {"name": value}
    return {"name": "transformers", **value} if isinstance(value, Mapping) else value


class RaySettings(EngineSettings):
    """Ray: other engines on several workers, on this machine or a cluster."""

    name: Literal["ray"] = "ray"
    of: Annotated[
        Annotated[TransformersSettings | VllmSettings | ServerSettings, Field(discriminator="name")],
        BeforeValidator(_named),
    ] = TransformersSettings()
    """The engine that each worker holds."""
    version: str | None = None
    """Ray's version, found when the run is configured."""
    workers: int = Field(2, ge=1)
    """Processes that answer side by side, each with a model of its own."""
    gpus_per_worker: float = Field(0, ge=0)
    """GPUs that Ray gives to each of them."""
    address: str | None = None
    """Of a cluster; where it is left out, Ray starts on this machine."""
    shard_size: int = Field(64, ge=1)
    """Questions that a worker takes at once, and that a crash costs at most."""

    indifferent: ClassVar[frozenset[str]] = frozenset({"workers", "gpus_per_worker", "address"})

    @property
    def holder(self) -> EngineSettings:
        """The engine of its workers."""
        return self.of


ENGINES = (TransformersSettings, VllmSettings, ServerSettings, RaySettings)

Engine = Annotated[
    Annotated[TransformersSettings | VllmSettings | ServerSettings | RaySettings, Field(discriminator="name")],
    BeforeValidator(_named),
]


class AnsweringSection(ComputingSection):
    """Settings of something that an engine answers or scores."""

    engine: Engine = TransformersSettings()
    """`transformers`, `vllm`, `server` or `ray`; a profile's `engine` is that of every section that names none."""
    batch_size: int = Field(ge=1)
    """Sequences computed at once, by `transformers`."""


class LoraSettings(Section):
    """A low-rank adapter on the language model; a checkpoint keeps it in float32 beside the base it belongs to."""

    rank: int = Field(ge=1)
    alpha: int = Field(ge=1)
    target_modules: str = (
        r".*(language_model|text_model).*\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
    )
    """Regular expression over module names; the default keeps off the vision tower."""


class JudgeSettings(Section):
    """The model that is trained and judged."""

    model: str = "embedded:judge"
    """`embedded:judge`, a folder, or a hub name."""
    revision: str | None = None
    lora: LoraSettings | None = None
    freeze_vision: bool = False
    max_pixels: int | None = Field(None, ge=1)
    """Pixels an image is scaled down to, where the processor has such a limit."""
    trust_remote_code: bool = False

    def untrained(self) -> "JudgeSettings":
        """Return what matters before training, so that a changed adapter repeats no captions."""
        return self.model_copy(update={"lora": None, "freeze_vision": False})


class WorldSettings(Section):
    """The embedded world: which scenes, how many, and how good the captions are."""

    regime: Literal["plain", "thin-captions", "correlated-experts", "own-captions"] = "plain"
    """A named setting of the dials below and of the experts' (`harness/embedded/regimes.py`)."""
    seed: int = 0
    """Another seed is another world: other scenes, images, captions and teacher's slips."""
    pairs: int = Field(2400, ge=1)
    items: int = Field(1250, ge=1)
    split: Literal["test", "dev"] = "test"
    """Scenes that the benchmark is made of; settings are chosen on `dev`."""
    caption_noise: float = Field(0.05, ge=0, le=1)
    """Chance that a thing is left out of a caption or misdescribed."""
    captioned: float = Field(1.0, ge=0, le=1)
    """Share of the pairs that bring a caption."""
    caption_places: float = Field(1.0, ge=0, le=1)
    """Chance that a caption tells where a thing is."""
    caption_sizes: float = Field(1.0, ge=0, le=1)
    """Chance that it tells how large a thing is."""
    caption_counts: float = Field(1.0, ge=0, le=1)
    """Chance that it tells how many things there are."""
    reasoning_share: float | None = Field(None, ge=0, le=1)
    """Share of the benchmark that asks for counts and places, of which thin captions say nothing; None is
    VL-RewardBench's own, 318 of 1,250."""

    def of_pairs(self) -> "WorldSettings":
        """Return what matters to pairs alone, so that another benchmark or another name repeats none of them."""
        return self.model_copy(update={"regime": "plain", "items": 1, "split": "test", "reasoning_share": None})


class CaptionSettings(AnsweringSection):
    """How pairs without a caption get one."""

    missing: Literal["describe", "leave"] = "describe"
    """`describe`: the judge's base model captions the image. `leave`: the experts do not read the pair, which is then
    of low confidence."""
    prompt: str = "Describe the image in detail."
    max_new_tokens: int = Field(256, ge=1)
    batch_size: int = Field(16, ge=1)


class ExpertSettings(AnsweringSection):
    """The textual reward models that read the caption instead of the image."""

    models: list[str] = ["embedded:expert-0", "embedded:expert-1", "embedded:expert-2"]
    """Sequence-classification models with one label: embedded ones, folders, or hub names."""
    batch_size: int = Field(64, ge=1)
    max_length: int = Field(4096, ge=1)
    """Tokens an expert reads; of what is longer the end of the caption is cut, and the cuts are counted."""
    prompt: str = "{caption} {question}"
    """The words of the user's turn, around {caption} and {question}."""
    controls: int = Field(200, ge=0)
    """Pairs that the experts also score without a caption and with another image's; 0 for none."""
    subtract_blind: bool = False
    """Subtract from each score what the expert gives without a caption: what is left is what the caption says."""
    teacher_taste: float = Field(0.0, ge=0)
    """Embedded world only: a taste for long, sure answers, such as its teacher has, added to each score; 1 makes its
    margins as large as the expert's own."""

    @field_validator("prompt")
    @classmethod
    def _has_fields(cls, prompt: str) -> str:
        if missing := [name for name in ("{caption}", "{question}") if prompt.count(name) != 1]:
            raise ValueError(f"it must hold {missing[0]} once")
        return prompt


class ConfidenceSettings(Section):
    """Which pairs count as high-confidence."""

    rule: str = "unanimous"
    """`unanimous`, `majority` or `margin:T`."""


class OptimisingSection(ComputingSection):
    """Settings of a training: how its weights are moved. Each training gives the defaults that it has."""

    learning_rate: Annotated[float, Field(gt=0)]
    epochs: Annotated[float, Field(gt=0)]
    batch_size: Annotated[int, Field(ge=1)]
    micro_batch_size: Annotated[int, Field(ge=1)]
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the updates over which the learning rate rises."""
    weight_decay: float = Field(0.01, ge=0)
    adam_beta2: float = Field(0.98, gt=0, lt=1)
    max_tokens: int | None = Field(None, ge=1)
    """Rows whose prompt and any one answer are longer are left out, and counted."""
    gradient_checkpointing: bool = False
    save_steps: int = Field(100, ge=1)


class SftSettings(OptimisingSection):
    """Supervised fine-tuning of the judge."""

    learning_rate: Annotated[float, Field(gt=0)] = 8e-4
    epochs: Annotated[float, Field(gt=0)] = 1.5
    """Passes over the pairs in both orders: 1 shows each pair twice."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    micro_batch_size: Annotated[int, Field(ge=1)] = 32
    rationale: Literal["auto", "none", "response", "data", "model"] = "auto"
    """What the judge learns to say before its verdict: `none` nothing; `response` the preferred response, cut; `data`
    what the data say; `model` what the base judge says for the labelled answer; `auto` is `data` where the data say
    something, else `response`."""
    rationale_words: int = Field(40, ge=0)
    """Words kept of the preferred response where that is what the judge learns to say."""
    judge_every: int | None = Field(None, ge=1)
    """Updates between two judgings of held-out pairs, greedy and in both orders; None holds out nothing."""
    held_out: float = Field(0.02, gt=0, lt=1)
    """Share of the pairs that `judge_every` sets aside, by the hash of their ids; they are not trained on."""
    label_smoothing: float = Field(0.0, ge=0, le=0.5)
    """Probability that the verdict token gives to the other response; all other tokens are trained as they are."""
    updates: int | None = Field(None, ge=1)
    """Optimiser updates, instead of `epochs`."""
    tokens: int | None = Field(None, ge=1)
    """Tokens to train on, image and prompt included, padding not; instead of `epochs`, in whole updates."""
    match: str | None = None
    """A recipe, which is trained first; a recipe that trains by SFT alone then trains as long as it does in all."""
    match_by: Literal["updates", "tokens"] = "updates"
    """What is made equal: optimiser updates, or tokens without padding."""

    @field_validator("tokens")
    @classmethod
    def _one_length(cls, tokens: int | None, info: ValidationInfo) -> int | None:
        if tokens and info.data.get("updates"):
            raise ValueError("sft.updates says already how long to train")
        return tokens

    def like(self, other: "DpoSettings") -> "SftSettings":
        """Return these settings with the optimisation of another training in their place."""
        return self.model_copy(update={name: getattr(other, name) for name in OptimisingSection.model_fields})


class SamplingSettings(AnsweringSection):
    """Judgments sampled from the tuned judge on low-confidence pairs."""

    samples: int = Field(6, ge=2)
    """Judgments per order."""
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(48, ge=1)
    batch_size: int = Field(256, ge=1)
    share: float = Field(0.5, gt=0, le=1)
    """Share of the low-confidence pairs that are kept."""
    max_pairs: int | None = Field(900, ge=1)
    """Pairs that are kept at most."""
    choose: Literal["margin", "disagreement", "both"] = "margin"
    """Which are kept: those with the largest expert margin; those whose samples disagree most, for which all of the low
    side is sampled; or those that rank high in both."""
    attempts: int = Field(1, ge=1)
    """Times a presentation is sampled at most, until both verdicts have occurred."""
    hinted: int = Field(0, ge=0)
    """Further judgments per order for each answer, drawn with the hint that it is the better one; those that come to
    another verdict are dropped (as in Con-J, arXiv 2410.03742)."""
    of: Literal["tuned", "base", "both"] = "tuned"
    """Who is sampled: the judge after SFT, before it, or half of each."""


class ScoringSettings(Section):
    """The dimensions that sampled judgments are scored on, with their weights."""

    combine: Literal["mean", "log-odds"] = "mean"
    """How the dimensions become one score. `log-odds` adds them up as log-odds, so that each counts by how sure it is:
    what says 0.5 says nothing."""

    weights: dict[str, float] = {
        "valid_format": 1.0,
        "expert_verdict": 2.0,
        "self_consistency": 0.5,
        "order_consistency": 0.5,
        "caption_support": 1.0,
    }


class NegativeSettings(Section):
    """How chosen and rejected judgments are picked from the scored ones."""

    rule: str = "best-to-worse"
    """`best-to-worse`, `best-worst`, `adjacent` or `random`."""
    min_gap: float = Field(0.1, ge=0, le=1)
    """Least difference of score between chosen and rejected."""
    max_per_item: int = Field(4, ge=1)
    """Contrasts an item may give, over both orders."""


class DpoSettings(OptimisingSection):
    """Direct preference optimisation over pairs of judgments."""

    loss: Literal[
        "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "apo_zero",
        "apo_down", "discopop", "sigmoid_norm",
    ] = "sigmoid"  # fmt: skip
    """The preference loss, by TRL's name."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Chance that chosen and rejected are exchanged, as `robust` and `exo_pair` suppose it (above 0 for them)."""
    rounds: int = Field(1, ge=1)
    """Times that is sampled, scored and trained, each on the judge of the one before."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    epochs: Annotated[float, Field(gt=0)] = 1.0
    batch_size: Annotated[int, Field(ge=1)] = 16
    micro_batch_size: Annotated[int, Field(ge=1)] = 16
    warmup: float = Field(0.1, ge=0, lt=1)
    beta: float = Field(0.1, gt=0)
    sft_weight: float = Field(0.1, ge=0)
    """Weight of the chosen judgment's log-likelihood beside the preference loss."""
    weight_decay: float = Field(0.0, ge=0)

    def once(self) -> "DpoSettings":
        """Return the settings of one round, so that one round more repeats none."""
        return self.model_copy(update={"rounds": 1})


class RewardSettings(OptimisingSection):
    """A scalar reward head on the judge, trained on the labels by Bradley and Terry's model."""

    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    epochs: Annotated[float, Field(gt=0)] = 3.0
    """Passes over the pairs: 1 reads both responses of each pair once."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Pairs an update."""
    micro_batch_size: Annotated[int, Field(ge=1)] = 32
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Chance that a label is wrong, as the loss supposes it."""
    margin: float = Field(0.0, ge=0)
    """By how much the chosen response's reward is to exceed the other's, in the loss."""


class TrainingSettings(Section):
    """What `sft`, `dpo` and `reward` share: on how many processes they train, and with which kernels.

    Rows per update never depend on the number of processes. TRL packs no rows with images, so there is no setting
    for it.
    """

    indifferent: ClassVar[frozenset[str]] = frozenset({"address", "port", "report_to"})

    strategy: Literal["none", "ddp", "fsdp2", "zero3"] = "none"
    """`none` trains in this process. `ddp` copies the model to every GPU, `fsdp2` and `zero3` (DeepSpeed) shard it."""
    processes: int = Field(1, ge=1)
    """Processes on each machine, one a GPU."""
    machines: int = Field(1, ge=1)
    """Machines with a shared results folder; each but the first runs `python -m harness.training.join`."""
    address: str = "127.0.0.1"
    """Of the first machine, where the others find it."""
    port: int = Field(29500, ge=1, le=65535)
    """Likewise; of use with several machines only."""
    attention: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    """None leaves it to transformers; `flash_attention_2` needs a GPU and the package flash-attn."""
    liger: bool = False
    """Liger's fused kernels, where they know the model; needs a GPU and the package liger-kernel."""
    report_to: str = "none"
    """Where transformers' trainer reports to besides: `wandb`, `trackio`, `tensorboard`, ..."""

    @property
    def world(self) -> int:
        """Processes over all machines."""
        return self.processes * self.machines


class ContaminationSettings(Section):
    """What is done about training pairs that an asked benchmark holds too, by image and question."""

    pairs: Literal["drop", "report", "off"] = "drop"
    """`drop` leaves them out, `report` counts them and trains on them all the same, `off` does not look."""


class JudgingSettings(AnsweringSection):
    """How the benchmark is asked."""

    # beyond the limit an item has an error, and never another answer
    indifferent: ClassVar[frozenset[str]] = frozenset({"max_images"})
    batch_size: int = Field(128, ge=1)
    chunk_size: int = Field(256, ge=1)
    """Presentations answered between two writes to the disk."""
    max_new_tokens: int | None = Field(None, ge=1)
    """Length of an answer; None leaves it to the protocol (2,048)."""
    order_seed: int = 0
    max_images: int | None = Field(None, ge=1)
    """Images that one request may hold; an item with more is an error, and no image is ever left out. None: any."""


SERVER = "openai"
"""The model that is a server; it takes the place of lmms-eval's of that name."""


SECTIONS: dict[str, type[Section]] = {
    "judge": JudgeSettings,
    "world": WorldSettings,
    "captions": CaptionSettings,
    "experts": ExpertSettings,
    "confidence": ConfidenceSettings,
    "sft": SftSettings,
    "sampling": SamplingSettings,
    "scoring": ScoringSettings,
    "negatives": NegativeSettings,
    "dpo": DpoSettings,
    "reward": RewardSettings,
    "training": TrainingSettings,
    "contamination": ContaminationSettings,
    "judging": JudgingSettings,
}


class Ratings(Section):
    """Pairs out of several rated responses: of each question the best against the worst."""

    completions: str
    """The column with the responses: a list of records, or a record of lists."""
    response: str = "response"
    """Where in a completion its text is."""
    ratings: list[str] = Field(min_length=1)
    """Where in a completion its ratings are, one an aspect; they count as their mean."""
    least_gap: float = Field(0.0, ge=0)
    """Means no further apart than this give no pair."""


class Verdicts(Section):
    """Pairs out of a judge's conversations: its prompt holds the responses, its answer the verdict."""

    asked: str
    said: str
    """Where prompt and answer are."""
    prompt: str
    """A regular expression with the groups question, first and second."""
    verdict: str
    """A regular expression with the group better; its last match counts."""
    first: list[str]
    second: list[str]
    """What `better` is, in lower case, where the first or the second response won; a tie is anything else."""

    @field_validator("prompt", "verdict")
    @classmethod
    def _compiles(cls, pattern: str, info: ValidationInfo) -> str:
        wanted = ("question", "first", "second") if info.field_name == "prompt" else ("better",)
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        if missing := [name for name in wanted if name not in groups]:
            raise ValueError(f"it has no group {missing[0]}")
        return pattern


class PreferenceSource(Section):
    """A published source of preference pairs, as `preferences/<name>.yaml` describes it.

    A place is the name of a column, or a dotted path into it (`text.question`, `conversations.0.value`);
    text on the way is read as JSON.
    """

    summary: str
    hub: str
    """The data set's name on the hub."""
    revision: str | None = None
    """A commit, tag or branch; None takes the newest, and the record says which that was."""
    licence: str
    files: list[str] = Field(min_length=1)
    """Patterns of the files with the rows."""
    archives: list[str] = []
    """Zip files beside them with the images that the rows only name."""
    columns: dict[str, str | list[str]]
    """By field of a pair, its place; of several places the first that a row has."""
    leave_out: list[str] = []
    """Columns that mark a row as no pair, where they hold anything."""
    ratings: Ratings | None = None
    verdicts: Verdicts | None = None
    overlap: list[str] = []
    """Benchmarks that share questions with this source: what is trained on it must not be claimed there."""
    folder: str | None = None
    """A local copy, from `--preferences NAME=FOLDER`."""

    indifferent: ClassVar[frozenset[str]] = frozenset({"summary", "folder"})
