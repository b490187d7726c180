"""Sends an exported judge to the hub, once somebody has agreed to the list of files."""

import re
from pathlib import Path
from typing import NamedTuple, cast

from harness.errors import HarnessError
from harness.texts import harmless

AGAIN = "The folder is whole: send it later by the same command."


class Upload(NamedTuple):
    """A file that would be sent."""

    name: str
    size: int
    """Bytes."""


def uploads(folder: Path) -> list[Upload]:
    """List what would be sent, by name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(Upload(str(path.relative_to(folder)), path.stat().st_size) for path in files)


def refuse_offline(repo: str) -> None:
    """Refuse a name that the hub would not take, and a machine that is told to be offline.

    Raises:
        HarnessError: in one line.
    """
    from huggingface_hub.constants import is_offline_mode

    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repo, re.ASCII):
        raise HarnessError(f"--push-to-hub {repo!r} is no name on the hub.", "Write OWNER/NAME.")
    if is_offline_mode():
        raise HarnessError("--push-to-hub: this machine is told to be offline (HF_HUB_OFFLINE).", "Unset it.")


def push(folder: Path, repo: str, public: bool) -> str:
    """Have the hub check the card, make the repository, and send every file as one commit.

    Args:
        folder: what is sent.
        repo: OWNER/NAME; one that is there already keeps what it has besides.
        public: whether anybody may see it.

    Returns:
        Its address.

    Raises:
        HarnessError: if there is no network or no right to it, the hub does not take the card, or the repository is
            public and that was not said.
    """
    from huggingface_hub import HfApi, ModelCard
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    # the error of whichever client the hub's library has, from which its own is made
    transport = cast(type[Exception], HfHubHTTPError.__mro__[1])
    api = HfApi()
    try:
        try:
            standing = api.model_info(repo)
        except RepositoryNotFoundError:
            standing = None
        if standing and not standing.private and not public:
            raise HarnessError(f"{repo} is there already, for everybody to see.", "Add --public, or name another.")
        ModelCard.load(folder / "README.md").validate()
        url = api.create_repo(repo, private=not public, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Exported by vlrm-harness")
    except HarnessError:
        raise
    except ValueError as error:
        raise HarnessError(f"the hub does not take the card: {_said(error)}.", "Report it, with the card.") from error
    except (OSError, transport) as error:
        raise HarnessError(
            f"{repo} could not be sent: {_said(error)}.", f"{AGAIN} `hf auth login` signs in."
        ) from error
    return str(url)


def _said(error: BaseException) -> str:
    return harmless(str(error)[:1000])[:200].rstrip(".")
