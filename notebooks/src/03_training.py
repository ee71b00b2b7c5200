# %% [markdown]
# # Training: Algorithm 1, and what each term costs
#
# > Does Algorithm 1 train, and what does each term cost?
#
# **You'll do** one step of the algorithm by hand, run it for a few epochs, and read the learning curves of five methods over five seeds. **You'll learn** why $\mathcal L_G$ needs a derivative of a derivative, and what that costs. **You'll need** the losses' names from [00](00_start_here.ipynb).
#
# `read` a few seconds · `smoke` under a minute · `full` about a minute a network on digits

# %% tags=["parameters"]
profile: str = "read"     # read, smoke or full
dataset: str = "digits"   # digits or mnist, or a folder of yours with one folder of pictures a class
seed: int = 0             # of start, order and every draw
epochs: int = 0           # 0 keeps the profile's own number
tau: float = 3.0          # temperature of Eqs. 4 and 16
gamma: float = 0.1        # margin of Eq. 15
C1: float = 10.0          # weight of L_G
C2: float = 1.0           # weight of L_S
device: str = "cpu"       # auto takes a GPU where there is one
rows: str = ""            # in smoke and full: append the curves to this CSV file
network: str = ""        # of the students; "": the data set's own; or yours, as "nets:student"
teacher_network: str = ""  # of their teacher

# %%
import copy
import inspect
import torch
from rsnl_lib import data, env, geometry, networks, store, train
from rsnl_lib.data import catalogue
from rsnl_lib.networks import fast
from rsnl_lib.train import losses, methods, recipes
from rsnl_lib.workbook import chapter, checkers, figures, palette

chapter.parameters(globals(), profile=profile, dataset=dataset, seed=seed, epochs=epochs, tau=tau, gamma=gamma,
                    C1=C1, C2=C2, device=device, rows=rows, network=network, teacher_network=teacher_network)

# %%
digits = data.load(dataset, device=env.device(device))
print(digits.name, *(f"{part} {len(images)}" for part, images in
                     (("train", digits.x_train), ("validation", digits.x_val), ("test", digits.x_test))))

# %% [markdown]
# ## The teacher speaks once
#
# Line 4 of Algorithm 1 asks the teacher about every image in every epoch. Its answers never change, so they are computed once: the logits $a_T$, and the input gradient of its softened score.
#
# > $\tau(o)_j = e^{a_j/\tau} / \sum_i e^{a_i/\tau}$ (Eq. 4), and $f^\tau(x) = \tau(o)_y$ is the softened score of the true class.

# %%
net_T = chapter.load_or_train(dataset, "teacher", seed, profile, digits, network=teacher_network).to(digits.x_train.device)
x, y = digits.x_train[:256], digits.y_train[:256]
a_T, g_T = train.teacher_constants(net_T, x, y, tau, gradients="tempered")
print(f"a_T {tuple(a_T.shape)}   g_T {tuple(g_T.shape)}")
print(f"mean score of the true class: f_T {geometry.score(a_T, y).mean():.3f}, softened {geometry.score(a_T, y, tau).mean():.3f}")

# %% [markdown]
# ## The terms, one by one
#
# > $\mathcal L_{KD} = H(o_S, y) + \lambda H(\tau(o_S), \tau(o_T))$ (Eq. 3) · $\mathcal L_S = \frac1n\sum\max(0, \gamma + f_T - f_S)$ (Eq. 15) · $\mathcal L_G = \frac1n\sum\|\nabla_x f_S^\tau - \nabla_x f_T^\tau\|^2$ (Eq. 16)
#
# A fresh student scores them all. `create_graph=True` keeps its input gradient differentiable, so that $\mathcal L_G$ can be pulled back to the weights: exact double backprop.

# %%
kind = lambda m: networks.typed(teacher_network if m == "teacher" else network) or catalogue.network_for(dataset, m)
net_S = networks.start(kind("robust"), digits, seed)
a_S, g_S = geometry.input_gradient(net_S, x, y, tau, create_graph=True)
f_S, f_T = geometry.score(a_S, y), geometry.score(a_T, y)
print(f"L_KD {losses.kd_loss(a_S, a_T, y, lam=4, tau=tau):.2f}")
print(f"L_S  {losses.score_loss(f_S, f_T, gamma):.3f}")
print(f"L_G  {losses.gradient_loss(g_S, g_T.float()):.4f}")

# %% [markdown]
# Does each term reach the student? The largest weight gradient of each term alone must not be zero, and nothing may flow into the teacher.

# %%
for name, loss in (("L_S", losses.score_loss(f_S, f_T, gamma)), ("L_G", losses.gradient_loss(g_S, g_T.float()))):
    grads = torch.autograd.grad(loss, list(net_S.parameters()), retain_graph=True, allow_unused=True)
    print(name, "reaches the student:", any(g is not None and g.abs().max() > 0 for g in grads),
          "  the teacher:", any(p.grad is not None for p in net_T.parameters()))

# %% [markdown]
# ## Algorithm 1
#
# The objective of the robust student, as the library has it. Each entry is a weight and a loss; the loop sums the products and logs each loss by itself. (The paper's line 6 cites Eq. 16 for the objective; Eq. 17 is meant.)

# %%
print(inspect.getsource(methods.robust))

# %% [markdown]
# The loop in eight lines. What the library's `train.fit` adds: shuffling by seed and epoch, the learning-rate cycle, validation, and a state file from which an interrupted run goes on as if nothing had happened.

# %%
r = train.recipe("short", "digits", "robust", C1=C1, C2=C2, tau=tau, gamma=gamma, epochs=epochs or 8)
step = recipes.optimiser(net_S, r)
for epoch in env.progress(range(r.epochs)):
    for pick in torch.randperm(len(x)).split(64):                                                    # line 3
        batch = train.Batch(x[pick], y[pick], a_T[pick], g_T[pick].float(), recipes.lam_at(r, epoch))  # line 4
        terms = methods.robust(net_S.train(), batch, r)                                              # lines 5, 6
        loss = sum(weight * value for weight, value in terms.values())                               # Eq. 17
        step.zero_grad(), loss.backward(), step.step()                                               # line 7

# %%
share = train.accuracy(net_S, x, y)
print("it learns: more than half of its training images after a few epochs:", share > 0.5)

# %% [markdown]
# ## The same gradient, cheaper
#
# The loop above asks PyTorch for the derivative of a derivative, and PyTorch answers with a convolution whose kernel is a whole feature map. `with fast.layers(net):` puts another way to the same numbers in its place: the input gradient is one linear map whose derivatives are ordinary convolutions, and of a maxout one bit a unit is kept. `train.fit` does its steps inside such a block. In double precision the weight gradients of Eq. 17 must agree:

# %%
def weight_gradient(net, b):
    loss = sum(weight * value for weight, value in methods.robust(net, b, r).values())
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.parameters()))])


# %%
net = copy.deepcopy(net_S).double()
b = train.Batch(x[:64].double(), y[:64], a_T[:64].double(), g_T[:64].double(), lam=4.0)
plain = weight_gradient(net, b)
with fast.layers(net):
    quick = weight_gradient(net, b)
print("relative difference below 1e-10:", bool((quick - plain).norm() < 1e-10 * plain.norm()))

# %% [markdown]
# Nothing is estimated. What it saves is measured by `python benchmarks/run.py` beside the step as it is usually written (teacher asked at every step, `torch.maximum`, PyTorch's own second derivative); the README has the figures.

# %% [markdown]
# ## Sixty epochs, ten methods, five seeds
#
# In `read` these are stored rows (each seed with its own teacher); in `smoke` and `full` the curves are trained here, one seed. Beside the paper's baselines *mimic* (Eq. 2), *KD* and *FitNet* (a hint stage, then KD) stand controls the paper lacks: *target zero* and *shuffled* (the robust student with the teacher's gradient replaced by zero, or by that of another image of the class), *noise augmented* (KD on noisy images), and *direct*, a hinge built on the corrected theorem.

# %%
names = "teacher standard mimic kd fitnet robust target_zero shuffled noise_augmented direct".split()
if profile == "read":
    curves = store.frame(env.RESULTS / "curves.csv")
    curves = curves[(curves.dataset == dataset) & (curves.recipe == "short") & (curves.settings == "")
                    & curves.method.isin(names) & ~curves.teacher.str.contains("pgd_at")]
else:
    part = digits if profile == "full" else digits._replace(x_train=digits.x_train[:512], y_train=digits.y_train[:512])
    letters = {m: {k: v for k, v in {"gamma": gamma, "C1": C1, "C2": C2}.items() if k in train.METHODS[m].settings} for m in names}
    runs = {m: train.fit(networks.start(kind(m), digits, seed), part, m,
                         train.recipe("short", dataset, m, tau=tau, **letters[m],
                                      **({"epochs": epochs or 4} if profile == "smoke" or epochs else {})),
                         seed, net_T) for m in names}
    curves = palette.as_table(runs).assign(seed=seed)
    if rows:
        head = {"dataset": digits.name, "teacher": kind("teacher"), "recipe": profile, "settings": f"C1={C1:g}",
                "hardware": env.hardware(), "commit": env.commit()}
        store.append(rows, [{**head, **row, "network": kind(row["method"])} for row in curves.to_dict("records")], store.CURVE_COLUMNS)
print(f"{curves.seed.nunique()} seeds, {int(curves.epoch.max())} epochs,", ", ".join(palette.rank(curves.method.unique())))

# %%
palette.show(figures.learning_curves(curves, f"{dataset}, {profile}: {curves.seed.nunique()} seeds, range shaded"),
             alt="Validation accuracy and each loss term by epoch for every method")

# %% [markdown]
# With the shipped rows most curves are flat after forty of sixty epochs; the cross-entropy of *direct* still falls to a sixth, and $\mathcal L_G$ of *target zero* by a third. *Shuffled* keeps the largest $\mathcal L_G$ of those that train on one, since its target changes at every step. $\mathcal L_S$ stops at 0.106, a hair above $\gamma = 0.1$: a teacher at 0.999 cannot be beaten by 0.1, so the hinge never closes and what is left of it is a constant. $\mathcal L_G$ of *target zero* is measured against zero instead of the teacher's gradient: the two curves in that panel share a scale, not a target.

# %%
last = curves[curves.epoch == curves.groupby("method").epoch.transform("max")]
last.pivot_table(index="method", columns="quantity", values="value", aggfunc="mean").reindex(
    palette.rank(last.method.unique()))[[q for q in palette.terms() if q in set(last.quantity)]].round(4)

# %% [markdown]
# Means of the last epoch over the seeds. *Target zero* gives up cross-entropy for flatness (0.12 against the robust student's 0.009) and pays with two points of validation accuracy: the teacher's gradient tells the student where it may stay steep.

# %% [markdown]
# ## What it costs
#
# Milliseconds per training image, the median epoch of the stored rows, one thread of a CPU; five methods that were trained side by side on a quiet machine. The teacher's answers are cached, so no method pays for the teacher here.

# %%
timed = curves[curves.method.isin(["teacher", "standard", "kd", "robust", "target_zero"])]
palette.show(figures.cost_bars(timed, f"{dataset}, {profile}: one training step per image"),
             alt="Bars of milliseconds per image and training step for every method")

# %% [markdown]
# A robust step costs 2.1 standard steps (0.103 against 0.048 ms on one thread of a shared x86-64 CPU): six convolution passes against three, so two is the least an exact step can cost. KD is nearly free because the teacher's scores are cached.

# %%
cost = curves[curves.quantity == "ms_per_image"].groupby("method").value.median()
print("robust costs between 1.5 and 4 times a standard step:", 1.5 < cost["robust"] / cost["standard"] < 4)

# %% [markdown]
# ## Your own networks
#
# Teacher and student may be any `nn.Module` from images to logits. These two the library has never seen; ten lines train both and test them in noise. (Batch norm in training mode mixes the images of a batch, so methods with input gradients refuse it unless the recipe says `frozen_norm=True`.)

# %%
from torch import nn
from rsnl_lib.measure import evaluate

torch.manual_seed(seed)
channels, side = digits.x_train.shape[1:3]
mine = {"teacher": nn.Sequential(nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * side ** 2, digits.classes)),
        "robust": nn.Sequential(nn.Flatten(), nn.Linear(channels * side ** 2, 32), nn.ReLU(), nn.Linear(32, digits.classes))}
part = digits._replace(x_train=digits.x_train[:1000], y_train=digits.y_train[:1000])
for method, net in mine.items():
    run = train.fit(net.to(part.x_train.device), part, method, train.recipe("short", "digits", method, epochs=15), seed, mine["teacher"].eval())

# %%
tested = evaluate.sweep(mine, digits.x_test[:500], digits.y_test[:500], [("clean", 0, ""), ("gaussian", 5, "dB")], draws=5)
for row in tested:
    print(f"{row['key']:8} {row['perturbation']:8} more than 60 % right: {row['correct'] / row['n'] > 0.6}")

# %% [markdown]
# ## Exercise 1: the hinge (five minutes)
#
# Write Eq. 15 for tensors `f_S`, `f_T` of shape (n,).

# %%
def score_loss(f_S, f_T, gamma):
    return None          # replace this line

checkers.score_loss(score_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `torch.relu` is the max with zero; the student pays when the teacher is ahead.
#
# </details><details><summary>Solution</summary>
#
# ```python
# def score_loss(f_S, f_T, gamma):
#     return torch.relu(gamma + f_T - f_S).mean()
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: student equals teacher (two minutes)
#
# Suppose the student has become the teacher exactly. Which two of `"kd"`, `"score"`, `"gradient"` are still not zero?

# %%
answer = []
checkers.which_term(answer)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A cross-entropy of a distribution with itself is its entropy, not zero; and what does the hinge say to a draw?
#
# </details><details><summary>Solution</summary>
#
# $\mathcal L_{KD}$ keeps its cross-entropies, $\mathcal L_S = \gamma$, and only $\mathcal L_G$ vanishes.
#
# ```python
# answer = ["kd", "score"]
# ```
#
# </details>

# %% [markdown]
# ## Exercise 3: counting passes (five minutes)
#
# Cross-entropy makes three convolution passes a step: forward, and backward to inputs and to weights. How many does the exact robust step make?

# %%
answer = 0
checkers.conv_passes(answer)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Follow $\mathcal L_G$: a forward, its adjoint down to $x$, and then that whole computation is differentiated once more.
#
# </details><details><summary>Solution</summary>
#
# Forward, adjoint to $x$, tangent, the tangent's weight gradient, and the backward's two: six. Twice cross-entropy is the least an exact step can cost.
#
# ```python
# answer = 6
# ```
#
# </details>

# %% [markdown]
# **Does Algorithm 1 train, and what does each term cost?** It trains, in every seed; $\mathcal L_G$ doubles the step, $\mathcal L_S$ costs nothing and, under a confident teacher, does next to nothing. Whether the doubled step buys robustness is the question of [05](05_noise_and_occlusion.ipynb).
