"""What is asked for becomes a whole configuration: profile, what is given, `--set`, hashes of what is only named."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config import OURS, RunConfig, assign, parse_assignment, server_settings, spread_engine, validated
from harness.data.mapping import check_map
from harness.data.preferences import FIELDS, is_source
from harness.data.published import source_files
from harness.data.tables import data_fingerprint, fingerprint, path_fingerprint
from harness.embedded.regimes import spread_regime
from harness.engines.choosing import resolve_engines
from harness.errors import HarnessError, unknown
from harness.judge.checkpoints import folder_fingerprint, resolve, revised
from harness.judge.format import load_reward_format
from harness.judge.published import authors_words, refuse_unrunnable
from harness.precision import resolve_sections
from harness.protocols import find_protocol
from harness.published_judges import JUDGE, PublishedJudge
from harness.registry import Recipe, expand_tasks, find_tasks, load_judge, load_preferences, load_profile, load_task
from harness.settings import SECTIONS, SERVER
from harness.training.matching import matched, unmatched
from harness.training.stages import code_hash, versions


def resolve_config(
    given: dict[str, Any],
    assignments: Sequence[str],
    roots: Sequence[Path],
    recipe: Recipe | None,
    here: bool = True,
) -> RunConfig:
    """Fill a configuration from its profile, what is given, and `--set`, in that order.

    Args:
        given: settings from the command line or a record; None values are absent.
        assignments: `section.key=value` texts.
        roots: content folders.
        recipe: decides which sections are kept; None for a given model.
        here: whether it is to run on this machine, so that every engine must be there.

    Raises:
        HarnessError: naming the first unknown or impossible setting.
    """
    given = {key: value for key, value in given.items() if value is not None}
    if recipe is None:
        # a given model takes nothing from a profile unless one is named
        settings = load_profile(given["profile"], roots) if given.get("profile", AS_IS) != AS_IS else {}
        given.setdefault("profile", AS_IS)
    else:
        settings = load_profile(given.get("profile", "embedded"), roots)
    for about in ("description", "needs"):
        settings.pop(about, None)
    settings |= given
    judge = _name_judge(settings, roots)
    for text in assignments:
        assign(settings, *parse_assignment(text))
    spread_engine(settings)
    spread_regime(settings)
    settings["fingerprints"], settings["source"] = {}, None
    _expand(settings, recipe, judge, roots)
    if recipe:
        settings |= unmatched(settings, recipe)
        recipe = matched(recipe, validated(settings), roots)
    used = _sections(validated(settings), recipe)
    for name in SECTIONS:
        if name in used:
            settings[name] = settings.get(name) or {}
        else:
            settings.pop(name, None)
    if recipe and not recipe.seeded:
        settings["seeds"] = [0]
    if recipe is None or not recipe.trains:
        for name in ("preferences", "columns", "source"):
            settings.pop(name, None)
    elif is_source(settings.get("preferences")):
        settings["source"] = load_preferences(settings["preferences"], roots).model_dump()
    config = resolve_sections(validated(settings))
    config = resolve_engines(config) if here else config
    _refuse_code(config, assignments)
    _check_choices(config, recipe)
    return config.model_copy(update={"fingerprints": _fingerprints(config, recipe, roots)})


def _name_judge(settings: dict[str, Any], roots: Sequence[Path]) -> PublishedJudge | None:
    """Say what loads the published judge that `model` names, and how long it may answer, where nothing else is said.

    Raises:
        HarnessError: if there is none of that name, or it cannot be run.
    """
    settings["published"] = None
    if not str(settings.get("model")).startswith(JUDGE):
        return None
    name, _, folder = str(settings["model"]).partition("=")
    judge = load_judge(name.removeprefix(JUDGE), roots)
    refuse_unrunnable(name, judge)
    if "trust_remote_code" in (settings.get("model_args") or {}):
        # a configuration of somebody else's may say it
        raise HarnessError(f"{name} is loaded without code of its own.", "Drop trust_remote_code of --model-args.")
    loads = judge.model_copy(update={"hub": folder, "revision": None} if folder else {}).arguments
    settings |= {
        "model": name,
        "published": judge.model_dump(),
        "model_args": loads | (settings.get("model_args") or {}),
    }
    if judge.max_new_tokens:
        settings["judging"] = {"max_new_tokens": judge.max_new_tokens} | (settings.get("judging") or {})
    return judge


def _refuse_code(config: RunConfig, assignments: Sequence[str]) -> None:
    """Refuse a model's own code, but where it was asked for on the command line."""
    said = {key for key, value in map(parse_assignment, assignments) if value is True}
    for name in SECTIONS:
        section = getattr(config, name)
        if getattr(section, "trust_remote_code", False) and (path := f"{name}.trust_remote_code") not in said:
            raise HarnessError(
                f"{path} is true in a profile or a configuration: the model's own Python would be run.",
                f"If you have read it, say so: --set {path}=true.",
            )


def _expand(
    settings: dict[str, Any], recipe: Recipe | None, judge: PublishedJudge | None, roots: Sequence[Path]
) -> None:
    """Replace groups by their tasks, and say data, protocol and prompt of each task."""
    tasks = settings["tasks"] = expand_tasks(settings.get("tasks") or [], roots)
    contents = {name: load_task(name, roots) for name in tasks}
    scores = gives_rewards(recipe, judge, settings.get("model"), settings.get("model_args") or {})
    compares = recipe is not None or judge is not None or settings.get("model") == OURS
    defaults = {
        name: (scores and task.scoring) or (compares and task.comparing) or task.protocols[0]
        for name, task in contents.items()
    }
    settings["protocols"] = defaults | _per_task(settings.pop("protocols", None), "--protocol", tasks, roots)
    settings["data"] = dict.fromkeys(tasks, "embedded") | _per_task(settings.get("data"), "--data", tasks, roots)
    settings["prompts"] = _per_task(settings.get("prompts"), "--prompt-file", tasks, roots)
    for name, spec in settings["protocols"].items():
        protocol = find_protocol(spec, contents[name].kind)
        if protocol.name not in contents[name].protocols:
            raise unknown(f"protocol of {name}", spec, contents[name].protocols)


def gives_rewards(
    recipe: Recipe | None, judge: PublishedJudge | None, model: str | None, arguments: Mapping[str, Any]
) -> bool:
    """Tell whether what is judged ends in a reward head: what a recipe makes, a judge of others, or one of ours."""
    if recipe:
        return recipe.scores
    if judge:
        return judge.head is not None
    return model == OURS and load_reward_format(Path(str(arguments.get("pretrained", "")))) is not None


def _per_task(given: Any, option: str, tasks: list[str], roots: Sequence[Path]) -> dict[str, str]:
    """Read `VALUE`, for every task, or `TASK=VALUE,...`, where TASK may be a group.

    Raises:
        HarnessError: if a task is named that the run does not ask.
    """
    if not given:
        return {}
    if isinstance(given, str):
        parts = [part.partition("=") for part in given.split(",")]
        if not all(name in find_tasks(roots) and equals for name, equals, _ in parts):
            return dict.fromkeys(tasks, given)
        given = {name: value for name, _, value in parts}
    found = {task: str(value) for name, value in given.items() for task in expand_tasks([name], roots)}
    if stray := [name for name in found if name not in tasks]:
        raise HarnessError(f"{option} names {stray[0]}, which is not asked.", f"The tasks are {', '.join(tasks)}.")
    return found


AS_IS = "as-is"
"""The profile of a given model: none."""


def _sections(config: RunConfig, recipe: Recipe | None) -> set[str]:
    """Name the sections that bear on the outcome; the world does where it is asked or trained on."""
    used = set(recipe.sections) if recipe else {"judging"}
    used |= {"training", "contamination"} if recipe and recipe.trains else set()
    if "sft" in used and config.sft and config.sft.rationale == "model":
        # the base judge explains as it captions
        used |= {"captions"}
    trains_on_world = recipe is not None and recipe.trains and config.preferences == "embedded"
    return used | {"world"} if "embedded" in config.data.values() or trains_on_world else used - {"world"}


def _check_choices(config: RunConfig, recipe: Recipe | None) -> None:
    """Refuse at once what would else be found out hours later."""
    from harness.training.confidence import find_rule as find_agreement
    from harness.training.launch import check_launch
    from harness.training.negatives import find_rule as find_negatives
    from harness.training.scoring import find_dimensions
    from harness.training.updates import accumulation

    if config.model == SERVER:
        server_settings(config.model_args)
    if (
        gives_rewards(recipe, config.published, config.model, config.model_args)
        and config.judging.engine.name != "transformers"
    ):
        raise HarnessError(
            f"setting judging.engine = {config.judging.engine.name!r}: a reward head is read by transformers only.",
            "Set judging.engine=transformers.",
        )
    if config.published and config.published.head and config.prompts:
        raise HarnessError(f"--prompt-file: {config.model} is asked in no words.", "Drop it.")
    if config.published and not config.published.head:
        for task in config.tasks:
            authors_words(str(config.model), config.published, config.prompts.get(task))
    if len(set(config.seeds)) < len(config.seeds):
        raise HarnessError(f"seeds {config.seeds} name one twice.", "Each seed is one training.")
    if config.confidence:
        find_agreement(config.confidence.rule)
    if config.negatives:
        find_negatives(config.negatives.rule)
    if config.scoring:
        find_dimensions(config.scoring.weights)
        if config.scoring.weights.get("truth"):
            fix = "Recipe headroom scores by it, and competes with nothing."
            raise HarnessError("scoring.weights.truth: no recipe that competes may know the truth.", fix)
    if config.experts and config.experts.teacher_taste and config.preferences != "embedded":
        fix = "Leave it 0; it is a dial of the embedded world."
        raise HarnessError(f"experts.teacher_taste = {config.experts.teacher_taste} on other pairs.", fix)
    if config.training:
        if config.reward and config.training.liger:
            raise HarnessError("training.liger=true: Liger's kernels know no reward head.", "Drop it.")
        check_launch(config.training)
        for name, section in (("sft", config.sft), ("dpo", config.dpo), ("reward", config.reward)):
            if section:
                accumulation(name, section, config.training.world)
    if config.columns:
        check_map(config.columns, FIELDS)
        if config.source or config.preferences == "embedded":
            fix = "Drop --map; it is for a file, or a data set of the hub's."
            raise HarnessError(f"--preferences {config.preferences} brings its own columns.", fix)
    if config.source and config.source.folder:
        source_files(config.source, Path(config.source.folder))
    if recipe and recipe.embedded_only and config.preferences != "embedded":
        raise HarnessError(f"recipe {recipe.name} knows the truth of the embedded world only.", "Drop --preferences.")


def _fingerprints(config: RunConfig, recipe: Recipe | None, roots: Sequence[Path]) -> dict[str, str]:
    """Hash what the settings only name: files, models, code, and the libraries that compute."""
    tasks = [load_task(name, roots) for name in config.tasks]
    named = {f"data of {task}": name for task, name in config.data.items()}
    named |= {} if config.source else {"preferences": config.preferences}
    found = {key: path_fingerprint(Path(name))[:16] for key, name in named.items() if _is_file(name)}
    if config.source and config.source.folder:
        files = source_files(config.source, Path(config.source.folder))
        found["preferences"] = hashlib.sha256("".join(map(data_fingerprint, files)).encode()).hexdigest()[:16]
    found |= {f"prompt of {task}": fingerprint(Path(path))[:16] for task, path in config.prompts.items()}
    if config.judge:
        found["judge"] = resolve(config.judge.model, config.judge.revision).fingerprint
    if config.experts:
        found |= {f"expert {i}": resolve(*revised(name)).fingerprint for i, name in enumerate(config.experts.models)}
    for key, value in config.model_args.items():
        if Path(str(value)).is_dir():
            found[f"model {key}"] = folder_fingerprint(Path(str(value)))
    asking = Path(__file__).parent / "evaluate"
    code = [asking / "tasks.py", asking / "contamination.py", *(task.hooks for task in tasks)]
    code += recipe.files if recipe else ()
    words = sorted(path for task in tasks for path in task.path.parent.glob("*.txt"))
    pieces = [
        code_hash(*code),
        *(fingerprint(path) for path in (*(t.path for t in tasks), *words)),
        json.dumps(versions()),
    ]
    found["code"] = hashlib.sha256("".join(pieces).encode()).hexdigest()[:16]
    return found


def _is_file(source: str | None) -> bool:
    return source is not None and source not in ("embedded", "hub") and not source.startswith("hub:")
