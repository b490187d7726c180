"""One model that is the command line, the YAML file and the saved record of a run."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from harness.errors import HarnessError, unknown


class Section(BaseModel):
    """A group of settings; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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

    indifferent: ClassVar[frozenset[str]] = frozenset({"api_key", "concurrency", "max_retries", "backoff", "timeout"})


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

    seed: int = 0
    """Another seed is another world: other scenes, images, captions and teacher's slips."""
    pairs: int = Field(2400, ge=1)
    items: int = Field(1250, ge=1)
    split: Literal["test", "dev"] = "test"
    """Scenes that the benchmark is made of; settings are chosen on `dev`."""
    caption_noise: float = Field(0.05, ge=0, le=1)
    """Chance that a thing is left out of a caption or misdescribed."""


class CaptionSettings(AnsweringSection):
    """How pairs without a caption get one."""

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


class SftSettings(ComputingSection):
    """Supervised fine-tuning of the judge."""

    learning_rate: float = Field(8e-4, gt=0)
    epochs: float = Field(1.5, gt=0)
    """Passes over the pairs in both orders: 1 shows each pair twice."""
    batch_size: int = Field(32, ge=1)
    micro_batch_size: int = Field(32, ge=1)
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the updates over which the learning rate rises."""
    weight_decay: float = Field(0.01, ge=0)
    adam_beta2: float = Field(0.98, gt=0, lt=1)
    rationale_words: int = Field(40, ge=0)
    """Words kept of the preferred response where the data bring no rationale."""
    max_tokens: int | None = Field(None, ge=1)
    """Rows whose prompt and answer are longer are left out, and counted."""
    gradient_checkpointing: bool = False
    save_steps: int = Field(100, ge=1)
    judge_every: int | None = Field(None, ge=1)
    """Updates between two judgings of held-out pairs, greedy and in both orders; None holds out nothing."""
    held_out: float = Field(0.02, gt=0, lt=1)
    """Share of the pairs that `judge_every` sets aside, by the hash of their ids; they are not trained on."""


class SamplingSettings(AnsweringSection):
    """Judgments sampled from the tuned judge on low-confidence pairs."""

    samples: int = Field(6, ge=2)
    """Judgments per order."""
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(48, ge=1)
    batch_size: int = Field(256, ge=1)
    share: float = Field(0.5, gt=0, le=1)
    """Share of the low-confidence pairs that are sampled: those with the largest expert margin."""
    max_pairs: int | None = Field(900, ge=1)


class ScoringSettings(Section):
    """The dimensions that sampled judgments are scored on, with their weights."""

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


class DpoSettings(ComputingSection):
    """Direct preference optimisation over pairs of judgments."""

    learning_rate: float = Field(1e-4, gt=0)
    epochs: float = Field(1.0, gt=0)
    batch_size: int = Field(16, ge=1)
    micro_batch_size: int = Field(16, ge=1)
    warmup: float = Field(0.1, ge=0, lt=1)
    beta: float = Field(0.1, gt=0)
    sft_weight: float = Field(0.1, ge=0)
    """Weight of the chosen judgment's log-likelihood beside the preference loss."""
    weight_decay: float = Field(0.0, ge=0)
    adam_beta2: float = Field(0.98, gt=0, lt=1)
    max_tokens: int | None = Field(None, ge=1)
    gradient_checkpointing: bool = False
    save_steps: int = Field(100, ge=1)


class TrainingSettings(Section):
    """What `sft` and `dpo` share: on how many processes they train, and with which kernels.

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


class JudgingSettings(AnsweringSection):
    """How the benchmark is asked."""

    batch_size: int = Field(128, ge=1)
    chunk_size: int = Field(256, ge=1)
    """Presentations answered between two writes to the disk."""
    max_new_tokens: int | None = Field(None, ge=1)
    """Length of an answer; None leaves it to the protocol (2,048)."""
    order_seed: int = 0


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
    "training": TrainingSettings,
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


class RunConfig(Section):
    """Everything that decides the outcome of a run.

    A profile fills the sections; the command line overrides them. Sections that a recipe does not
    use are left out of its record, so that they cannot make two equal runs look different.
    """

    recipe: str | None = None
    model: str | None = None
    """A server (`openai`) or an lmms-eval model to judge as it is, instead of a recipe."""
    model_args: dict[str, Any] = {}
    tasks: list[str] = Field(min_length=1)
    profile: str = "embedded"
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field([0], min_length=1)
    limit: int | None = Field(None, ge=1)
    protocols: dict[str, str] = {}
    """By task, how it is asked, read and counted."""
    data: dict[str, str] = {}
    """By task, its data: `embedded`, a parquet or JSONL file, a folder, `hub` or `hub:NAME@REVISION`."""
    prompts: dict[str, str] = {}
    """By task, the file of a prompt in place of the task's own; only where one is given."""
    preferences: str = "embedded"
    """Training pairs: `embedded`, a file, `hub:NAME@REVISION`, or a source by name (`harness ls preferences`)."""
    columns: dict[str, str] | None = None
    """By field of a preference pair, the column of `preferences` that holds it (`--map`)."""
    source: PreferenceSource | None = None
    """What `preferences` names, where it names a source."""
    fingerprints: dict[str, str] = {}
    """Hashes of what is only named: files, models, code. A change of any is another configuration."""
    judge: JudgeSettings | None = None
    world: WorldSettings | None = None
    captions: CaptionSettings | None = None
    experts: ExpertSettings | None = None
    confidence: ConfidenceSettings | None = None
    sft: SftSettings | None = None
    sampling: SamplingSettings | None = None
    scoring: ScoringSettings | None = None
    negatives: NegativeSettings | None = None
    dpo: DpoSettings | None = None
    training: TrainingSettings | None = None
    judging: JudgingSettings = JudgingSettings()

    def record(self) -> dict[str, Any]:
        """Return the configuration as plain data, without what is absent and without secrets."""
        record: dict[str, Any] = redacted(self.model_dump(mode="json", exclude_none=True))
        return record

    def indifferent_paths(self) -> set[str]:
        """Return the dotted names of settings that change no result; a resumed run may have others."""
        return set(_indifferent(self))

    def decisive_args(self) -> dict[str, Any]:
        """Return the model's arguments that bear on its answers, without secrets."""
        return {k: value for k, value in redacted(self.model_args).items() if k not in ServerSettings.indifferent}

    def run_name(self) -> str:
        """Name the run `<recipe>-<profile>-<task>-<short hash of the configuration>`."""
        what = (self.recipe or self.model or "").replace("/", "_")
        profile = re.sub(r"\.ya?ml$", "", Path(self.profile).name)
        decisive = redacted(self.decisive()) | {"model_args": self.decisive_args()}
        decisive = {key: value for key, value in decisive.items() if value is not None}
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:8]
        tasks = "+".join(self.tasks) if len(self.tasks) < 3 else f"{self.tasks[0]}+{len(self.tasks) - 1}"
        return "-".join([what, profile, tasks, digest])


def server_settings(arguments: Mapping[str, Any]) -> ServerSettings:
    """Check the arguments of `--model openai`; a wrong one is one line that names it."""
    try:
        settings = ServerSettings.model_validate(dict(arguments))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise unknown("argument of --model openai", name, set(ServerSettings.model_fields) - {"name"}) from None
        usage = "Write --model-args base_url=http://HOST:PORT/v1,model=NAME."
        if first["type"] == "missing":
            raise HarnessError(f"--model openai needs {name}.", usage) from None
        given = redacted({name: first["input"]})[name]
        raise HarnessError(f"argument {name} = {given!r}: {first['msg']}.", usage) from None
    if settings.model is None:
        raise HarnessError("--model openai needs model.", "Write --model-args base_url=http://HOST:PORT/v1,model=NAME.")
    return settings


_SECRET_ENDS = ("api_key", "token", "secret", "password")


def redacted(value: Any) -> Any:
    """Replace the value of every key that names a secret, and who logs in at an address."""
    if isinstance(value, Mapping):
        return {
            key: "[redacted]" if str(key).lower().endswith(_SECRET_ENDS) else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"://[^/@\s]+@", "://[redacted]@", value)
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping, safely."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HarnessError(f"{path} does not exist.", "Check the path.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise HarnessError(f"{path} is not valid YAML: {reason}.", "Mend the file.") from None
    if not isinstance(content, dict):
        raise HarnessError(f"{path} holds no mapping of settings.", "Start from a profile in recipes/profiles.")
    return content


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse `section.key=value`; the value is YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise HarnessError(f"--set {text!r} is not understood.", "Write --set section.key=value.")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise HarnessError(f"--set {text!r}: the value is not valid YAML.", "Quote it.") from None


def assign(settings: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, refusing one that no section knows."""
    section, _, field = key.partition(".")
    if section == "engine":
        _assign_engine(settings, key, value)
        return
    if section not in SECTIONS or not field:
        flat = [f"{name}.{f}" for name, kind in SECTIONS.items() for f in kind.model_fields]
        raise unknown("setting", key, ["engine", *flat])
    if field.startswith("engine.") and issubclass(SECTIONS[section], AnsweringSection):
        settings[section] = settings.get(section) or {}
        _assign_engine(settings[section], field, value)
        return
    known = list(_paths(SECTIONS[section]))
    head = field.split(".")[0]
    if field not in known and not (head in known and _is_mapping(SECTIONS[section], head)):
        raise unknown("setting", key, [f"{section}.{f}" for f in known])
    target = settings[section] = settings.get(section) or {}
    *parents, last = field.split(".")
    for parent in parents:
        if target.get(parent) is None:
            default = getattr(SECTIONS[section](), parent, None)
            target[parent] = dict(default) if isinstance(default, Mapping) else {}
        target = target[parent]
    target[last] = value


def _is_mapping(section: type[Section], field: str) -> bool:
    return isinstance(section.model_fields[field].default, Mapping)


class _AnyEngine(Section):
    """What `engine` may hold, in a profile or in a section."""

    engine: Engine


def _assign_engine(target: dict[str, Any], key: str, value: Any) -> None:
    """Set `engine` or a key of it; a name alone stands for an engine with its defaults."""
    known = set(_paths(_AnyEngine))
    parts = key.split(".")
    if key not in known and not (parts[-2:-1] == ["options"] and ".".join(parts[:-1]) in known):
        raise unknown("setting", key, known)
    for part in parts[:-1]:
        inner = target.get(part) or {}
        target[part] = {"name": inner} if isinstance(inner, str) else inner
        target = target[part]
    target[parts[-1]] = value


def spread_engine(settings: dict[str, Any]) -> None:
    """Give the profile's `engine` to every section that answers or scores and names no other one."""
    if not (common := settings.pop("engine", None)):
        return
    common = {"name": common} if isinstance(common, str) else common
    if not isinstance(common, Mapping):
        raise HarnessError(f"setting engine = {common!r} is no engine.", "Write engine: vllm, or {name: vllm, ...}.")
    for name, kind in SECTIONS.items():
        if not issubclass(kind, AnsweringSection):
            continue
        section = settings[name] = dict(settings.get(name) or {})
        own = section.get("engine") or {}
        own = {"name": own} if isinstance(own, str) else dict(own)
        named = own.get("name", common.get("name"))
        section["engine"] = own if named != common.get("name") else {**common, **own}


def _indifferent(section: Section) -> Iterator[str]:
    yield from section.indifferent
    for name in type(section).model_fields:
        if isinstance(inner := getattr(section, name), Section):
            yield from (f"{name}.{path}" for path in _indifferent(inner))


def _paths(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from (f"{name}.{inner}" for inner in _paths(kind))


def validated(settings: dict[str, Any]) -> RunConfig:
    """Build the configuration; a wrong value is one line that names it."""
    try:
        return RunConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        kinds = {str(kind.model_fields["name"].default): kind for kind in ENGINES}
        if first["type"] == "union_tag_invalid":
            raise unknown("engine", str(first["ctx"]["tag"]), kinds) from None
        if first["type"] == "extra_forbidden" and len(first["loc"]) > 2 and first["loc"][-2] in kinds:
            owner = f"setting of engine {first['loc'][-2]}"
            raise unknown(owner, str(first["loc"][-1]), kinds[str(first["loc"][-2])].model_fields) from None
        if first["type"] == "extra_forbidden":
            kind = SECTIONS.get(str(first["loc"][0]), RunConfig)
            names = kind.model_fields if len(first["loc"]) > 1 else RunConfig.model_fields
            prefix = f"{first['loc'][0]}." if len(first["loc"]) > 1 else ""
            raise unknown("setting", path, [prefix + n for n in names]) from None
        raise HarnessError(f"setting {path} = {first['input']!r}: {first['msg']}.", "Mend the value.") from None


def differing(*records: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Map the dotted keys whose values differ between records to the value of each; None where it has none."""
    found: dict[str, tuple[Any, ...]] = {}
    for key in sorted({key for record in records for key in record}):
        values = tuple(record.get(key) for record in records)
        inner = [value for value in values if isinstance(value, Mapping)]
        if len(inner) == len(values):
            found |= {f"{key}.{name}": theirs for name, theirs in differing(*inner).items()}
        elif any(value != values[0] for value in values):
            found[key] = values
    return found
