"""What a state file holds, laid where a run goes on from it; whatever cannot be is an error, which
`RunFile.reading` puts into words.
"""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .. import checks, env


def lay_run(held: dict, net: nn.Module, step: Optimizer, epochs: int, batches: int) -> dict:
    """Lay a state's weights into `net` and `step`: its best weights, best epoch and history, of at
    most `epochs` of so many `batches`.
    """
    net.load_state_dict(held["net"])
    lay_optimiser(step, held["step"])
    run = {k: held[k] for k in ("best", "best_epoch", "history")}
    _check_history(run["history"], run["best_epoch"], epochs)
    lay_network(copy.deepcopy(net), run["best"])
    if "inside" in held:  # of a run that diverges, whose weights are no numbers, too
        at = held["inside"]
        check_place(at, at["sums"].values(), batches, next(net.parameters()).device)
        checks.finite("took", at["took"])
        if not isinstance(at["carry"], dict):
            raise ValueError("carry is no dict")
    else:
        checks.network("network", net)
    return run


def lay_network(net: nn.Module, weights: dict) -> None:
    """Lay finite weights into a network."""
    net.load_state_dict(weights)
    checks.network("network", net)


def lay_optimiser(step: Optimizer, held: dict) -> None:
    """Lay an optimiser's tensors into `step`, whose rates are the recipe's."""
    groups = step.state_dict()["param_groups"]
    step.load_state_dict({"state": held["state"], "param_groups": groups})
    adam = isinstance(step, torch.optim.AdamW)
    names = ("step", "exp_avg", "exp_avg_sq") if adam else ("momentum_buffer",)
    for p, slots in step.state.items():
        want = {k: () if k == "step" else p.shape for k in names}
        if {k: t.shape for k, t in slots.items()} != want or not slots.get("step", 1) > 0:
            raise ValueError(f"the optimiser wants {', '.join(names)} of each weight")


def check_place(at: dict, totals: Iterable[Tensor], batches: int, device: torch.device) -> None:
    """Refuse what is no place inside an epoch of so many batches, or no totals of one number."""
    if checks.whole("done", at["done"]) > batches:
        raise ValueError(f"done={at['done']} of {batches} batches")
    for total in totals:
        float(total.item())
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        env.set_generators(at["generators"], device)


def _check_history(history: Any, best: int, epochs: int) -> None:
    """Refuse rows that are not one of each finished epoch, and a best epoch that is not among them
    (-1 before there is one).
    """
    if not isinstance(history, list) or len(history) > epochs:
        raise ValueError(f"its history is not one of {epochs} epochs")
    for i, row in enumerate(history, 1):
        for name, value in row.items():
            checks.finite(name, value)
        if row["epoch"] != i or not 0 <= row["val_accuracy"] <= 1:
            raise ValueError(f"row {i} of its history is none of epoch {i}")
    if not -1 <= checks.whole("best_epoch", best, -1) <= len(history) or (best < 1) == bool(
        history
    ):
        raise ValueError(f"best_epoch={best} is none of {len(history)} epochs")
