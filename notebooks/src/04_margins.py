# %% [markdown]
# # Margins: did the head start grow and the slope shrink?
#
# > Theorem 1 says what protects a student: a large head start $f_S - f_T$ and a small gradient gap. Which of the two do $\mathcal L_S$ and $\mathcal L_G$ bring, and does it pay in noise?
#
# **You'll do** compare head starts, gradients, bounds and flip distances of every student, image by image, and then across all students. **You'll learn** what predicts robustness here, and what does not. **You'll need** the head start $m$, the gradient gap $G$ and the flip from [01](01_theorem.ipynb).
#
# `read` a few seconds · `smoke` with `dataset="digits"` under a minute · `full` half an hour on MNIST, one core

# %% tags=["parameters"]
profile: str = "read"     # read, smoke or full
dataset: str = "mnist"    # mnist or digits, or a folder of yours with one folder of pictures a class
method: str = "robust"    # the student first shown in the live figure
seed: int = 0             # of training and every draw
images: int = 100         # test images measured in full; smoke takes 12
network: str = ""        # of the students; "": the data set's own; or yours, as "nets:student"
teacher_network: str = ""  # of their teacher

# %%
import numpy as np
import pandas as pd
import torch
from rsnl_lib import data, env, store, theorem
from rsnl_lib.measure import inference
from rsnl_lib.workbook import chapter, checkers, figures, palette, theorem_figures, widgets
from rsnl_lib.workbook.chapter import load_or_train

chapter.parameters(globals(), profile=profile, dataset=dataset, method=method, seed=seed, images=images,
                   network=network, teacher_network=teacher_network)

# %%
methods = ["teacher", "standard", "kd", "robust", "target_zero"]
full = None if profile == "read" else data.load(dataset)
nets = {"teacher": load_or_train(dataset, "teacher", seed, profile, full, network=teacher_network)}
for name in methods[1:]:
    nets[name] = load_or_train(dataset, name, seed, profile, full, nets["teacher"], network)

# %% [markdown]
# ## What is measured
#
# For each of the first test images and each student, in logits, $u = \mathrm{logit} f$:
#
# | | |
# | --- | --- |
# | lead | $u_S - u_T$, the head start; positive: the student is ahead |
# | gap | $\lVert\nabla u_S - \nabla u_T\rVert_2$ at the image; *gap at τ*: what $\mathcal L_G$ sees, $\lVert\nabla f_S^\tau - \nabla f_T^\tau\rVert_2$ |
# | slope | $\lVert\nabla u_S\rVert_2$, the student's own |
# | flip | the smallest push found after which the teacher leads (0 where it leads already) |
# | estimate | the integral radius of Theorem 1', $G$ by projected ascent: **not sound** (sound ones are in 01) |
# | wrong | the smallest push found after which the student errs |
#
# In `read` these are stored rows, made by `python -m rsnl_lib margins CHECKPOINT`; more rows, by you or by later methods, appear here by themselves.

# %%
def named(rows):
    """Each term alone is `robust` with the other's weight at zero."""
    alone = {"C2=0.0": "gradient_only", "C1=0.0": "score_only"}
    return rows.assign(method=[next((name for word, name in alone.items() if word in s), m) for m, s in zip(rows.method, rows.settings)])

stored = named(store.frame(env.RESULTS / "margins.csv"))
is_soft = (stored.teacher + stored.settings).str.contains("weight_decay")
rows, soft = stored[~is_soft], stored[is_soft]
print(len(stored), "rows:", stored.groupby("network").seed.nunique().to_dict(), "seeds")

# %%
if profile != "read":
    n, effort = (12, dict(restarts=2, steps=8)) if profile == "smoke" else (images, dict(restarts=3, steps=15))
    rows = pd.DataFrame([{"method": m, "network": "student", "dataset": dataset, "seed": seed, "image": i, **row} for m, net in nets.items()
                         for i, row in enumerate(theorem.margins(net, None if m == "teacher" else nets["teacher"], full.x_test[:n], full.y_test[:n],
                                                                  3.0, seeds=full.x_train[:500].double(), **effort))])
shown = rows[(rows.dataset == dataset) & (rows.seed == seed) & ~rows.network.str.contains("mlp")]
where = f"{dataset}, {profile}, {shown.image.nunique()} test images, seed {seed}"
print(where, "·", ", ".join(palette.rank(shown.method.unique())))

# %% [markdown]
# ## The student's score against the teacher's
#
# Above the diagonal the student leads. Coloured: clean images; grey: the same images with white noise.

# %%
palette.show(theorem_figures.score_pairs(shown, where),
             alt="Logit of the student's score against the teacher's, a panel a method, clean and noisy images")

# %% [markdown]
# The standard student lies above the diagonal nearly everywhere: trained on labels alone it grows surer of itself than the teacher, which was held back by dropout. KD pulls the cloud onto the diagonal, for that is what imitation means, and $\mathcal L_G$ pulls it tighter still. Noise moves every cloud down along the diagonal and widens it. (Teachers' scores beyond a logit of 11 are drawn at 11.)

# %%
def interval(values):
    """Median and a 95 % interval for it, from the order statistics (binomial, no assumption on the shape)."""
    v, n = np.sort(values.dropna()), values.notna().sum()
    half = int(np.ceil(0.98 * np.sqrt(n)))
    return f"{np.median(v):.3g} [{v[max(n // 2 - half, 0)]:.3g}, {v[min(n // 2 + half, n - 1)]:.3g}]"

students = [m for m in palette.rank(shown.method.unique()) if m != "teacher"]
columns = ["lead", "gap", "slope_S", "estimate", "flip", "wrong"]
table = shown.groupby("method")[columns].agg(lambda v: interval(v) if v.notna().any() else "")
table.reindex(palette.rank(table.index))

# %%
for m in students:
    part = shown[shown.method == m]
    before, after = (inference.wilson((part[c] > 0).sum(), len(part)) for c in ("lead", "lead_noisy"))
    print(f"{m:14} leads on {100 * (part.lead > 0).mean():5.1f} % [{100 * before[0]:.0f}, {100 * before[1]:.0f}] of the clean images, "
          f"on {100 * (part.lead_noisy > 0).mean():5.1f} % [{100 * after[0]:.0f}, {100 * after[1]:.0f}] of the noisy ones")

# %% [markdown]
# Did the head start grow and the slope shrink? The *gap* shrank: 6.6 for the robust student, 10.8 for KD. The head start went with it: the robust student leads on 38 % of the clean images, KD on 50 %, and its median head start is negative. A perfect copy of the teacher would have a gap of 0 and a head start of 0, and Theorem 1 would have nothing to say about it. The longest bound and the farthest flip belong to the standard student, which never met the teacher, and which has the steepest slope of its own. One network a method, 100 images; the brackets are 95 % intervals for the median over images, not over trainings.

# %% [markdown]
# ## One example at a time
#
# The image, the input gradient of each network ($\nabla u$: orange pixels help the true class, blue ones harm it), and both scores along the steepest way down for $f_S - f_T$. Choose another student, add noise, push further.

# %%
x, y = chapter.first_images(dataset, full)
widgets.examples(nets, x, y, reach=1.0 if dataset == "mnist" else 0.5, method=method)

# %% [markdown]
# In the still picture the teacher's gradient is grainier than the student's, and the gap consists of that grain. Move through the images: where the head start is small the two curves cross after a short push; where the student leads by several logits they stay apart over the whole slider. With noise the student's rank often changes while both scores fall together.

# %% tags=["computed"]
here = theorem.eq7_terms(nets[method], nets["teacher"], x, y)
print(f"the {method} student leads on {int((here.m > 0).sum())} of these {len(x)} images; slopes: student {here.slope_S.median():.2f}, "
      f"teacher {here.slope_T.median():.2f}, gap {here.gap.median():.2f} (medians)")

# %% [markdown]
# ## What each term did: five seeds on the small digits
#
# Two pairs of networks (convolutional, recipe `short`; fully connected, recipe `tau4`), five seeds each with its own teacher, 100 test images a network. A dot is one network: a share or a mean over images.

# %%
def by_network(rows):
    """One row a network: share of images led, mean bound and flip (zeros count), median slopes, gaps and distance to an error."""
    keys = ["dataset", "network", "recipe", "settings", "teacher", "method", "seed"]
    groups = rows.assign(led=100.0 * (rows.lead > 0)).replace(np.inf, np.nan).groupby(keys, dropna=False)
    middle = groups[["gap", "gap_tau", "slope_S"]].median().join(rows.groupby(keys, dropna=False).wrong.median())
    table = groups[["led", "estimate", "flip"]].mean().join(middle).reset_index()
    return table.assign(led=table.led.where(table.method != "teacher"))

small = by_network(stored[(stored.dataset == "digits") & ~is_soft])
quantities = {"led": "images led (%)", "gap_tau": "gap at $\\tau$", "gap": "gap, logit", "estimate": "bound (estimate)", "flip": "flip", "slope_S": "own slope", "wrong": "wrong"}
print(small.groupby("network").size().to_dict())

# %%
conv = small[~small.network.str.contains("mlp")]
palette.show(figures.method_dots({label: conv.set_index("method")[q] for q, label in quantities.items()}, f"digits, convolutional pair, {conv.seed.nunique()} seeds"),
             alt="Head start, gaps, bound, flip, slope and misclassification distance of every network by method, convolutional pair")

# %% [markdown]
# On the convolutional pair the networks trained with $\mathcal L_G$ have the smallest gaps. The longest bound belongs to *direct*, which was trained on the corrected theorem itself and leads its teacher on 95 % of the images; next comes *target zero*, which knows nothing of the teacher's gradient: a flat student crosses the teacher late. The flattest and second farthest from its errors is *shuffled*, which was given other images' gradients.

# %%
small.groupby(["network", "method"])[list(quantities)].mean().round(3)

# %%
def against(table, base, quantities):
    """Paired differences to `base` by seed: mean and p of a paired t-test."""
    from scipy.stats import ttest_rel
    wide = table.set_index(["method", "seed"])[list(quantities)].unstack("seed")
    out = {}
    for m in palette.rank(set(wide.index) - {base, "teacher"}):
        pairs = {q: (wide.loc[m, q].dropna(), wide.loc[base, q].dropna()) for q in quantities}
        out[m] = {q: f"{(a - b).mean():+.3g} (p {ttest_rel(a, b).pvalue:.2g})" if len(a) == len(b) > 1 else "" for q, (a, b) in pairs.items()}
    return pd.DataFrame(out).T

against(small[small.network == "digits_student"], "kd", quantities)

# %%
against(small[small.network == "digits_mlp_student"], "kd", quantities)

# %% [markdown]
# Each cell: mean difference to KD over five seeds, with the p of a paired t-test. $\mathcal L_S$ alone moves nothing by more than a percent or two on either pair: under a sure teacher it is a constant. $\mathcal L_G$ alone does all that *robust* does: a smaller gap, a flatter student, errors farther away. Whether the theorem's bound grows with it depends on the pair: by 0.018 on the convolutional one (p .002), by nothing on the fully connected one (p .98), where the student lost as much head start as it lost gap.

# %% [markdown]
# ## What predicts robustness?
#
# If the theorem's story were the reason, students with a larger bound would be the more accurate ones in noise. All students on digits, each against its own accuracy at ratio 1 (0 dB), 500 images and 20 draws:

# %%
keys = ["network", "recipe", "settings", "teacher", "method", "seed"]
accuracy = named(store.frame(env.RESULTS / "digits.csv"))
accuracy = accuracy[(accuracy.unit == "ratio") & (accuracy.level == 1)].assign(accuracy=lambda t: 100 * t.correct / t.n)
everyone = by_network(stored[(stored.dataset == "digits") & (stored.method != "teacher")]).merge(accuracy[[*keys, "accuracy"]], on=keys)
print(len(everyone), "students:", everyone.groupby("network").size().to_dict())

# %%
predictors = {"estimate": "bound of Theorem 1' (estimate)", "gap": "gradient gap", "slope_S": "student's own slope", "wrong": "misclassification distance"}
ranks = everyone.assign(pair=everyone.network.str.replace("_student", "")).groupby("pair")
correlation = {pair: part[list(predictors)].corrwith(part.accuracy, method="spearman") for pair, part in ranks}
pd.DataFrame({**correlation, "all": everyone[list(predictors)].corrwith(everyone.accuracy, method="spearman")}).round(2)

# %%
points = {m: part[[*predictors, "accuracy"]].to_numpy() for m, part in everyone.groupby("method")}
palette.show(figures.cloud(points, list(predictors.values()), "accuracy in noise (%)", f"{len(everyone)} students on digits"),
             alt="Accuracy in noise of every student against bound, gap, own slope and misclassification distance, with rank correlations")

# %% [markdown]
# The bound of the theorem does not predict who withstands noise: its rank correlation with accuracy is +0.27 on one pair, -0.47 on the other, 0.01 over all 100 students. What predicts it, on both pairs, is the distance to a misclassification (+0.93 and +0.94), and within a pair the student's own slope (-0.87 and -0.55). Neither mentions the teacher. The clearest case is *direct*: it has by far the longest bound, six times KD's, and five points less accuracy in noise than *robust*.

# %% [markdown]
# ## A teacher that leaves room
#
# A teacher at $f_T = 0.999$ cannot be beaten by $\gamma$. Train one that is less sure of itself (fully connected, weight decay 0.5, 20 epochs), and the story has a chance:

# %%
gentle = everyone.teacher.str.contains("weight_decay")
trio = everyone[(everyone.network == "digits_mlp_student") & everyone.method.isin(["kd", "robust", "score_only"])]
own = stored.network == "digits_mlp_teacher"
for name, part in (("sure", stored[own & ~is_soft]), ("soft", stored[own & is_soft])):
    print(f"{name} teacher: mean score of the true class {part.f_S.mean():.3f}, {part.seed.nunique()} seeds")

# %%
measures = ["led", "estimate", "flip", "accuracy"]
trio.assign(teacher=np.where(gentle[trio.index], "soft", "sure")).groupby(["teacher", "method"])[measures].agg(["mean", "std"]).round(3)

# %% [markdown]
# Under the soft teacher the story runs as the paper tells it: $\mathcal L_S$ lifts the share of images led from 63 to 71 % and the bound from 0.046 to 0.058, $\mathcal L_G$ on top of it brings the bound to 0.078, and accuracy at ratio 1 rises from 56 to 67 %. But $\mathcal L_S$ alone, bound and all, leaves that accuracy where it was (56.0 %), and under the sure teacher *robust* gains eight points with no longer bound than KD has.

# %% [markdown]
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
# ## Exercise 2: the gap and the head start (ten minutes)
#
# Write the ratio of Theorem 1 at a point: $m / \|\nabla u_S - \nabla u_T\|_2$ for head starts `m` (n,) and gradients `g_S`, `g_T` (n, c, h, w); 0 where the teacher leads.

# %%
def ratio(m, g_S, g_T):
    return m             # divide by the gap

checkers.point_ratio(ratio)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `flatten(1)` makes one row an image; `clamp_min(0)` takes care of the images where the teacher leads.
#
# </details><details><summary>Solution</summary>
#
# ```python
# def ratio(m, g_S, g_T):
#     return m.clamp_min(0) / (g_S - g_T).flatten(1).norm(dim=1)
# ```
#
# </details>

# %% [markdown]
# **Did the head start grow and the slope shrink?** The gap shrinks, and under a confident teacher the head start shrinks with it, so the bound of Theorem 1 grows little or not at all; $\mathcal L_S$ adds nothing measurable unless the teacher leaves room. What goes with robustness is how flat the student itself is and how far away its errors lie: $\mathcal L_G$ helps through that door, and a penalty without any teacher's gradient walks through it too. Five seeds on digits, one training a method on MNIST.
