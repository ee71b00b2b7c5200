# %% [markdown]
# # Attacks
#
# > Is a student that resists noise a student that resists attack?
#
# **You'll do** an attack in eight lines, and train a student that stands it. **You'll learn** who breaks, whether robustness is inherited, and what distillation on attacked images costs. **You'll need** chapters 02 and 05.
#
# `read` half a minute · `smoke` about a minute · `full` trains ten networks on digits, about ten minutes on one core

# %% tags=["parameters"]
profile: str = "read"     # read, smoke or full
dataset: str = "digits"   # digits or mnist, or a folder of yours with one folder of pictures a class
epsilon: float = 0.15     # radius of the ball, per pixel
steps: int = 10           # of the attack
seed: int = 0  # of every random draw and of the networks; read has networks of seed 0
network: str = ""        # of the students; "": the data set's own; or yours, as "nets:student"
teacher_network: str = ""  # of their teacher

# %%
import copy
import torch
import torch.nn.functional as F
from rsnl_lib import data
from rsnl_lib.study import paper
from rsnl_lib.workbook import attack_figures, chapter, checkers, figures, palette, widgets
from rsnl_lib.workbook.chapter import load_or_train

chapter.parameters(globals(), profile=profile, dataset=dataset, epsilon=epsilon, steps=steps, seed=seed,
                   network=network, teacher_network=teacher_network)

# %% [markdown]
# Two teachers: the plain one saw clean images, the *robust teacher* attacked ones. Eight students: `kd` learns its teacher's scores, `robust` is the paper's student, the others are explained below; *by pgd_at* means taught by the robust teacher.

# %%
full = None if profile == "read" else data.load(dataset)
ask = lambda method, **how: load_or_train(dataset, method, seed, profile, full, **{"network": network, **how})
teacher = ask("teacher", network=teacher_network)
robust_teacher = ask("pgd_at", network=teacher_network or f"{dataset}_teacher")
nets = {"teacher": teacher, "robust_teacher": robust_teacher}
for method in ("kd", "robust", "noise_augmented", "pgd_at"):
    nets[method] = ask(method, teacher=teacher)
for method in ("kd", "robust", "ard", "fast_ard"):
    nets[f"{method} by pgd_at"] = ask(method, teacher=robust_teacher, by="pgd_at")

# %% [markdown]
# ## Part one: attacks
#
# ### The worst push
#
# Noise pushes an image in a random direction. An *attack* looks for the direction that hurts most, moves no pixel by more than $\varepsilon$, and gives the *attacked image* $x'$.
#
# *Projected gradient descent* (PGD, arXiv 1706.06083), here uphill, takes the gradient of the cross-entropy at the image. It moves each pixel by $\varepsilon / 4$ along the gradient's sign, so the loss rises. Then each pixel goes back to at most $\varepsilon$ from where it was, and into $[0, 1]$. With the student $S$, the cross-entropy $\mathcal H$ to the label $\mathbf y$, and $\Pi$ for going back:
#
# $$x' \leftarrow \Pi_{[0,1]}\; \Pi_{\|x' - x\|_\infty \le \varepsilon}\left(x' + \tfrac{\varepsilon}{4}\, \mathrm{sign}\, \nabla_{x'} \mathcal H(\mathbf y, S(x'))\right).$$

# %%
def attack(net, x, y, epsilon, steps):
    z = x.clone()
    for _ in range(steps):
        z.requires_grad_()
        g, = torch.autograd.grad(F.cross_entropy(net(z), y, reduction="sum"), z)
        z = z.detach() + epsilon / 4 * g.sign()
        z = (x + (z - x).clamp(-epsilon, epsilon)).clamp(0, 1)
    return z

# %% [markdown]
# Does the size of the push harm, or the direction? Random signs push as far as the attack may.

# %%
x, y = chapter.first_images(dataset, full)
signs = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).sign()
pushed = {"clean": x, "random push": (x + epsilon * signs).clamp(0, 1), "attack on KD": attack(nets["kd"], x, y, epsilon, steps)}
right = lambda m, name: nets[m](pushed[name]).argmax(1) == y
telling = right("kd", "random push") & ~right("kd", "attack on KD") & ~right("robust", "attack on KD")
sure = nets["ard by pgd_at"](pushed["attack on KD"]).softmax(1)[range(len(y)), y]
i = int((telling * sure).argmax())     # random signs do no harm, chosen ones do, but not to ARD
three = torch.stack([v[i] for v in pushed.values()])
scores = {m: nets[m](three).softmax(1).detach().numpy() for m in ("kd", "robust", "ard by pgd_at")}
palette.show(figures.score_bars(three, scores, [int(y[i])] * 3, titles=list(pushed)),
             alt="A digit, clean, pushed by random signs, and attacked: above the pictures, below the scores of KD, robust and ARD; random signs change no answer, the attack changes those of KD and robust, not ARD's")

# %% [markdown]
# Both pushes may move a pixel equally far; the digit was picked to show the difference. Only the chosen push makes KD and `robust` name another digit. ARD, a student trained on attacked images, hardly moves. Now all forty images, each network attacked through its own gradient:

# %%
for m in ("kd", "robust", "robust by pgd_at", "ard by pgd_at"):
    kept = [(nets[m](v).argmax(1) == y).float().mean().item() for v in (x, pushed["random push"], attack(nets[m], x, y, epsilon, steps))]
    print(f"{palette.style(m)['label']:22} clean {kept[0]:4.0%}   random push {kept[1]:4.0%}   attacked {kept[2]:4.0%}")

# %% [markdown]
# The paper's `robust` student falls almost as often as KD. Taught by the robust teacher it keeps half of the images.
#
# ### An attack, live
#
# Choose the network whose gradient is followed; the others see the same image. Move *epsilon* until the first mistake. The third picture is what changed: which strokes does it draw?

# %%
widgets.attacked(nets, x, y, epsilon, steps, first=("kd", "robust", "robust by pgd_at", "ard by pgd_at"))

# %% [markdown]
# Students trained on attacked images need a larger push, one that can be seen.
#
# ### Who breaks
#
# A network must not be judged by the attack it was trained on. From here on the attack is other people's code (the Adversarial Robustness Toolbox, arXiv 1807.01069): PGD of twenty steps from three random starts. A network *keeps* an image that it names right after all three.
#
# *PGD-AT* is adversarial training: cross-entropy at attacked images, no teacher (arXiv 1706.06083). *Target zero* is `robust` with zero in place of the teacher's gradient; *shuffled* takes that gradient at another image of the class. *Noise augmented* is KD on noisy images, *standard* learns labels alone. TRADES, ARD and Fast-ARD follow in part two.

# %%
palette.show(attack_figures.against_epsilon("digits", "Who saw attacked images in training keeps most of them"),
             alt="Digits, accuracy under attack against epsilon in three panels: students on clean images fall to 5 to 40 % at 0.15, those of the robust teacher to 10 to 40 %, those trained on attacked images keep more than half")

# %% [markdown]
# Read the ends of the lines, at the radius of the attacks in training (small bars: 95 % intervals). On the right everyone keeps more than half. On the left `robust` keeps a fifth, twice as many as KD; *target zero* and *shuffled* keep a third or more.

# %%
palette.show(attack_figures.against_epsilon("mnist", "On MNIST three students that saw clean images come close to those that saw attacked ones"),
             alt="MNIST, the same three panels: target zero and shuffled keep nine of ten images at the grey line, robust and KD about sixty of a hundred; those trained on attacked images keep more than 90 %, their robust teacher 88 %")

# %% [markdown]
# Read at the grey line, the radius in training. *Target zero*, *shuffled* and `robust` by the robust teacher keep about nine images of ten, as many as that teacher. `robust` by the plain teacher against KD: undecided.
#
# ### Does it only hide its gradient?
#
# A network with a useless gradient looks robust to an attack that follows it. Two checks: without a bound ($\varepsilon = 1$, the whole range of a pixel) every image must fall; and parts of AutoAttack (arXiv 2003.01690) may find hardly more: APGD chooses its own steps, Square needs no gradient.

# %%
for d in ("digits", "mnist"):
    left = attack_figures.at_level(d, "pgd", 1)
    print(f"{d:6}: {left.index.unique('method').size} kinds of networks, at most {left.max():.0f} % right without a bound")
palette.show(attack_figures.second_opinion(),
             alt="AutoAttack's parts against the plain attack, a mark a network, near the diagonal but for TRADES on digits and five easily broken networks on MNIST")

# %% [markdown]
# No sign of it: without a bound every image falls, and most marks lie near the line. A second attack may find more all the same. On MNIST networks that break easily lose up to ten points more; on digits TRADES loses its lead.
#
# ### Noise and attack
#
# Now the chapter's question. Each mark is a kind of student. The *rank correlation* is 1 if both accuracies order the students alike, near 0 if neither tells about the other.

# %%
tables = {d: attack_figures.elsewhere(d) for d in ("digits", "mnist")}
palette.show(attack_figures.attack_and_noise(tables),
             alt="Accuracy under attack against accuracy on clean images, in white noise, in Poisson noise and behind a square, digits above, MNIST below; rising clouds on digits, on MNIST in Poisson noise only")
for d, table in tables.items():
    print(f"{d:6}:", "   ".join(f"{place} {table[place].corr(table['under attack'], method='spearman'):+.2f}" for place in table.columns[1:]))

# %% [markdown]
# On digits the two go together: who resists attack also resists noise and, for the most part, a hidden square. On MNIST only Poisson noise agrees clearly, white noise in part, a hidden square hardly. Accuracy on clean images tells little in either.
#
# ### Inherited on clean images?
#
# Does a student become robust that sees clean images only, but learns from a robust teacher? It can learn that teacher's scores (KD) or its input gradient (`robust`).

# %%
palette.show(attack_figures.inherited(["kd", "kd by pgd_at", "robust", "robust by pgd_at", "target_zero", "target_zero by pgd_at", "shuffled", "pgd_at"],
                                      "Scores pass on little; a small gradient brings much, whoever the teacher is"),
             alt="Accuracy under attack, a dot a network: KD by the robust teacher little above KD; robust by it, target zero and shuffled far above; PGD-AT highest")

# %% [markdown]
# **Scores.** KD by the robust teacher gains 2.3 points over KD by the plain one on digits; on MNIST the difference is undecided.
#
# **Gradients.** `robust` by the robust teacher is far ahead of KD by the same teacher. But *target zero* by the plain teacher, which copies no gradient, is only 3.1 points behind it on digits; on MNIST the difference is undecided. A small gradient helps; that it is the teacher's adds little.
#
# **The right image.** *Shuffled* against `robust`: a gain of 13.3 points on digits and of 29.1 on MNIST. One possible reason: the teacher's gradient at the right image shows where the teacher itself falls, and `robust` copies that. That fits what the robust teacher gives: it falls less, and by it the two are level on digits.
#
# **Attacks in training.** PGD-AT is ahead of all of these on both data sets.

# %%
attack_figures.folded(attack_figures.neighbour_effects(("inheritance", "the paper")), "All differences: points of accuracy under attack, 95 % intervals over the seeds")

# %% [markdown]
# In print the answer is open. These are accuracies on CIFAR-10 of KD by a robust teacher, attacked within $8/255$: in ARD's paper and in a rerun of its code.

# %%
for cell in paper.neighbours():
    if cell["method"] == "kd" and "1905.09747" in cell["place"] and cell["network"] == "MobileNetV2" and cell["perturbation"] == "pgd":
        print(f"{cell['place']:28} {cell['value']:.2f} %   (read in {cell['read_at']})")

# %% [markdown]
# Ours on digits went as the rerun did; our CIFAR networks are not trained yet.
#
# ## Part two: distillation on attacked images
#
# ### ARD
#
# *Adversarially robust distillation* (ARD, arXiv 1905.09747) asks the student, at the attacked image $x'$, for what the teacher says at the clean image $x$:
#
# $$\alpha\, t^2\, \mathrm{KL}\!\left(T^t(x)\,\|\,S^t(x')\right) + (1 - \alpha)\, \mathcal H(\mathbf y, S(x)).$$
#
# $T^t$ and $S^t$ are the scores at temperature $t$; $\alpha$ is the first term's share; KL, the Kullback-Leibler divergence, is zero where both say the same.

# %%
def ard(a_T, a_adv, a_S, y, alpha=1.0, t=1.0):
    kl = F.kl_div(F.log_softmax(a_adv / t, 1), F.softmax(a_T / t, 1), reduction="batchmean")
    return alpha * t**2 * kl + (1 - alpha) * F.cross_entropy(a_S, y)

# %% [markdown]
# `batchmean` matters: without it PyTorch divides by images *and classes*, and on ten classes the term is ten times too small, as in ARD's published code (goldblum/AdversariallyRobustDistillation, `main.py`).
#
# Does the loss work? We take KD, which never saw an attack, and train it with $\alpha = t = 1$ on eighty batches of 8 by 8 digits, a few seconds.

# %%
digits = data.load("digits")
kd, guide = load_or_train("digits", "kd"), load_or_train("digits", "pgd_at", network="digits_teacher")
batches = torch.randint(len(digits.x_train), (80, 64), generator=torch.Generator().manual_seed(0))

def told(words, net):
    x, y = digits.x_test, digits.y_test
    clean, attacked = [100 * (net(v).argmax(1) == y).float().mean().item() for v in (x, attack(net, x, y, 0.15, 10))]
    print(f"{words:15} clean {clean:.0f} %   attacked {attacked:.0f} %   ({len(x)} test images)")

# %% tags=["nbval-ignore-output"]
told("KD", kd)
student = copy.deepcopy(kd)
optimiser = torch.optim.Adam(student.parameters(), 3e-3)
for i in batches:
    x_i, y_i = digits.x_train[i], digits.y_train[i]
    x_adv = attack(student, x_i, y_i, 0.15, 10)
    loss = ard(guide(x_i).detach(), student(x_adv), student(x_i), y_i)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
told("after ARD", student)

# %% [markdown]
# ### Fast-ARD
#
# Each of ARD's ten attack steps costs a pass forward and a pass backward. *Fast-ARD* (same paper, after arXiv 1904.12843) saves them: the backward pass that trains the student also gives the gradient at the image. One step along its sign moves a perturbation $\delta$ that is kept; each batch comes four times, so that $\delta$ fits it.

# %% tags=["nbval-ignore-output"]
student = copy.deepcopy(kd)
optimiser = torch.optim.Adam(student.parameters(), 3e-3)
delta = torch.zeros(64, 1, 8, 8)
for i in batches.repeat_interleave(4, dim=0):
    x_i, y_i = digits.x_train[i], digits.y_train[i]
    x_adv = (x_i + delta).clamp(0, 1).requires_grad_()
    loss = ard(guide(x_i).detach(), student(x_adv), student(x_i), y_i)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    delta = (delta + 0.15 * x_adv.grad.sign()).clamp(-0.15, 0.15)
told("after Fast-ARD", student)

# %% [markdown]
# Fast-ARD took four times as many training steps as ARD. It needed fewer passes all the same, because no step holds an attack of ten.
#
# ### Five relatives, and what each costs
#
# TRADES (arXiv 1901.08573) has no teacher: at $x'$ it asks for the student's own answer at $x$, and at $x$ for the label. RSLAD (arXiv 2108.07969) is ARD with the teacher's scores in place of every label. IAD (arXiv 2106.04928) is ARD that asks the student for its own answer at $x$ where the teacher errs at $x'$. AdaAD (Huang et al., CVPR 2023) attacks where student and teacher differ most, and asks the teacher there. IGDM (arXiv 2312.03286) adds to AdaAD a term that matches the input gradients of the two.

# %%
shown = ["kd", "robust", "fast_ard by pgd_at", attack_figures.SHORT, "pgd_at", "trades", *(f"{m} by pgd_at" for m in ("ard", "rslad", "iad", "adaad", "igdm"))]
palette.show(attack_figures.price_dots(attack_figures.prices(shown), "Fast-ARD gives most of ARD's robustness in KD's time"),
             alt="Training time and accuracy under attack on digits: Fast-ARD takes as long as KD and keeps 54 % where KD keeps 9 %; PGD-AT, ARD and their relatives keep about 60 % at seven to seventeen times the time")

# %% [markdown]
# Fast-ARD against ARD: a loss of 7.3 points. Against PGD-AT cut to the same time: a gain of 19.7. On MNIST both are smaller and have the same sign.
#
# ARD against PGD-AT, where the label takes the teacher's place: undecided on both data sets. RSLAD, IAD, AdaAD and IGDM, each against ARD: undecided, and the last two take more than twice ARD's time. TRADES against PGD-AT: a gain of 2.9 points, which AutoAttack's parts took back in the one seed they saw.

# %%
attack_figures.folded(attack_figures.neighbour_effects(("attacked images",)), "All differences: points of accuracy, 95 % intervals over the seeds")

# %% [markdown]
# ## Exercise 1: make KD see a 3 (ten minutes)
#
# An attack can also aim. Write PGD that makes `net` see class `k` in every image: steps of $\varepsilon / 4$ from the image itself, within $\varepsilon$ a pixel and $[0, 1]$. The checker turns it on KD.

# %%
def aimed(net, x, k, epsilon, steps):
    return x             # (n, 1, 8, 8)

checkers.aimed(aimed)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Start from the eight lines above. The label is `k` for each image, `torch.full((len(x),), k)`, and the cross-entropy to it shall fall.
#
# </details><details><summary>Solution</summary>
#
# ```python
# def aimed(net, x, k, epsilon, steps):
#     goal = torch.full((len(x),), k)
#     z = x.clone()
#     for _ in range(steps):
#         z.requires_grad_()
#         loss = torch.nn.functional.cross_entropy(net(z), goal, reduction="sum")
#         g, = torch.autograd.grad(loss, z)
#         z = z.detach() - epsilon / 4 * g.sign()
#         z = (x + (z - x).clamp(-epsilon, epsilon)).clamp(0, 1)
#     return z
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: another ball (three minutes)
#
# The projection in L2: shorten each image's perturbation to length $\varepsilon$ if it is longer, leave it alone if not.

# %%
def project(d, epsilon):
    return d             # (n, c, h, w)

checkers.project(project)

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
# ## Exercise 3: how many passes? (one minute)
#
# A step of plain training takes one forward and one backward pass. How many passes, counted singly, does a step of PGD-AT with ten attack steps take?

# %%
answer = None
checkers.attack_passes(answer)

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
# **What you take along.** Is a student that resists noise a student that resists attack? On small digits mostly, on MNIST only in part. A robust teacher's scores pass on little; a small input gradient brings much. Training on attacked images brings most, and Fast-ARD brings the greater part of that in about KD's time. Judge each by an attack that it has not met. Next: [08_boundary](08_boundary.ipynb) asks where two networks draw the line.
