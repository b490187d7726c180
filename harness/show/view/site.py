"""What is served: the leaderboard of all runs, and a report of one of them, or of two."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from harness.counting.cache import Cache, Counted
from harness.errors import HarnessError, NotApplicableError, unknown
from harness.records import RunFolder
from harness.sheets.page import Head, page_policy, to_html
from harness.sheets.sheet import Sheet
from harness.show.leaderboard import leaderboard
from harness.show.report.gather import gather
from harness.show.report.page import policy, render

KEPT = 16
"""Reports that are kept; each may have some megabytes."""


class Page(NamedTuple):
    """A page as it is sent."""

    body: bytes
    policy: str
    status: int = 200

    @property
    def tag(self) -> str:
        """Names the content, so that a browser that has it is not sent it again."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


class Site:
    """Makes the pages, each once for the same content."""

    def __init__(self, list_folders: Callable[[], Sequence[Path]], cache: Cache, roots: Sequence[Path]) -> None:
        """Serve some runs.

        Args:
            list_folders: lists the runs' folders; asked again for each leaderboard, so that new runs appear.
            cache: counts runs and remembers.
            roots: content folders, in which tasks are looked up.
        """
        self.list_folders, self.cache, self.roots = list_folders, cache, roots
        self.lock = Lock()
        self.runs: dict[str, RunFolder] = {}
        """By the name in addresses."""
        self.counted: dict[tuple[Path, str], tuple[object, Counted]] = {}
        """Runs as they were last counted, with the times and sizes of their files then."""
        self.pages: dict[tuple[str, ...], Page] = {}

    def page(self, address: str) -> Page:
        """Make the page of an address; what cannot be shown is a page that says why."""
        try:
            parts = urlsplit(address)
        except ValueError:
            return _refusal(400, "That is no address.", "Load the first page again.")
        # one page is made at a time: they share what was counted
        with self.lock:
            try:
                if parts.path == "/":
                    return self.board()
                if parts.path == "/report":
                    asked = _asked(parts.query)
                    return self.report(*(asked.get(name, [""])[0] for name in ("base", "cand", "task")))
            except HarnessError as error:
                return _refusal(400, error.problem, error.fix)
            except OSError as error:
                return _refusal(400, f"A run cannot be read: {error}.", "Load the first page again.")
        return _refusal(404, "There is no such page.", "")

    def board(self) -> Page:
        """Make the leaderboard of all runs; each that cannot be counted is one line below it."""
        self.runs = named(self.list_folders())
        found, left_out = dict[str, list[Counted]](), list[str]()
        for folder in self.runs.values():
            try:
                run = folder.read_run()
                for task in [record.task for record in run.tasks]:
                    try:
                        found.setdefault(task, []).append(self._count(folder, task))
                    except NotApplicableError as error:
                        left_out.append(error.problem)
                if run.status != "complete":
                    left_out.append(f"run {folder.name} is {run.status}.")
            except (HarnessError, OSError) as error:
                left_out.append(error.problem if isinstance(error, HarnessError) else f"run {folder.name}: {error}.")
        counted = [one for runs in found.values() for one in runs]
        key = ("board", *(f"{one.key} {one.result.folder.path}" for one in counted), *left_out)
        if key not in self.pages:
            sheets = leaderboard({task: runs for task, runs in found.items() if runs}, self.cache, self._address)
            if left_out:
                sheets.append(Sheet("Not shown", (), (), tuple(left_out)))
            synthetic = any(one.result.task.synthetic for one in counted)
            lead = (
                f"{len(counted)} finished runs. A row leads to its report; choose two to compare them."
                if counted
                else "There is no finished run here yet. `harness run --recipe carevl --tasks vlrewardbench` makes two."
            )
            head = Head("Runs", (lead,), synthetic, choosing=True)
            self._keep(key, Page(to_html(sheets, head=head).encode("utf-8", "backslashreplace"), page_policy(head)))
        return self.pages[key]

    def report(self, base: str, cand: str, task: str) -> Page:
        """Make the report of a run, or of a run against its baseline, by their names in addresses."""
        if not self.runs:
            self.runs = named(self.list_folders())
        for name in filter(None, (base, cand)):
            if name not in self.runs:
                raise unknown("run", name, self.runs)
        if not cand:
            raise HarnessError("No run is named.", "Choose one on the first page.")
        folders = [self.runs[name] for name in (cand, base) if name]
        task = task or next((record.task for record in folders[0].read_run().tasks), "")
        key = ("report", *(f"{self._count(folder, task).key} {folder.path}" for folder in folders), task)
        if key not in self.pages:
            page = gather(folders[0], folders[1] if base else None, task, self.roots, home="/")
            self._keep(key, Page(render(page).encode("utf-8", "backslashreplace"), policy()))
        return self.pages[key]

    def _count(self, folder: RunFolder, task: str) -> Counted:
        """Count a run, unless its files are those that were counted before."""
        paths = sorted(folder.path.iterdir())
        state = [(path.name, about.st_mtime_ns, about.st_size) for path in paths for about in [path.stat()]]
        known = self.counted.get((folder.path, task))
        if known is None or known[0] != state:
            known = (state, self.cache.count(folder, folder.read_run(), task))
            self.counted[folder.path, task] = known
        return known[1]

    def _address(self, counted: Counted) -> str:
        name = next(name for name, folder in self.runs.items() if folder.path == counted.result.folder.path)
        return "report?" + urlencode({"cand": name, "task": counted.result.task.task})

    def _keep(self, key: tuple[str, ...], page: Page) -> None:
        self.pages[key] = page
        while len(self.pages) > KEPT:
            del self.pages[next(iter(self.pages))]


def _asked(query: str) -> dict[str, list[str]]:
    try:
        return parse_qs(query, max_num_fields=8)
    except ValueError:
        raise HarnessError("The address asks for too much.", "Choose a run on the first page.") from None


def named(folders: Sequence[Path]) -> dict[str, RunFolder]:
    """Name runs by their folders; of several alike, the later ones by their paths."""
    runs: dict[str, RunFolder] = {}
    for path in folders:
        runs[str(path) if path.name in runs else path.name] = RunFolder(path)
    return runs


def _refusal(status: int, problem: str, fix: str) -> Page:
    head = Head(problem, (fix,) if fix else (), home="/")
    return Page(to_html([], head=head).encode("utf-8", "backslashreplace"), page_policy(head), status)
