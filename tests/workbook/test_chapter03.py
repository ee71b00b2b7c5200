"""Chapter 03 and the page of methods: what the library's methods say of themselves is so, what the
chapter says of its rows is so, and each wrong answer is explained.
"""

import re

import nbformat
import pandas
import pytest
import torch
from torch import nn

from rsnl_lib import env, networks, store, train
from rsnl_lib.data import sets
from rsnl_lib.train import hints, loop, losses, methods
from rsnl_lib.train.methods.base import Method
from rsnl_lib.workbook import checkers, figures, methods_page, palette, training_figures

SOURCE = (env.ROOT / "notebooks" / "src" / "03_training.py").read_text()
METHODS = train.METHODS
LETTERS = {
    "C1": "C_1",
    "C2": "C_2",
    "gamma_u": r"\gamma_u",
    "rho": r"\rho",
    "alpha": r"\alpha",
    "beta": r"\beta",
    "sigma": r"\sigma",
}


def written_out(method):
    """A loss in TeX with the methods that it names in their own."""
    loss = METHODS[method].loss
    for name in ("ARD", "AdaAD"):
        loss = loss.replace(rf"\text{{{name}}}", METHODS[name.lower()].loss)
    return loss


@pytest.fixture(scope="module")
def batch():
    """A student, a recipe's batch of digits, and the teacher that spoke of them."""
    torch.manual_seed(0)
    d = sets.digits()
    x, y = d.x_train[:16], d.y_train[:16]
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    teacher = networks.build("digits_mlp_teacher").eval()
    a_T, g_T = train.teacher_constants(teacher, x, y, 3.0, "tempered")
    return student, train.Batch(x, y, a_T, g_T.float(), 2.5, teacher, share=0.5)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_owns_its_formula_and_what_it_sees(method):
    how = METHODS[method]
    assert how.loss and how.sees and how.source
    assert "|" not in how.loss + how.sees and how.loss.count("{") == how.loss.count("}")
    assert not re.search(r"\\[^a-zA-Z]", how.loss), "GitHub reads \\, as a comma"
    lacking = [k for k in how.settings if k in LETTERS and LETTERS[k] not in written_out(method)]
    assert not lacking, f"its formula lacks {lacking}"
    assert ("teacher" in how.sees) == (how.scores or how.live)
    assert ("gradient" in how.sees) == bool(how.gradients)
    assert ("attacked" in how.sees) == (how.attacks or method == "fast_ard")
    assert ("x'" in how.loss) == ("attacked" in how.sees)
    assert ("middle layer" in how.sees) == how.hint


@pytest.mark.parametrize("method", METHODS)
def test_it_is_told_of_labels_if_they_change_its_loss(method, batch):
    student, b = batch
    half = {"alpha": 0.5} if "alpha" in METHODS[method].settings else {}
    r = train.recipe("short", "digits", method, epochs=4, **half)
    totals = []
    for y in (b.y, (b.y + 1) % 10):
        torch.manual_seed(1)
        terms = METHODS[method].terms(student, b._replace(y=y), r)
        totals.append(sum(weight * value for weight, value in terms.values()).item())
    assert ("labels" in METHODS[method].sees) == (totals[0] != totals[1])


def test_the_page_has_a_row_for_every_method():
    text = methods_page.markdown()
    lines = text.splitlines()
    assert len(lines) == 2 + len(METHODS)
    assert all(line.count("|") == 6 for line in lines)
    for name, line in zip(palette.rank(METHODS), lines[2:]):
        how = METHODS[name]
        assert line.startswith(f"| {how.label}") and (how.label == name or f"`{name}`" in line)
        assert f" ${how.loss}$ " in line and f" {how.sees} " in line
        assert how.source.removeprefix("arXiv ") in line and f" {how.passes:g}" in line
        assert ("+ attack" in line) == how.attacks
    assert "[arXiv 1901.08573](https://arxiv.org/abs/1901.08573)" in text
    assert methods_page.method_table().data == text
    few = methods_page.markdown(["robust", "kd"]).splitlines()
    assert [line.split(",")[0] for line in few[2:3]] == ["| KD"] and len(few) == 4


def test_a_readers_own_method_has_empty_cells(monkeypatch):
    monkeypatch.setitem(METHODS, "mine", Method(methods.robust, "mine"))
    assert methods_page.markdown(["mine"]).splitlines()[2] == "| mine |  |  | 3 | ours |"


@pytest.mark.parametrize("method", ["ard", "trades", "rslad", "iad", "adaad", "igdm", "bss"])
def test_the_uncommon_methods_are_introduced_with_their_source(method):
    how = METHODS[method]
    assert f"{how.label} ({how.source})" in SOURCE


def test_the_methods_words_name_their_own_panels():
    assert palette.term("gradient") == palette.term("gradient", "robust") == "$L_G$"
    assert palette.term("gradient", "target_zero") == "$L_G$ to zero"
    assert palette.term("gradient", "shuffled") == "$L_G$ to another image's"
    assert palette.term("ce", "target_zero") == "cross-entropy"
    assert palette.term("doubt", "mine") == "doubt"


@pytest.fixture(scope="module")
def curves():
    names = re.search(r'^names = "(.*)"\.split', SOURCE, re.M).group(1).split()
    rows = store.frame(env.RESULTS / "curves.csv")
    rows = rows[(rows.dataset == "digits") & (rows.recipe == "short") & (rows.settings == "")]
    return rows[rows.method.isin(names) & ~rows.teacher.str.contains("pgd_at")]


def means(curves, quantity, epoch):
    part = curves[(curves.quantity == quantity) & (curves.epoch == epoch)]
    return part.groupby("method").value.mean()


def test_what_the_text_says_of_the_curves(curves):
    assert curves.seed.nunique() == 5 and curves.epoch.max() == 60
    error = [100 * (1 - means(curves, "val_accuracy", epoch)) for epoch in (40, 60)]
    assert (error[0] - error[1]).abs().max() < 1.2 and error[1].idxmax() == "target_zero"
    assert abs(error[1]["robust"] - error[1]["teacher"]) < 0.2
    assert 100 / len(sets.digits().x_val) * 3 == pytest.approx(1, abs=0.02)
    first, last = (means(curves, "gradient", epoch)["robust"] for epoch in (1, 60))
    assert 0.3 < last / first < 0.4
    ce = means(curves, "ce", 60)
    assert ce["target_zero"] > 10 * ce["robust"] > 10 * ce["standard"]


def test_the_floor_is_the_teachers_alone(curves):
    d = sets.digits()
    net = store.load_checkpoint(env.CHECKPOINTS / "digits_teacher-teacher-short-s0.safetensors")[0]
    with torch.no_grad():
        f_T = torch.softmax(net(d.x_train), 1)[range(len(d.y_train)), d.y_train]
    rows = curves[(curves.quantity == "score_floor") & (curves.seed == 0)]
    assert rows.value.min() == pytest.approx(losses.score_floor(f_T, 0.1).item(), abs=1e-4)
    assert rows.value.max() - rows.value.min() < 1e-6
    floor = curves.value[curves.quantity == "score_floor"].mean()
    assert floor < means(curves, "score", 60)["robust"] < floor + 0.01


def test_a_step_has_the_passes_that_are_drawn():
    fig = training_figures.pass_blocks("two steps")
    texts = [t.get_text() for t in fig.axes[0].get_yticklabels()]
    assert texts == ["standard: 3 passes", "robust: 6 passes"]
    assert len(fig.axes[0].patches) == METHODS["standard"].passes + METHODS["robust"].passes
    assert {m: len(names) for m, names in training_figures.PASSES.items()} == {
        m: METHODS[m].passes for m in training_figures.PASSES
    }


def test_the_costs_are_as_told(curves):
    ms = curves[curves.quantity == "ms_per_image"].groupby("method").value.median()
    assert ms["kd"] / ms["standard"] < 1.1 and 1.8 < ms["robust"] / ms["standard"] < 2.3
    fig = training_figures.written_costs(store.frame(env.RESULTS / "benchmarks.csv"))
    stock, usual, ours = (bar.get_width() for bar in fig.axes[0].patches)
    assert 1.2 < ours / stock < 1.3 and 3.8 < usual / ours < 4.3


def test_the_error_curves_are_named_from_the_largest_error_down(curves):
    fig = training_figures.error_curves(curves)
    names = [t.get_text() for t in fig.legends[0].get_texts()]
    ends = [float(name.rpartition(" ")[2]) for name in names]
    assert ends == sorted(ends, reverse=True) and len(names) == 10
    assert names[0] == "target zero 3.6" and fig.axes[0].get_yscale() == "log"


def test_a_curve_with_its_own_target_has_its_own_panel(curves):
    floor = curves[curves.quantity == "score_floor"].assign(method="robust")
    few = curves[curves.method.isin(["robust", "target_zero"])]
    few = few[few.quantity.isin(["gradient", "score"])]
    fig = figures.learning_curves(few)
    assert [ax.get_title() for ax in fig.axes] == ["$L_G$", "$L_G$ to zero", "$L_S$"]
    assert [len(ax.lines) for ax in fig.axes] == [1, 1, 2]
    (line,) = figures.learning_curves(pandas.concat([few, floor])).axes[-1].lines[2:]
    assert line.get_ydata()[0] == pytest.approx(floor.value.mean())


def test_the_recipe_is_as_told():
    r = train.recipe("short", "digits", "robust")
    assert (r.tau, r.lam, r.lam_end, r.gamma, r.C1, r.C2) == (3, 4, 1, 0.1, 10, 1)
    assert (r.optimiser, r.one_cycle, train.recipe("paper").one_cycle) == ("adamw", True, False)
    assert train.recipe("short", "mnist", "robust").epochs == 8
    fitnet = train.recipe("short", "digits", "fitnet")
    assert 4 * loop._hint_epochs(fitnet, METHODS["fitnet"]) == fitnet.epochs
    assert fitnet.hint == "regress" and loop._hint_epochs(r, METHODS["robust"]) == 0
    assert "classify" in hints.HINTS


def test_the_robust_method_in_the_chapter_is_the_librarys(batch):
    code = re.search(r"^def robust\(.*?(?=^# %%)", SOURCE, re.M | re.S).group()
    names = {"torch": torch, "nn": nn, "losses": losses}
    exec(code, names)
    student, b = batch
    r = train.recipe("short", "digits", "robust")
    mine, ours = names["robust"](student, b, r), methods.robust(student, b, r)
    assert mine.keys() == ours.keys() - {"score_floor"}
    for name, (weight, loss) in mine.items():
        assert weight == ours[name][0]
        both = (loss, ours[name][1])
        grads = [torch.autograd.grad(v, student[1].weight, retain_graph=True)[0] for v in both]
        torch.testing.assert_close(loss, ours[name][1])
        torch.testing.assert_close(*grads)


def test_kd_moves_away_from_the_teachers_gradients_and_the_robust_student_towards_them():
    nb = nbformat.read(env.ROOT / "notebooks" / "03_training.ipynb", as_version=4)
    said = [o.text for c in nb.cells for o in c.get("outputs", []) if "text" in o]
    (table,) = [text for text in said if "validation images   L_G" in text]
    rows = {line.split()[0]: list(map(float, line.split()[1:])) for line in table.splitlines()[1:]}
    assert rows["KD"][2] > rows["untrained"][2] > rows["robust"][2]
    assert abs(rows["KD"][1] - rows["robust"][1]) < 0.02


def kd(net, b, r):
    return {"kd": (1.0, losses.kd_loss(net(b.x), b.a_T, b.y, b.lam, r.tau))}


def with_term(weight, loss):
    return lambda net, b, r: {**kd(net, b, r), "mine": (weight, loss(net, b))}


WRONG = {
    "nothing": (lambda net, b, r: None, "returns a NoneType; return a dict"),
    "the sum": (lambda net, b, r: kd(net, b, r)["kd"][1], "returns a Tensor; return a dict"),
    "KD": (kd, "KD's terms alone"),
    "no weight": (lambda net, b, r: {"mine": net(b.x).mean()}, "'mine' is no pair"),
    "loss first": (
        lambda net, b, r: {"mine": (net(b.x).mean(), 1.0)},
        "the weight comes first",
    ),
    "weight 0": (with_term(0.0, lambda net, b: net(b.x).mean()), "it would only be logged"),
    "detached": (
        with_term(1.0, lambda net, b: (net(b.x).detach() - b.a_T).square().mean()),
        "does not reach the student",
    ),
    "a float": (
        with_term(1.0, lambda net, b: net(b.x).square().mean().item()),
        ".item()",
    ),
    "constants": (
        with_term(1.0, lambda net, b: (b.a_T.clone().requires_grad_() ** 2).mean()),
        "b.a_T and b.g_T alone, which are constants",
    ),
    "into the teacher": (
        with_term(1.0, lambda net, b: (net(b.x) - b.teacher(b.x)).square().mean()),
        "reaches the teacher",
    ),
    "no mean": (
        with_term(1.0, lambda net, b: (net(b.x) - b.a_T).square().sum(1)),
        "has the shape (256,): take the mean",
    ),
    "too heavy": (
        with_term(1000.0, lambda net, b: net(b.x).square().mean()),
        "your term drowns the labels",
    ),
    "two arguments": (lambda net, b: 1, "stops the check with TypeError"),
}


@pytest.mark.parametrize("answer, hint", WRONG.values(), ids=WRONG)
def test_a_wrong_method_is_explained(answer, hint, capsys):
    checkers.own_method(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and hint in said


def test_any_term_that_reaches_the_student_alone_is_right(capsys):
    def asked(net, b, r):
        with torch.no_grad():
            a_T = b.teacher(b.x)
        return {**kd(net, b, r), "mimic": (0.01, losses.mimic_loss(net(b.x), a_T))}

    checkers.own_method(asked)
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda f_S, f_T, gamma: torch.relu(gamma + f_T - f_S), "take the mean"),
        (lambda f_S, f_T, gamma: (gamma + f_T - f_S).mean(), "without the max with zero"),
        (lambda f_S, f_T, gamma: torch.relu(gamma + f_S - f_T).mean(), "swapped"),
        (lambda f_S, f_T, gamma: torch.relu(f_T - f_S).mean(), "0.2333, yours is 0.1667"),
    ],
)
def test_a_wrong_hinge_is_explained(answer, hint, capsys):
    checkers.score_loss(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and hint in said
