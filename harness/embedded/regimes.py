"""Regimes of the embedded world: named settings of its dials, each another way in which CAREVL can win or lose.

They were fixed before any recipe was run on them, by what they are to stand for and not by who wins. Each gives
defaults, which a profile or `--set` may override; a run's record holds the dials themselves.

Dials: what captions hold (`world.caption_places`, `caption_sizes`, `caption_counts`, `caption_noise`, `captioned`), how
far the experts' mistakes go with the teacher's (`experts.teacher_taste`), how much of the benchmark lies where captions
are silent (`world.reasoning_share`), and how far the judge's samples spread (`sampling.temperature`).
"""

from collections.abc import MutableMapping
from typing import Any

REGIMES: dict[str, dict[str, dict[str, Any]]] = {
    # Captions say everything and are nearly always true; the experts err mostly by themselves.
    "plain": {},
    # Short captions, as people write them: things by colour and shape, no place, no count, half of the sizes.
    "thin-captions": {"world": {"caption_places": 0.0, "caption_sizes": 0.5, "caption_counts": 0.0}},
    # Reward models that learned from data such as the teacher's, and like what it likes, as much as what is true.
    "correlated-experts": {"experts": {"teacher_taste": 1.0}},
    # No pair brings a caption: the base judge describes each image, and errs where the judge itself errs.
    "own-captions": {"world": {"captioned": 0.0}},
}


def spread_regime(settings: MutableMapping[str, Any]) -> None:
    """Fill the sections of `settings` that name nothing else with the dials of `world.regime`."""
    regime = (settings.get("world") or {}).get("regime", "plain")
    for section, dials in REGIMES.get(regime, {}).items():
        settings[section] = dials | (settings.get(section) or {})
