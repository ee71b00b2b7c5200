# %% [markdown]
# # Attacks
#
# > Is a student that resists noise a student that resists attack?
#
# **You'll do** an attack by hand in eight lines, then watch ten of its steps undo a digit. **You'll learn** what adversarial training and adversarially robust distillation (ARD, arXiv 1905.09747) buy and cost, whether robustness is inherited on clean images, and how to see that a defence only hides its gradients. **You'll need** chapters 02 and 05.
#
# `read` a few seconds · `smoke` under a minute · `full` trains ten networks on digits, about ten minutes on one core

# %% tags=["parameters"]
profile: str = "read"     # read, smoke or full
dataset: str = "digits"   # digits or mnist
epsilon: float = 0.15     # radius of the ball, per pixel
steps: int = 10           # of the attack
seed: int = 0

# %%
import statistics
import torch
import torch.nn.functional as F
from rsnl_lib import attacks, check, claims, data, figures, jobs, reproduce, settings, store, verdicts, widgets
from rsnl_lib.train import load_or_train

settings.parameters(globals(), profile=profile, dataset=dataset, epsilon=epsilon, steps=steps, seed=seed)

# %% [markdown]
# Two teachers: one trained on labels, one by adversarial training. Four students of the first or of none, four of the second.

# %%
full = None if profile == "read" else data.load(dataset)
ask = lambda method, **how: load_or_train(dataset, method, seed, profile, full, **how)
teacher = ask("teacher")
robust_teacher = ask("pgd_at", network=f"{dataset}_teacher")
nets = {"teacher": teacher, "robust_teacher": robust_teacher}
for method in ("kd", "robust", "noise_augmented", "pgd_at"):
    nets[method] = ask(method, teacher=teacher)
for method in ("kd", "robust", "ard", "fast_ard"):
    name = f"{method} by pgd_at" if method in nets or method.endswith("ard") else method
    nets[name] = ask(method, teacher=robust_teacher, by="pgd_at")

# %% [markdown]
# ## The attack
#
# Noise pushes an image in a random direction; an attack pushes it in the worst one it can find. Projected gradient ascent (arXiv 1706.06083) climbs the cross-entropy by the sign of its gradient and, after each step, goes back into the ball of radius $\varepsilon$ around the image and into the range of pixels:
#
# $$x' \leftarrow \Pi_{[0,1]}\; \Pi_{\|x' - x\|_\infty \le \varepsilon}\left(x' + \alpha\, \mathrm{sign}\, \nabla_{x'} \mathcal H(\mathbf y, S(x'))\right).$$

# %%
def attack(net, x, y, epsilon, steps):
    z = x.clone()
    for _ in range(steps):
        z.requires_grad_()
        g, = torch.autograd.grad(F.cross_entropy(net(z), y, reduction="sum"), z)
        z = z.detach() + epsilon / 4 * g.sign()
        z = (x + (z - x).clamp(-epsilon, epsilon)).clamp(0, 1)
    return z

x, y = data.gallery(dataset)
by_hand = attack(nets["kd"], x, y, epsilon, steps)
ours = attacks.pgd(nets["kd"], x, attacks.cross_entropy(y), epsilon, epsilon / 4, steps, start="zero")
print(f"by hand and in the library: largest difference {(by_hand - ours).abs().max():.0e}")

# %% [markdown]
# How much of that is the direction, and how much the size? The same images with as large a push of random sign:

# %%
random = (x + epsilon * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).sign()).clamp(0, 1)
for m, net in nets.items():
    right = [(net(v).argmax(1) == y).float().mean().item() for v in (x, random, attack(net, x, y, epsilon, steps))]
    print(f"{figures.style(m)['label']:24} clean {right[0]:5.0%}   random signs {right[1]:5.0%}   attacked {right[2]:5.0%}")

# %% [markdown]
# A push of random signs costs little; the same push with chosen signs costs nearly everything, except for those that were trained against it. The `robust` student of the paper falls like the others.

# %% [markdown]
# ## An attack, live
#
# Choose whose gradient is followed; the others see the same adversarial image. Move *epsilon* until the first mistake, then look at the difference: which strokes does it draw?

# %%
widgets.attacked(nets, x, y, epsilon, steps)

# %% [markdown]
# Attacks found on one network fool its relatives too. The robustly trained ones need a visible change, and it looks like a change of the digit.
#
# ## Measured by someone else's attack
#
# A defence must not be judged by the attack it was trained on. All rows below are made by the Adversarial Robustness Toolbox (`python -m rsnl_lib attack`): projected gradient ascent, 20 steps from three random starts, an image counts as right only if it survives all of them.

# %%
rows = store.everyone(dataset)
shown = ["teacher", "robust_teacher", "standard", "kd", "robust", "target_zero", "noise_augmented", "pgd_at", "kd by pgd_at", "robust by pgd_at", "ard by pgd_at", "fast_ard by pgd_at"]
attacked = rows[(rows.perturbation == "pgd") & (rows.level < 1) & rows.method.isin(shown)]
n, seeds = attacked.n.max(), attacked.groupby("method").seed.nunique()
where = f"{dataset}, recipe short, first {n} test images, {seeds.min()} to {seeds.max()} networks a method"
figures.show(figures.accuracy_curves(attacked, title=where, xlabel="epsilon (L-inf, pixels in [0, 1])"),
             alt="Accuracy under attack against epsilon for teachers and students; those trained on attacked images hold, the others fall to zero")

# %%
at = {"digits": 0.15, "mnist": 0.1}[dataset]
share = rows.assign(accuracy=100 * rows.correct / rows.n)
under = share[(share.perturbation == "pgd") & (share.level == at)].groupby("method").accuracy.agg(["mean", "std", "count"])
under.reindex(figures.rank(under.index)).round(1)

# %% [markdown]
# AFTER_CURVES

# %% [markdown]
# ### Does it only hide its gradients?
#
# A network whose gradients are useless looks robust to an attack that needs them. Three checks: without a bound on $\varepsilon$ every image must fall; ten times the steps may find hardly more; and AutoAttack's parts (arXiv 2003.01690: APGD on two losses, and Square, which needs no gradient) may find hardly more.

# %%
kinds = {"pgd": "20 steps", "pgd200": "200 steps", "autoattack": "AutoAttack's parts"}
checked = share[(share.seed == 0) & (share.level == at) & share.perturbation.isin(kinds)]
table = checked.groupby(["method", "perturbation"]).accuracy.mean().unstack()
table["no bound"] = share[(share.seed == 0) & (share.perturbation == "pgd") & (share.level == 1)].set_index("method").accuracy
table.rename(columns=kinds).dropna().pipe(lambda t: t.reindex(figures.rank(t.index))).round(1)

# %% [markdown]
# AFTER_MASKED

# %% [markdown]
# ## Inherited on clean images?
#
# ARD's first study: does a student that sees clean images only, but learns from a robust teacher, become robust? Each line is a comparison as in chapter 09, accuracy under attack, the same seeds on both sides (`data/neighbours.csv`); these comparisons explore and judge nothing.

# %%
done = jobs.known(reproduce.read(settings.RESULTS))
lines = {c["line"]: c for c in verdicts.study(done, claims.NEIGHBOURS) if c["dataset"] == dataset and c["effects"]}
name = lambda c: c["setting"]
first = [c for c in lines.values() if c["question"] in ("inheritance", "the paper")]
figures.show(verdicts.forest(first, f"{dataset}, accuracy under attack at epsilon {at:g}", label=name),
             alt="Gains under attack: KD by a robust teacher over KD by a plain one, over adversarial training, and the paper's robust student over KD's by either teacher")

# %%
for c in first:
    print(f"{c['setting']:54} {c['mean']:+6.1f} [{c['low']:+.1f}, {c['high']:+.1f}]  {c['n']} seeds")

# %% [markdown]
# AFTER_INHERIT

# %% [markdown]
# ## Distillation on attacked images
#
# > ARD: $\;\alpha\, t^2\, \mathrm{KL}\!\left(T^t(x)\,\|\,S^t(x')\right) + (1 - \alpha)\, \mathcal H(\mathbf y, S(x)).$
#
# The teacher answers for the clean image, the student must answer the same at the attacked one. *Adversarial training* (PGD-AT) asks for the label instead, with the same attack, network, steps and epochs, so its time is the same but for the teacher's one pass. *Fast-ARD* spends no pass on an attack: the backward pass that trains the student also moves the perturbation.

# %%
second = [c for c in lines.values() if c["question"] == "attacked images"]
figures.show(verdicts.forest(second, f"{dataset}, at epsilon {at:g} unless said", label=name),
             alt="ARD, Fast-ARD and later methods against adversarial training and against ARD, gains with intervals")

# %%
for c in second:
    print(f"{c['setting']:54} {c['mean']:+6.1f} [{c['low']:+.1f}, {c['high']:+.1f}]  {c['n']} seeds")

# %% [markdown]
# AFTER_ARD

# %% [markdown]
# ### The clock
#
# Milliseconds per image and epoch, times the epochs, all on one thread; robust accuracy against it.

# %%
curves = store.read(settings.RESULTS / "curves.csv")
mine = curves[(curves.dataset == dataset) & (curves.network == f"{dataset}_student") & (curves.recipe == "short") & (curves.settings == "") & (curves.quantity == "ms_per_image")]
clock = mine.groupby(["method", "seed"]).value.sum().groupby("method").median() / 1000
for m in figures.rank(clock.index.intersection(["kd", "robust", "bss", "pgd_at", "trades", "ard", "fast_ard", "rslad", "iad", "adaad", "igdm"])):
    told = under["mean"].get(f"{m} by pgd_at" if m in ("ard", "fast_ard", "rslad", "iad", "adaad", "igdm") else m, float("nan"))
    print(f"{figures.style(m)['label']:10} {clock[m]:7.3f} s per 1000 images... {told:5.1f} % under attack")

# %% [markdown]
# AFTER_CLOCK

# %% [markdown]
# ### Two traps of published code
#
# `nn.KLDivLoss()` without an argument divides by images *and classes*: ten times smaller on ten classes, a hundred times on a hundred.

# %%
a_S, a_T = torch.randn(8, 10, generator=torch.Generator().manual_seed(seed)), torch.randn(8, 10, generator=torch.Generator().manual_seed(seed + 1))
per_image = F.kl_div(F.log_softmax(a_S, 1), F.softmax(a_T, 1), reduction="batchmean")
per_entry = (F.softmax(a_T, 1) * (F.log_softmax(a_T, 1) - F.log_softmax(a_S, 1))).mean()
print(f"KL by image {per_image:.3f}, by entry {per_entry:.3f}: a factor of {per_image / per_entry:.0f}")

# %% [markdown]
# With a cross-entropy beside it, such a distillation term is as good as switched off. The other: a schedule that multiplies the *first* learning rate at each drop has no second drop. Both stand in code of ARD that others build on, and in this project as tests (`tests/test_adversarial.py`).

# %% [markdown]
# ## Everything against everything
#
# Every student we have, on clean images, under white and Poisson noise, behind a square, on other people's digits, and under attack; accuracy in percent, mean over the networks.

# %%
noise = {"digits": 3, "mnist": 1}[dataset]
square = {"digits": 4, "mnist": 10}[dataset]
columns = {("clean", 0, ""): "clean", ("gaussian", noise, "dB"): f"white {noise} dB", ("poisson", noise, "dB"): f"Poisson {noise} dB",
           ("occlusion", square, "pixels"): f"{square} x {square} hidden", ("usps", 0, "test"): "USPS", ("pgd", at, "linf"): f"attack {at:g}"}
keyed = share.assign(where=[columns.get(k) for k in zip(share.perturbation, share.level, share.unit)]).dropna(subset=["where"])
big = keyed.groupby(["method", "where"]).accuracy.mean().unstack().reindex(columns=[c for c in columns.values() if c in set(keyed["where"])])
big.insert(0, "networks", keyed.groupby("method").seed.nunique())
big.reindex(figures.rank(big.index)).rename(index=lambda m: figures.style(m)["label"]).round(1)

# %% [markdown]
# AFTER_BIG

# %%
alone = big.drop(index=[m for m in big.index if "teacher" in m]).dropna(subset=[f"attack {at:g}"])
for column in [c for c in big.columns[1:] if not c.startswith("attack")]:
    print(f"rank correlation with accuracy under attack, over {len(alone)} kinds of students: {column:14} {alone[column].corr(alone[f'attack {at:g}'], method='spearman'):+.2f}")

# %% [markdown]
# AFTER_CORR

# %% [markdown]
# ## Exercise 1: back into the ball (three minutes)
#
# The projection in L2: shorten each image's perturbation to length $\varepsilon$ if it is longer, leave it alone if not.

# %%
def project(d, epsilon):
    return d             # (n, c, h, w)

check.project(project)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `d.flatten(1).norm(dim=1)` has one length an image; multiply by $\min(1, \varepsilon / \text{length})$, and mind the length zero.
#
# </details><details><summary>Solution</summary>
#
# ```python
# def project(d, epsilon):
#     length = d.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
#     return d * (epsilon / length).clamp_max(1)
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: how many passes? (one minute)
#
# A step of plain training takes one forward and one backward pass through the student. How many passes, forward and backward counted singly, does a step of adversarial training with ten attack steps take?

# %%
answer = None
check.attack_passes(answer)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Each attack step needs the gradient at the image: one forward, one backward. Then comes the step that trains.
#
# </details><details><summary>Solution</summary>
#
# ```python
# answer = 2 * 10 + 2
# ```
#
# </details>

# %% [markdown]
# CLOSING
