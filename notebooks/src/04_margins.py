# %% [markdown]
# # Margins: did the head start grow and the slope shrink?
#
# > Theorem 1 says what protects a student: a large head start $m = f_S - f_T$ and a small gradient gap $G$. Which of the two do $\mathcal L_S$ and $\mathcal L_G$ bring, and does it pay in noise?
#
# **You'll do** compare head starts, gradients and bounds of every student, image by image, then over a hundred students. **You'll learn** what predicts robustness here, and what does not. **You'll need** $m$, $G$ and the flip from [01](01_theorem.ipynb).
#
# `read` a few seconds · `smoke` with `dataset="digits"` under a minute · `full` half an hour on MNIST, one core

# %% tags=["parameters"]
profile: str = "read"     # read, smoke or full
dataset: str = "mnist"    # mnist or digits, or a folder of yours with one folder of pictures a class
method: str = "robust"    # the student first shown in the live figure
seed: int = 0             # of every random draw and of the networks; read has networks of seed 0
images: int = 100         # test images measured in full; smoke takes 12
network: str = ""        # of the students; "": the data set's own; or yours, as "nets:student"
teacher_network: str = ""  # of their teacher

# %%
import numpy as np
import pandas as pd
import torch
from rsnl_lib import data, env, store, theorem
from rsnl_lib.measure import inference
from rsnl_lib.workbook import chapter, checkers, margin_figures, palette, theorem_figures, widgets
from rsnl_lib.workbook.chapter import load_or_train

chapter.parameters(globals(), profile=profile, dataset=dataset, method=method, seed=seed, images=images,
                   network=network, teacher_network=teacher_network)

# %%
methods = ["teacher", "standard", "kd", "robust", "target_zero"]
full = None if profile == "read" else data.load(dataset)
nets = {"teacher": load_or_train(dataset, "teacher", seed, profile, full, network=teacher_network)}
for name in methods[1:]:
    nets[name] = load_or_train(dataset, name, seed, profile, full, nets["teacher"], network)
x, y = chapter.first_images(dataset, full)

# %% [markdown]
# *Standard* saw labels only, *KD* the teacher's scores too, *robust* also has $\mathcal L_S$ and $\mathcal L_G$. *Target zero* is a control: its $\mathcal L_G$ has zero in the place of the teacher's gradient.
#
# ## One image
#
# A score near 1 hardly moves, so we measure in logits: $u = \log f - \log(1 - f)$, $m = u_S - u_T$ and $G = \lVert\nabla u_S - \nabla u_T\rVert_2$. The picture shows one image, the two gradients $\nabla u$ and their difference, and both scores along the steepest way down for $m$. Choose another student, add noise, push further.

# %%
widgets.examples(nets, x, y, reach=1.0 if dataset == "mnist" else 0.5, method=method)

# %% [markdown]
# The student's gradient is smooth, the teacher's grainy, and the gap is mostly that grain. How long are they?

# %%
def lengths(net, x, y):
    """||grad f|| of each image, and ||grad u|| = ||grad f|| / (f (1 - f))."""
    z = x.double().clone().requires_grad_()
    f = torch.softmax(net(z), dim=1)[range(len(y)), y]
    g, = torch.autograd.grad(f.sum(), z)              # one gradient an image
    norm = g.flatten(1).norm(dim=1)
    return norm, norm / (f * (1 - f)).detach()

exact = {m: theorem.exact(net) for m, net in nets.items()}     # in double precision
norm_f, norm_u = ({m: lengths(net, x, y)[i] for m, net in exact.items()} for i in (0, 1))
shorter = {m: int((norm_u[m] < norm_u["teacher"]).sum()) for m in methods[1:]}
print(f"of {len(x)} test images the student's gradient in logits is shorter than the teacher's on:", shorter)

# %% tags=["computed"]
print("image 0        length: student  teacher       m       G     m/G")
for m in methods[1:]:
    here = theorem.eq7_terms(exact[m], exact["teacher"], x[:1].double(), y[:1])
    print(f"{m:14} {norm_u[m][0]:15.2f} {norm_u['teacher'][0]:8.2f} {here.m[0]:+7.2f} {here.gap[0]:7.2f} {here.m[0] / here.gap[0]:+7.3f}")

# %% [markdown]
# On the first test image the robust student's gradient is 5.31 long, its teacher's 7.28 and the standard student's 12.07 (in logits): it is the shortest of the three. $m/G$ is the push after which the order would change if both scores were straight lines.
#
# ## Every image: whose gradient is shorter?

# %%
three = ("standard", "kd", "robust")
points = {f"{palette.style(m)['label']}: shorter on {shorter[m]} of {len(x)}": (m, norm_u["teacher"], norm_u[m]) for m in three}
palette.show(margin_figures.log_pairs(points, r"teacher, $\Vert\nabla u_T\Vert$", r"student, $\Vert\nabla u_S\Vert$", f"In logits the students that saw the teacher mostly have the shorter gradient ({dataset}, {len(x)} test images, seed {seed})"),
             alt="Length of each image's input gradient in logits, student against teacher: standard above the diagonal, KD mostly below, robust below everywhere")

# %% [markdown]
# Each mark is one image; below the diagonal the student's gradient is the shorter one. The robust student's marks all lie below, KD's mostly, few of the standard student's do. KD alone shortens the gradient nearly as much as *robust*. The paper speaks of the lengths of $\nabla f$:

# %%
points = {f"{palette.style(m)['label']}: shorter on {int((norm_f[m] < norm_f['teacher']).sum())} of {len(x)}": (m, norm_f["teacher"], norm_f[m]) for m in three}
palette.show(margin_figures.log_pairs(points, r"teacher, $\Vert\nabla f_T\Vert$", r"student, $\Vert\nabla f_S\Vert$", f"In probability a length says how sure a network is ({dataset}, {len(x)} test images, seed {seed})"),
             alt="Length of each image's input gradient in probability, student against teacher, over nine decades: the standard student far below the diagonal")

# %% [markdown]
# These lengths span many powers of ten, for $\nabla f = f(1 - f)\nabla u$: the standard student is steep in logits, but so sure of itself that its $\nabla f$ is mostly the shortest. Slopes and gaps below are in logits.
#
# ## Who leads?
#
# Rows measured on more test images, by `python -m rsnl_lib margins CHECKPOINT`. *$\mathcal L_G$ only* is robust without $\mathcal L_S$.

# %%
def named(rows):
    """Each term alone is `robust` with the other's weight at zero."""
    alone = {"C2=0.0": "gradient_only", "C1=0.0": "score_only"}
    return rows.assign(method=[next((name for word, name in alone.items() if word in s), m) for m, s in zip(rows.method, rows.settings)])

def soft(rows):
    """Those of the less sure teacher below."""
    return (rows.teacher + rows.settings).str.contains("weight_decay")

rows = stored = named(store.frame(env.RESULTS / "margins.csv"))
if profile != "read":
    n, effort = (12, dict(restarts=2, steps=8)) if profile == "smoke" else (images, dict(restarts=3, steps=15))
    rows = pd.DataFrame([{"method": m, "network": "student", "dataset": dataset, "seed": seed, "image": i, "teacher": "", "settings": "", **row} for m, net in nets.items()
                         for i, row in enumerate(theorem.margins(net, None if m == "teacher" else nets["teacher"], full.x_test[:n], full.y_test[:n],
                                                                  3.0, seeds=full.x_train[:500].double(), **effort))])
shown = rows[(rows.dataset == dataset) & (rows.seed == seed) & ~rows.network.str.contains("mlp")]
where = f"{dataset}, {shown.image.nunique()} test images, seed {seed}"
print(where, "·", ", ".join(palette.rank(shown.method.unique())))

# %%
palette.show(theorem_figures.score_pairs(shown, f"KD and $L_G$ pull the student's score onto the teacher's ({where}; noise: 0 dB)"),
             alt="Logit of the student's score against the teacher's, a panel a method: filled marks clean, black rings in noise; the standard student lies above the diagonal, the others on it")

# %% [markdown]
# Above the diagonal the student leads, as the standard student does nearly everywhere. KD pulls the marks onto the diagonal, $\mathcal L_G$ pulls them tighter. Noise as strong as the image (0 dB) moves all of them down and apart. A teacher's score too near 1 for the five stored digits is drawn at the panel's right end.

# %%
def interval(values):
    """Median and its 95 % interval from the order statistics."""
    v, n = np.sort(values.dropna()), values.notna().sum()
    half = int(np.ceil(0.98 * np.sqrt(n)))
    return f"{np.median(v):.3g} [{v[max(n // 2 - half, 0)]:.3g}, {v[min(n // 2 + half, n - 1)]:.3g}]"

def led(lead):
    low, high = inference.wilson((lead > 0).sum(), len(lead))
    return f"{100 * (lead > 0).mean():.0f} [{100 * low:.0f}, {100 * high:.0f}]"

students = shown[shown.method != "teacher"].groupby("method")
table = pd.DataFrame({"images led (%)": students.lead.agg(led), "m, median": students.lead.agg(interval), "G, median": students.gap.agg(interval)})
table.reindex(palette.rank(table.index))

# %% [markdown]
# The gap shrank under $\mathcal L_G$, and the median head start with it. The robust student leads on fewer images than KD's, though these two intervals overlap. A perfect copy of the teacher would have $G = 0$ and $m = 0$, and Theorem 1 would say nothing about it. The brackets are 95 % intervals over images; each method is one training run.
#
# ## Five seeds on the small digits
#
# Two pairs of networks, five seeds each, every student with the teacher of its seed. The *bound* is the radius of the corrected Theorem 1, with $G$ over the ball estimated by ascent: no certificate, and zero where the teacher leads. The *distance to an error* is the smallest push found that makes the student err. *Accuracy in noise* is measured at 0 dB. Shares led and bounds are means over a network's images, the other quantities medians. [03](03_training.ipynb) defines the methods.

# %%
keys = ["network", "recipe", "settings", "teacher", "method", "seed"]
accuracy = named(store.frame(env.RESULTS / "digits.csv"))
accuracy = accuracy[(accuracy.unit == "ratio") & (accuracy.level == 1)].assign(accuracy=lambda t: 100 * t.correct / t.n)

small = stored[(stored.dataset == "digits") & (stored.method != "teacher")].assign(led=lambda t: 100.0 * (t.lead > 0))
groups = small.replace(np.inf, np.nan).groupby(keys)
everyone = groups.agg(led=("led", "mean"), gap=("gap", "median"), bound=("estimate", "mean"), bound_median=("estimate", "median"),
                      slope=("slope_S", "median"), wrong=("wrong", "median")).reset_index().merge(accuracy[[*keys, "accuracy"]], on=keys)
sure = everyone[~soft(everyone)]
print(len(everyone), "students,", len(sure), "of a sure teacher:", sure.groupby("network").size().to_dict())

# %%
quantities = {"led": "images led (points)", "gap": "gap $G$", "bound": "bound (mean)", "wrong": "distance to an error", "accuracy": "accuracy in noise (points)"}
palette.show(margin_figures.method_changes(sure, "kd", quantities, "What each method changes against KD: $L_G$ alone does what robust does, $L_S$ alone next to nothing\n(digits, mean over 5 seeds with 95 % interval)"),
             alt="Differences to KD by method: robust and L_G only have smaller gaps, farther errors and more accuracy in noise; L_S only lies at zero; direct has by far the longest bound")

# %% [markdown]
# $\mathcal L_S$ alone changes next to nothing in every panel: under a sure teacher it is nearly a constant. $\mathcal L_G$ alone does what *robust* does, a smaller gap, errors farther away, more accuracy. Both lead on fewer images than KD's student on the fully connected pair, on about as many on the convolutional one. *Direct* has the longest bound: it was trained on $m$ and $G$ themselves. *Shuffled* matches the gradients of other images and gains the most accuracy on the convolutional pair.
#
# Does the bound grow? On the convolutional pair that depends on how images are averaged:

# %%
wide = sure[sure.network == "digits_student"].pivot(index="seed", columns="method", values=["bound", "bound_median"])
for name, column in (("mean over images", "bound"), ("median", "bound_median")):
    mean, low, high, _ = inference.paired(list(wide[column].robust - wide[column].kd))
    print(f"bound, {name}: robust minus KD {mean:+.3f} [{low:+.3f}, {high:+.3f}]")

# %% [markdown]
# The mean is a gain, the median undecided: on about half of the images the teacher leads and the bound is 0, so the median stays near 0 and the gain lies in the other half. Chapter 09 judges the median. On the fully connected pair the mean is undecided too.
#
# ## What predicts robustness?
#
# If the theorem's story were the reason, students with a longer bound would be the more accurate ones in noise. Rank correlations with accuracy over all students, then the means of the convolutional ones:

# %%
predictors = {"bound": "bound (mean)", "gap": "gap $G$", "slope": "own slope", "wrong": "distance to an error"}
correlation = {margin_figures.PAIRS[pair]: part[list(predictors)].corrwith(part.accuracy, method="spearman") for pair, part in everyone.groupby("network")}
pd.DataFrame({**correlation, "all": everyone[list(predictors)].corrwith(everyone.accuracy, method="spearman")}).round(2)

# %%
sure[sure.network == "digits_student"].groupby("method")[["bound", "wrong", "accuracy"]].mean().sort_values("accuracy").round({"bound": 3, "wrong": 2, "accuracy": 1})

# %%
palette.show(margin_figures.pair_clouds(everyone, predictors, "accuracy", "accuracy in noise (%)", f"The distance to an error predicts accuracy, the bound does not ({len(everyone)} students on digits; above: rank correlation by pair)"),
             alt="Accuracy in noise of every student against bound, gap, own slope and distance to an error, filled and hollow marks for the two pairs: only the last cloud rises along a line in both")

# %% [markdown]
# In the left panel the two pairs contradict each other: a longer bound goes with more accuracy in one and with less in the other. In the right panel both pairs rise, nearly along one line: students whose errors lie farther away resist noise. A flatter student does too, within a pair. Neither quantity mentions the teacher. *Direct* shows it best: it has six times KD's bound, and 4.8 points less accuracy in noise than *robust*.
#
# ## A teacher that leaves room
#
# A teacher at $f_T = 0.999$ cannot be beaten by $\gamma$. Train one that is less sure (fully connected, weight decay 0.5). Its students below are means ± standard deviations over five seeds, each seed with its own teacher.

# %%
teachers = stored[stored.network == "digits_mlp_teacher"]
for name, part in teachers.groupby(np.where(soft(teachers), "soft", "sure")):
    print(f"{name} teacher: mean score of the true class {part.f_S.mean():.3f}, {part.seed.nunique()} seeds")

# %%
trio = everyone[(everyone.network == "digits_mlp_student") & everyone.method.isin(["kd", "robust", "score_only"])]
by_teacher = trio.assign(by=np.where(soft(trio), "soft", "sure")).groupby(["by", "method"])
by_teacher[["led", "bound", "accuracy"]].agg(lambda v: f"{v.mean():.3g} ± {v.std():.2g}")

# %% [markdown]
# Under the soft teacher the bound tells the paper's story: $\mathcal L_S$ lifts it, $\mathcal L_G$ on top of $\mathcal L_S$ lifts it further. Accuracy bears it out in part. With $\mathcal L_S$ alone it stays where KD's is, though the bound grew. *Robust* gains 7.8 points over KD under the sure teacher with the same bound, and 10.7 under the soft one with a longer bound. So the room may bring some of the gain, and most comes without it.
#
# ## Exercise 1: the ceiling (three minutes)
#
# The teacher scores 0.98 on an image. What is the largest head start, in probability, that any student can have there?

# %%
ceiling = None
checkers.ceiling(ceiling)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A score is at most 1.
#
# </details><details><summary>Solution</summary>
#
# ```python
# ceiling = 1 - 0.98
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: build m/G (ten minutes)
#
# Write the ratio of Eq. 7 at each image, in probabilities: `function(net_S, net_T, x, y)` returns $(f_S - f_T) / \lVert\nabla f_S - \nabla f_T\rVert_2$, shape (n,), zero where the teacher leads.

# %%
def ratio(net_S, net_T, x, y):
    return torch.zeros(len(x))     # scores and gradients of both networks first

checkers.point_ratio(ratio)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Start from `lengths` above, but keep the two gradients: the length of a difference is not the difference of two lengths.
#
# </details><details><summary>Solution</summary>
#
# ```python
# def ratio(net_S, net_T, x, y):
#     f, g = [], []
#     for net in (net_S, net_T):
#         z = x.clone().requires_grad_()
#         f.append(torch.softmax(net(z), dim=1)[range(len(y)), y])
#         g += torch.autograd.grad(f[-1].sum(), z)
#     m = (f[0] - f[1]).detach()
#     return m.clamp_min(0) / (g[0] - g[1]).flatten(1).norm(dim=1)
# ```
#
# </details>

# %% [markdown]
# **Did the head start grow and the slope shrink?** The slope and the gap shrink under $\mathcal L_G$. Under a confident teacher the head start does not: the student leads on fewer images, or on about as many, so the bound of Theorem 1 grows little or not at all, and $\mathcal L_S$ changes next to nothing. What goes with robustness is how flat the student itself is and how far away its errors lie; *target zero*, which never sees the teacher's gradient, gains there as well. Five seeds on digits, one training a method on MNIST.
