"""How items are shown: in which orders, and how often."""

import random
from collections.abc import Sequence
from itertools import combinations

from harness.records import Item, Presentation

Shown = list[Presentation]


def both_orders(items: Sequence[Item], seed: int, repeats: int) -> Shown:
    """Show each pair once in each order, side by side so that a batch holds both."""
    return [Presentation(i.item_id, order, r) for i in items for r in range(repeats) for order in ((0, 1), (1, 0))]


def drawn_orders(items: Sequence[Item], seed: int, repeats: int) -> Shown:
    """Draw the order of every repeat, from one generator an item.

    So neither `--limit` nor the order of the file changes any item's orders.
    """
    draws = ((item, random.Random(f"order {seed} {item.item_id}")) for item in items)
    return [
        Presentation(i.item_id, (1, 0) if d.random() < 0.5 else (0, 1), r) for i, d in draws for r in range(repeats)
    ]


def parity_order(items: Sequence[Item], seed: int, repeats: int) -> Shown:
    """Swap a pair whose two responses have an odd number of characters together (upstream lmms-eval)."""
    odd = [(item, sum(map(len, item.responses)) % 2) for item in items]
    return [Presentation(i.item_id, (1, 0) if swap else (0, 1), r) for i, swap in odd for r in range(repeats)]


def file_order(items: Sequence[Item], seed: int, repeats: int) -> Shown:
    """Show every response of an item as the file lists them."""
    return [Presentation(i.item_id, tuple(range(len(i.responses))), r) for i in items for r in range(repeats)]


TIES = "Ties"
"""The slice of RewardBench 2 whose items have many responses, several of them right: those are rated one by one."""


def each_alone(items: Sequence[Item], seed: int, repeats: int) -> Shown:
    """Show every response by itself."""
    return [Presentation(i.item_id, (p,), r) for i in items for r in range(repeats) for p in range(len(i.responses))]


def each_place(items: Sequence[Item], seed: int, repeats: int) -> Shown:
    """Show all responses at once, turned so that each stands at every place once; those of `TIES` one by one."""
    shown = []
    for item in items:
        places = tuple(range(len(item.responses)))
        turns = ((place,) for place in places) if item.slice == TIES else (places[k:] + places[:k] for k in places)
        shown += [Presentation(item.item_id, order, 0) for order in turns]
    return shown


def drawn_place(items: Sequence[Item], seed: int, repeats: int) -> Shown:
    """Show all at once, the first right one exchanged with a drawn place; those of `TIES` one by one (RewardBench 2).

    The draw is an item's own, so neither `--limit` nor the order of the file changes it.
    """
    shown = []
    for item in items:
        if item.slice == TIES:
            shown += each_alone([item], seed, 1)
            continue
        assert isinstance(item.label, tuple), "a best-of item's label is the places that are right"
        order, right = list(range(len(item.responses))), item.label[0]
        place = random.Random(f"place {seed} {item.item_id}").randrange(len(order))
        order[right], order[place] = order[place], order[right]
        shown.append(Presentation(item.item_id, tuple(order), 0))
    return shown


def round_robin(items: Sequence[Item], seed: int, repeats: int) -> Shown:
    """Show every two responses of an item against each other, in both orders."""
    pairs = [
        (item, order)
        for item in items
        for pair in combinations(range(len(item.responses)), 2)
        for order in (pair, pair[::-1])
    ]
    return [Presentation(item.item_id, order, 0) for item, order in pairs]
