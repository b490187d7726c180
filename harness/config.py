"""One model that is the command line, the YAML file and the saved record of a run; the ways to write and read it."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field, ValidationError

from harness.bounded_yaml import parse
from harness.errors import HarnessError, unknown
from harness.published_judges import PublishedJudge
from harness.settings import (
    ENGINES,
    SECTIONS,
    AnsweringSection,
    CaptionSettings,
    ConfidenceSettings,
    ContaminationSettings,
    DpoSettings,
    Engine,
    ExpertSettings,
    JudgeSettings,
    JudgingSettings,
    NegativeSettings,
    PreferenceSource,
    RewardSettings,
    SamplingSettings,
    ScoringSettings,
    Section,
    ServerSettings,
    SftSettings,
    TrainingSettings,
    WorldSettings,
)
from harness.texts import shortened

OURS = "harness_judge"
"""The name of our own judge class among lmms-eval's models."""


class RunConfig(Section):
    """Everything that decides the outcome of a run.

    A profile fills the sections; the command line overrides them. Sections that a recipe does not
    use are left out of its record, so that they cannot make two equal runs look different.
    """

    recipe: str | None = None
    model: str | None = None
    """A server (`openai`), a published judge (`judge:NAME`) or an lmms-eval model to judge as it is, and no recipe."""
    model_args: dict[str, Any] = Field(default_factory=dict)
    tasks: list[str] = Field(min_length=1)
    profile: str = "embedded"
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field([0], min_length=1, max_length=100)
    limit: int | None = Field(None, ge=1)
    protocols: dict[str, str] = Field(default_factory=dict)
    """By task, how it is asked, read and counted."""
    data: dict[str, str] = Field(default_factory=dict)
    """By task, its data: `embedded`, a parquet or JSONL file, a folder, `hub` or `hub:NAME@REVISION`."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """By task, the file of a prompt in place of the task's own; only where one is given."""
    preferences: str = "embedded"
    """Training pairs: `embedded`, a file, `hub:NAME@REVISION`, or a source by name (`harness ls preferences`)."""
    columns: dict[str, str] | None = None
    """By field of a preference pair, the column of `preferences` that holds it (`--map`)."""
    source: PreferenceSource | None = None
    """What `preferences` names, where it names a source."""
    published: PublishedJudge | None = None
    """What `model` names, where it names a published judge."""
    fingerprints: dict[str, str] = Field(default_factory=dict)
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
    reward: RewardSettings | None = None
    training: TrainingSettings | None = None
    contamination: ContaminationSettings | None = None
    judging: JudgingSettings = JudgingSettings()

    @property
    def loads(self) -> bool:
        """Whether the harness loads what is judged, and not lmms-eval or a server."""
        return self.model in (None, OURS) or self.published is not None

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
        what = re.sub("[/:]", "_", self.recipe or self.model or "")
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


_SECRET = re.compile(r"(?:key|token|secret|password|passwd|passphrase|auth|authorization|bearer|credentials?|cookie)$")


def is_secret(name: str) -> bool:
    """Tell whether a setting's name says that its value is a secret, such as `api-key`."""
    return _SECRET.search(re.sub(r"[-_.]", "", name.lower())) is not None


def redacted(value: Any) -> Any:
    """Replace the value of every key that names a secret, who logs in at an address, and what its query says."""
    if isinstance(value, Mapping):
        return {
            # a number is a weight or a count
            key: "[redacted]" if isinstance(item, str) and is_secret(str(key)) else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return without_secrets(value) if isinstance(value, str) else value


def without_secrets(text: str) -> str:
    """Replace who logs in at an address, and the values of its query, wherever an address stands in a text."""
    text = re.sub(r"(?<=://)[^/@\s]+@", "[redacted]@", text)
    return re.sub(r"://[^\s?]*\?[^\s]*", lambda url: re.sub(r"(?<==)[^&\s]+", "[redacted]", url[0]), text)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse `section.key=value`; the value is YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise HarnessError(f"--set {text!r} is not understood.", "Write --set section.key=value.")
    try:
        return key.strip(), parse(value)
    except ValueError:
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
        given = shortened(first["input"], 200)
        raise HarnessError(f"setting {path} = {given}: {first['msg']}.", "Mend the value.") from None


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
