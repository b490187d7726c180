"""Which engine each section of a run uses: checked, and its version found, before anything is computed."""

import importlib.metadata

from harness.config import RunConfig
from harness.engines.vllm_servers import interpreter, vllm_version
from harness.errors import HarnessError
from harness.extras import require
from harness.settings import SERVER, AnsweringSection, Engine, RaySettings, ServerSettings, VllmSettings


def resolve_engines(config: RunConfig) -> RunConfig:
    """Return the configuration with the version of every engine that has one of its own.

    Raises:
        HarnessError: if an engine is not there, or cannot do what its section asks.
    """
    changed: dict[str, AnsweringSection] = {}
    for name in type(config).model_fields:
        section = getattr(config, name)
        if isinstance(section, AnsweringSection):
            _check(config, name, section.engine)
            changed[name] = section.model_copy(update={"engine": _versioned(section.engine)})
    return config.model_copy(update=changed)


def _check(config: RunConfig, name: str, engine: Engine) -> None:
    inner = engine.holder
    setting = f"setting {name}.engine = {engine.name!r}"
    if name == "judging" and not config.loads and engine.name != "transformers":
        other = " A server is asked with --model-args." if config.model == SERVER else ""
        raise HarnessError(f"{setting}: --model {config.model} answers by itself.{other}", "Drop the setting.")
    if not isinstance(inner, ServerSettings):
        return
    require(setting, "server")
    if name in ("sampling", "judging"):
        raise HarnessError(
            f"{setting}: a server answers with a model of its own, not with the judge that was trained.",
            f"Set {name}.engine to vllm, which is started with it, or judge the server with --model {SERVER}.",
        )
    if name == "captions" and inner.model is None:
        raise HarnessError(f"{setting} names no model.", f"Set {name}.engine.model to the server's name for it.")


def _versioned(engine: Engine) -> Engine:
    if isinstance(engine, VllmSettings):
        require("engine vllm", "server")
        return engine.model_copy(update={"version": vllm_version(interpreter(engine))})
    if isinstance(engine, RaySettings):
        require("engine ray", "ray")
        of = _versioned(engine.of)
        return engine.model_copy(update={"version": importlib.metadata.version("ray"), "of": of})
    return engine
