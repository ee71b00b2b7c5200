"""Chapter 07: what it states follows from the rows, its short code is the library's, its figures
can be read, its exercises explain what is wrong.
"""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from test_widgets import Sums

from rsnl_lib import data
from rsnl_lib.env import RESULTS
from rsnl_lib.store import result_rows
from rsnl_lib.study import claims
from rsnl_lib.study.results import Results
from rsnl_lib.train import attacks
from rsnl_lib.train.methods import adversarial
from rsnl_lib.workbook import (
    attack_figures,
    checkers,
    figures,
    line_names,
    palette,
    render,
    widgets,
)
from rsnl_lib.workbook.widgets import base

SHOWN = ["kd", "fast_ard by pgd_at", attack_figures.SHORT, "ard by pgd_at", "adaad by pgd_at"]


def cells():
    return render.from_source(next(render.CHAPTER_FILES.glob("07*.py"))).cells


def defined(name):
    """The function of that name, as the chapter writes it."""
    code = next(c.source for c in cells() if c.source.startswith(f"def {name}("))
    names = {"torch": torch, "F": F}
    exec(code.split("\n\n")[0], names)
    return names[name]


@pytest.fixture(scope="module")
def kept():
    return {d: attack_figures.under_attack(d).groupby("method").mean() for d in ("digits", "mnist")}


@pytest.fixture(scope="module")
def effects():
    done = Results(result_rows(RESULTS))
    return {c["line"]: c for c in claims.explore(claims.read_lines("neighbours"), done)}


# The short code ----------------------------------------------------------------------------------


def small():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))


def test_the_eight_lines_are_the_librarys_attack():
    net, x, y = small(), torch.rand(6, 1, 4, 4), torch.arange(6) % 3
    theirs = attacks.pgd(net, x, attacks.cross_entropy(y), 0.2, 0.05, 7, start="zero")
    assert torch.equal(defined("attack")(net, x, y, 0.2, 7), theirs)
    source = next(c.source for c in cells() if c.source.startswith("def attack("))
    assert len(source.splitlines()) == 8


@pytest.mark.parametrize("alpha, t", [(1.0, 1.0), (0.3, 4.0)])
def test_the_loss_of_ard_is_the_librarys(alpha, t):
    a_T, a_adv, a_S = torch.randn(3, 5, 10)
    y = torch.arange(5)
    want = alpha * t**2 * adversarial.kl(a_adv, a_T, t) + (1 - alpha) * F.cross_entropy(a_S, y)
    assert defined("ard")(a_T, a_adv, a_S, y, alpha, t).item() == pytest.approx(want.item())


def test_the_first_picture_shows_what_is_said_of_it(monkeypatch):
    shown = {}
    monkeypatch.setattr(figures, "score_bars", lambda x, p, y, titles: shown.update(x=x, p=p, y=y))
    monkeypatch.setattr(palette, "show", lambda fig, alt: None)
    names = {}
    for cell in cells():
        if cell.cell_type == "code":
            exec(cell.source, names)
        if shown:
            break
    y = shown["y"][0]
    clean, pushed, attacked = (shown["x"][i] for i in range(3))
    away = 0.15 + 1e-6
    assert (pushed - clean).abs().max() <= away and (attacked - clean).abs().max() <= away
    assert len(names["y"]) == 40
    for method, falls in (("kd", True), ("robust", True), ("ard by pgd_at", False)):
        first, random, chosen = shown["p"][method]
        assert first.argmax() == random.argmax() == y and (chosen.argmax() != y) == falls
    assert shown["p"]["ard by pgd_at"][2][y] > 0.9


# What is stated ----------------------------------------------------------------------------------


def test_who_saw_attacked_images_keeps_more_than_half_of_the_digits(kept):
    digits = kept["digits"]
    saw = digits[[attack_figures.kind_of(m) == "attacked images" for m in digits.index]]
    assert saw.min() > 50 and digits.drop(saw.index).max() < 45 and len(saw) == 9
    assert 18 < digits["robust"] < 23 and 2 < digits["robust"] / digits["kd"] < 2.5
    assert digits[["target_zero", "shuffled"]].min() > 33


def test_nine_of_ten_on_mnist(kept):
    mnist = kept["mnist"]
    three = mnist[["target_zero", "shuffled", "robust by pgd_at"]]
    assert three.between(88, 92).all() and abs(three - mnist["robust_teacher"]).max() < 3
    assert three.min() - mnist["noise_augmented"] > 10


@pytest.mark.parametrize("dataset", ["digits", "mnist"])
def test_without_a_bound_every_image_falls(dataset):
    assert attack_figures.at_level(dataset, "pgd", 1).max() == 0


def opinions(dataset, at):
    """Accuracy of seed 0's networks under the plain attack and under AutoAttack's parts."""
    kinds = ("pgd", "autoattack")
    return [attack_figures.at_level(dataset, kind, at).xs(0, level=1) for kind in kinds]


def test_a_second_attack_turns_an_order_around():
    first, second = opinions("digits", 0.15)
    assert first["trades"] - first["pgd_at"] > 1.5 and second["pgd_at"] - second["trades"] > 3
    assert (first - second).drop("trades").dropna().max() < 2
    first, second = opinions("mnist", 0.1)
    lost = (first - second).dropna()
    assert (first[lost[lost > 2].index] < 80).all() and lost[first > 80].max() < 1.5


def test_noise_and_attack_go_together_on_digits_and_in_part_on_mnist():
    together = {}
    for d in ("digits", "mnist"):
        table = attack_figures.elsewhere(d)
        together[d] = table.corr(method="spearman")["under attack"].round(2).to_dict()
    digits, mnist = together["digits"], together["mnist"]
    assert (
        min(digits["white noise"], digits["Poisson noise"]) > 0.9 > digits["a hidden square"] > 0.7
    )
    assert (
        mnist["Poisson noise"] > 0.8 > mnist["white noise"] > 0.5 > 0.3 > mnist["a hidden square"]
    )
    assert all(abs(each["clean"]) < 0.25 for each in (digits, mnist))


UNDECIDED = "mnist-inherit mnist-robust mnist-robust-by-zero digits-ard mnist-ard digits-rslad"
UNDECIDED += " digits-iad digits-adaad digits-igdm"
GAINS = "digits-inherit digits-robust-by mnist-robust-by digits-robust-by-zero digits-shuffled"
GAINS += " mnist-shuffled digits-fast-time mnist-fast-time digits-trades"
LOSSES = "digits-fast mnist-fast digits-inherit-at mnist-inherit-at digits-robust-by-at"
LOSSES += " mnist-robust-by-at"


def test_each_gain_loss_and_undecided_is_one(effects):
    assert all(effects[line]["low"] < 0 < effects[line]["high"] for line in UNDECIDED.split())
    assert all(effects[line]["low"] > 0 for line in GAINS.split())
    assert all(effects[line]["high"] < 0 for line in LOSSES.split())
    for what in ("fast", "fast-time"):  # on MNIST both are smaller
        assert abs(effects[f"mnist-{what}"]["mean"]) < abs(effects[f"digits-{what}"]["mean"])
    told = {
        "digits-inherit": "2.3",
        "digits-robust-by-zero": "3.1",
        "digits-shuffled": "13.3",
        "mnist-shuffled": "29.1",
        "digits-fast": "7.3",
        "digits-fast-time": "19.7",
        "digits-trades": "2.9",
    }
    text = "\n".join(c.source for c in cells() if c.cell_type == "markdown")
    for line, number in told.items():
        assert f"{abs(effects[line]['mean']):.1f}" == number and f" {number}" in text


def test_attacks_in_training_are_ahead_of_all_that_saw_clean_images(kept):
    for each in kept.values():
        clean = [m for m in each.index if attack_figures.kind_of(m) != "attacked images"]
        assert each["pgd_at"] - each[clean].max() > 4


def test_what_robustness_costs():
    found = attack_figures.prices(SHOWN)
    time = found["times KD"]
    assert time["fast_ard by pgd_at"] < 1 and abs(time[attack_figures.SHORT] - 0.92) < 0.02
    assert time["adaad by pgd_at"] > 2 * time["ard by pgd_at"] > 14
    assert found.attacked["fast_ard by pgd_at"] > 5 * found.attacked["kd"]


# Figures -----------------------------------------------------------------------------------------


def test_names_are_kept_apart_in_order_and_above_the_floor():
    assert line_names.spread([1, 5, 9], 2) == [1, 5, 9]
    assert line_names.spread([4, 4, 4], 2) == [2, 4, 6]
    assert line_names.spread([0, 0.1, 0.2, 9], 1, floor=0) == [0, 1, 2, 9]
    g = np.random.default_rng(0)
    for _ in range(50):
        wanted = sorted(g.uniform(0, 10, 12))
        places = line_names.spread(wanted, 1.0, 0.0)
        assert min(np.diff(places)) > 1 - 1e-9 and min(places) >= 0


def test_a_name_that_moved_is_tied_to_its_line():
    ax = Figure().subplots()
    ax.set(ylim=(0, 100), xlim=(0, 1))
    line_names.name_ends(ax, [(50, 1, "a", "k"), (51, 1, "b", "k"), (90, 1, "c", "k")], 0.02)
    assert [t.xy for t in ax.texts] == [(1.02, 50), (1.02, 51), (1.02, 90)]
    assert all(t.arrow_patch is not None for t in ax.texts)
    at = [t.get_position()[1] for t in ax.texts]
    assert at == pytest.approx([47.5, 53.5, 90])
    apart = Figure().subplots()
    apart.set(ylim=(0, 100), xlim=(0, 1))
    line_names.name_ends(apart, [(10, 1, "a", "k"), (51, 1, "b", "k")], 0.02)
    assert all(t.arrow_patch is None for t in apart.texts)
    assert [t.get_position()[1] for t in apart.texts] == [10, 51]


def curves(ax):
    """The lines of methods: no caps of bars, no guide."""
    return [line for line in ax.lines if len(line.get_xdata()) == 3 and line.get_linestyle() == "-"]


@pytest.mark.parametrize("dataset", ["digits", "mnist"])
def test_no_colour_stands_for_two_things_in_a_panel(dataset):
    fig = attack_figures.against_epsilon(dataset, "t")
    for ax in fig.axes:
        names = [t.get_text() for t in ax.texts]
        colours = {t.get_color() for t in ax.texts}
        assert len(names) == len(set(names)) == len(colours) and len(names) >= 2
        ends = [t.xy[1] for t in ax.texts]
        drawn = [line.get_ydata()[-1] for line in curves(ax)]
        assert sorted(ends) == pytest.approx(sorted(drawn))
    hollow = {line.get_markerfacecolor() for line in curves(fig.axes[1])}
    assert hollow == {"white"} and "hollow" in fig.axes[1].get_title()
    assert "500 test images" in fig.get_suptitle() and "networks a method" in fig.get_suptitle()


def test_the_second_opinion_names_who_falls():
    named = [{t.get_text() for t in ax.texts} for ax in attack_figures.second_opinion().axes]
    assert named[0] == {"TRADES"} and {"KD", "BSS", "noise augmented"} <= named[1]


def test_a_price_has_its_time_and_its_interval():
    found = attack_figures.prices(SHOWN)
    time, gain = attack_figures.price_dots(found, "t").axes
    assert [p.get_width() for p in time.patches] == pytest.approx(list(found["times KD"]))
    dots = [line.get_xdata()[0] for line in gain.lines if len(line.get_xdata()) == 1]
    assert dots == pytest.approx(list(found.attacked))
    assert [t.get_text() for t in time.get_yticklabels()][2] == attack_figures.SHORT


def test_curves_of_other_chapters_keep_their_names_apart():
    rows = [
        {"method": m, "perturbation": "gaussian", "level": level, "n": 100, "correct": 90 + level}
        for m in ("kd", "robust", "standard")
        for level in (1, 2)
    ]
    ax = figures.accuracy_curves(pd.DataFrame(rows)).axes[0]
    low, high = ax.get_ylim()
    at = sorted(t.get_position()[1] for t in ax.texts)
    assert min(np.diff(at)) > 0.05 * (high - low)


def test_a_folded_table_is_there_in_words_too(monkeypatch):
    shown = []
    monkeypatch.setattr(attack_figures, "display", lambda bundle, raw: shown.append(bundle))
    attack_figures.folded(attack_figures.neighbour_effects(("attacked images",)), "All")
    assert shown[0]["text/html"].startswith("<details><summary>All</summary><table")
    assert "ARD against adversarial training" in shown[0]["text/plain"]
    assert "digits, 5 seeds" in shown[0]["text/plain"] and "+19.7" in shown[0]["text/plain"]


# The live attack ---------------------------------------------------------------------------------


def test_a_few_networks_are_shown_at_first_and_the_attacked_one_always(monkeypatch):
    kept = []
    monkeypatch.setattr(base, "show_widget", lambda widget, still, text: kept.append(widget))
    methods = ("teacher", "standard", "kd", "robust", "ard", "bss")
    nets = {m: Sums(i) for i, m in enumerate(methods)}
    x, y = data.gallery("digits")
    widgets.attacked(nets, x, y, 0.15, 3, first=("kd", "robust"))
    *rows, out, _, _ = kept[0].children  # what a lost kernel leaves, and the sliders' names
    controls = [c for row in rows for c in getattr(row, "children", (row,))]
    by_name = {c.description: c for c in controls}
    assert [c.description for c in controls][:4] == ["attacked", "image", "epsilon", "steps"]
    assert by_name["attacked"].value == "kd" and out.value.count("rsnl-now") == 2
    by_name["attacked"].value = "bss"
    assert out.value.count("rsnl-now") == 3 and "BSS" in out.value
    by_name["scores of"].value = list(nets)
    assert out.value.count("rsnl-now") == 6
    assert out.value.count('width="224"') == 3


# Exercise 1 --------------------------------------------------------------------------------------


def aimed_by(sign=-1, project=True, clip=True, use_sign=True, anew=True, label=None, size=0.25):
    """PGD towards a class, with one thing wrong."""

    def aimed(net, x, k, epsilon, steps):
        goal = torch.full((len(x),), k) if label is None else label(net, x)
        z = x.clone()
        for _ in range(steps):
            at = (z if anew else x).detach().requires_grad_()
            g = torch.autograd.grad(F.cross_entropy(net(at), goal, reduction="sum"), at)[0]
            z = z.detach() + sign * size * epsilon * (g.sign() if use_sign else g)
            z = x + (z - x).clamp(-epsilon, epsilon) if project else z
            z = z.clamp(0, 1) if clip else z
        return z

    return aimed


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda net, x, k, epsilon, steps: x, "nothing was pushed"),
        (lambda net, x, k, epsilon, steps: x[0], "of the images' shape"),
        (aimed_by(project=False), "beyond epsilon = 0.15: clamp z - x"),
        (aimed_by(clip=False), "a pixel left [0, 1]"),
        (aimed_by(use_sign=False), "take the gradient's sign"),
        (aimed_by(sign=1), "they shall go down"),
        (aimed_by(label=lambda net, x: net(x).argmax(1)), "of something else"),
        (aimed_by(sign=1, label=lambda net, x: net(x).argmax(1)), "of something else"),
        (aimed_by(anew=False), "take the gradient anew"),
        (aimed_by(size=1.0), "epsilon / 4 is 0.0375"),
        (lambda net, x, k, epsilon, steps: x + None, "stops the check with TypeError"),
        (3, "is no function"),
    ],
)
def test_what_is_wrong_with_an_aimed_attack_is_told(answer, hint, capsys):
    checkers.aimed(answer)
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out, out


def test_an_aimed_attack_that_is_right(capsys):
    checkers.aimed(aimed_by())
    assert capsys.readouterr().out == "Right.\n"
