"""The folder of a sweep, `results/sweeps/<name>/`: which run each cell is, and what came of them.

| file | what |
| --- | --- |
| `runs.json` | by the command of a cell, its run's name: a finished sweep is shown where nothing can be trained |
| `logs/` | what each cell's process printed |
| `table.json` | the tables, as `harness/sheets/formats.py` describes them |
| `plot.svg` | the drawing; with several tasks `plot-<task>.svg` |
| `page.html` | drawings and tables on one page |
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from harness.errors import DataError
from harness.records import RunFolder
from harness.records.store import write_atomically
from harness.registry import results_root
from harness.sheets.formats import to_json
from harness.sheets.page import Head, to_html
from harness.sheets.sheet import Sheet
from harness.sweep.file import Cell
from harness.sweep.plot import STYLE, alone


class SweepFolder:
    """Reads and writes one sweep's folder."""

    def __init__(self, name: str) -> None:
        self.path = results_root() / "sweeps" / name

    def runs(self, cells: Sequence[Cell]) -> dict[str, RunFolder]:
        """Map the labels of cells to their runs, as far as they were begun; a cell that was changed since is another.

        Raises:
            DataError: if the memory of them is damaged.
        """
        known = self._known()
        names = {cell.label: known.get(shlex.join(cell.command)) for cell in cells}
        return {label: RunFolder(results_root() / "runs" / name) for label, name in names.items() if name}

    def remember(self, runs: Mapping[str, str], cells: Sequence[Cell]) -> None:
        """Note the name of each cell's run, by label."""
        self.path.mkdir(parents=True, exist_ok=True)
        known = self._known() | {shlex.join(cell.command): runs[cell.label] for cell in cells}
        write_atomically(self.path / "runs.json", json.dumps(known, indent=1))

    def write(self, sheets: Sequence[Sheet], drawings: Mapping[str, Markup]) -> list[Path]:
        """Write tables and drawings, as data, pictures and a page; return the files."""
        self.path.mkdir(parents=True, exist_ok=True)
        texts = {
            "table.json": to_json(sheets),
            **{f"{name}.svg": alone(drawing) for name, drawing in drawings.items()},
            "page.html": to_html(sheets, list(drawings.values()), STYLE, Head(f"Sweep {self.path.name}")),
        }
        for name, text in texts.items():
            write_atomically(self.path / name, text)
        return [self.path / name for name in texts]

    def log(self, run: RunFolder) -> Path:
        """Where what a cell's process prints is kept."""
        (self.path / "logs").mkdir(parents=True, exist_ok=True)
        return self.path / "logs" / f"{run.name}.txt"

    def _known(self) -> dict[str, str]:
        path = self.path / "runs.json"
        if not path.exists():
            return {}
        try:
            known: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
            return dict(known)
        except ValueError:
            raise DataError(f"{path} is damaged.", "Remove it; a sweep that is run again finds its runs.") from None
