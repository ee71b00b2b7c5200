# %% [markdown]
# # The losses: what does each term pull on?
#
# > The robust student's objective (Eq. 17) asks for four things: name the true class, imitate the teacher's scores, beat its score of the true class, share its input gradient. What does each term do to a student, on one image and on a batch?
#
# **You'll do** pull a student's logits with each term, and write $\mathcal L_G$. **You'll learn** why the hinge is nearly a constant, and what matching gradients at $\tau$ does not give. **You'll need** the softmax and the chain rule.
#
# `read` a few seconds · `smoke` and `full` under a minute

# %% tags=["parameters"]
profile: str = "read"     # read, smoke or full
dataset: str = "digits"   # digits or mnist
seed: int = 0             # of every random draw and of the networks; read has networks of seed 0
tau: float = 3.0          # temperature of Eqs. 4 and 16
gamma: float = 0.1        # margin of Eq. 15
lam: float = 4.0          # lambda of Eq. 3, with which training starts

# %%
import torch
from rsnl_lib import data, geometry, theorem
from rsnl_lib.train import losses
from rsnl_lib.workbook import chapter, checkers, figures, margin_figures, palette, theorem_figures, widgets
from rsnl_lib.workbook.chapter import load_or_train

chapter.parameters(globals(), profile=profile, dataset=dataset, seed=seed, tau=tau, gamma=gamma, lam=lam)

# %% [markdown]
# One training run each: the teacher, a *standard* student that saw labels only, a student of knowledge distillation (*KD*, arXiv 1503.02531), and the paper's *robust* student. The images are scanned digits of 8 by 8 pixels.

# %%
full = None if profile == "read" and dataset != "digits" else data.load(dataset)
net_T = load_or_train(dataset, "teacher", seed, profile, full)
nets = {name: load_or_train(dataset, name, seed, profile, full, net_T) for name in ("standard", "kd", "robust")}
x, y = data.gallery(dataset)
a_T = net_T(x).detach()
print(f"{len(x)} test images; images x {tuple(x.shape)}, the teacher's logits a_T {tuple(a_T.shape)}")

# %% [markdown]
# ## The score, without and with a temperature
#
# A network answers an image $x$ with its logits $a$, one number a class. The score $f_S = \mathrm{softmax}(a_S)_y$ is the student's probability for the true class $y$; it has no temperature in $\mathcal L_S$ (Eq. 15), and $\tau$ in $\mathcal L_G$ (Eq. 16), where we write $f_S^\tau = \mathrm{softmax}(a_S/\tau)_y$. The teacher's score $f_T$ is read off $a_T$.

# %% tags=["computed"]
def score(a, y, tau=1.0):
    return torch.softmax(a / tau, dim=1)[range(len(y)), y]

for t in (1.0, tau, 10.0):
    print(f"tau {t:4.1f}: the teacher's mean score {score(a_T, y, t).mean():.3f}")

# %% [markdown]
# A larger $\tau$ makes every answer less sure.
#
# ## What pulls where
#
# | term, a batch's mean | asks the student to |
# | --- | --- |
# | cross-entropy, $-\log f_S$ | name the true class |
# | soft term, $\lambda H(\tau(o_S), \tau(o_T))$, the cross-entropy of both answers softened (Eqs. 3 and 4) | copy the teacher's whole answer |
# | $\mathcal L_S$, the hinge, $\max(0, \gamma + f_T - f_S)$ (Eq. 15) | beat the teacher's score by $\gamma$ |
# | $\mathcal L_G$, $\lVert\nabla_x f_S^\tau - \nabla_x f_T^\tau\rVert^2$ (Eq. 16) | share the teacher's input gradient |
#
# The first three reach the weights through $a_S$ only. Their pull on $a_S$ is minus the derivative, with $o = \mathrm{softmax}(a)$, $\tau(o) = \mathrm{softmax}(a/\tau)$, and $\mathbf 1_y$ one at class $y$, zero elsewhere:
#
# $$\underbrace{\mathbf 1_y - o_S}_{\text{cross-entropy}} \qquad \underbrace{\tfrac{\lambda}{\tau}\big(\tau(o_T) - \tau(o_S)\big)}_{\text{soft term}} \qquad \underbrace{[\gamma + f_T > f_S]\; f_S\,(\mathbf 1_y - o_S)}_{\mathcal L_S}$$

# %%
a_S = nets["kd"](x).detach()
unsure = int(score(a_S, y).argmin())
widgets.pulls(a_S, a_T, x, y, tau, gamma, lam, first=unsure)

# %% [markdown]
# The bars show the image on which the KD student is least sure. The hinge pulls in cross-entropy's direction, but only $f_S$ times as hard. So it hardly pulls where the student is surely wrong. Where the student is surely right, neither of the two does. Only the soft term knows what the teacher thinks of the wrong classes. At large $\tau$ its pull fades like $1/\tau^2$, once by the factor $\lambda/\tau$ and once because the softened answers draw together. KD's authors multiply by $\tau^2$ for that reason, the paper does not.
#
# Autograd agrees with the three formulas on all images:

# %%
def by_autograd(term):
    a = a_S.double().clone().requires_grad_()
    return -torch.autograd.grad(term(a), a)[0] * len(a)

f_T, soft = score(a_T.double(), y), a_T.double()
written = [widgets.pull(s, t, int(k), tau, gamma, lam) for s, t, k in zip(a_S.double(), soft, y)]
for name, term in (("cross-entropy", lambda a: -score(a, y).log().mean()),
                   ("lambda x soft cross-entropy", lambda a: lam * losses.soft_cross_entropy(a, soft, tau)),
                   ("L_S, the hinge", lambda a: (gamma + f_T - score(a, y)).clamp(min=0).mean())):
    difference = (torch.stack([w[name] for w in written]) - by_autograd(term)).abs().max()
    print(f"{name:28} largest difference {difference:.12f}")

# %% [markdown]
# ## The hinge under a confident teacher
#
# A score is below 1, so the hinge cannot fall below its floor $\max(0, \gamma + f_T - 1)$. Where $f_T > 1 - \gamma$ it never closes: it is its floor plus $1 - f_S$, and that rest no longer depends on the teacher or $\gamma$.

# %% tags=["computed"]
def hinge(f_S, f_T, gamma):
    return (gamma + f_T - f_S).clamp(min=0).mean()              # Eq. 15

x_seen, y_seen = (full.x_train[:2000], full.y_train[:2000]) if full else (x, y)
with torch.no_grad():
    f = {name: score(net(x_seen), y_seen) for name, net in {"teacher": net_T, **nets}.items()}
gammas = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.9]
floor = [hinge(torch.tensor(1.0), f["teacher"], g).item() for g in gammas]
above = {name: [hinge(f[name], f["teacher"], g).item() - low for g, low in zip(gammas, floor)] for name in nets}
for name in nets:
    print(f"{name:10} at gamma 0.1: L_S {above[name][4] + floor[4]:.4f} = floor {floor[4]:.4f} + {above[name][4]:.4f}")

# %%
curves = {"floor, any student": ("sound", floor)} | {f"{palette.style(m)['label']}: $L_S$ minus floor": (m, v) for m, v in above.items()}
palette.show(theorem_figures.named_curves(gammas, curves, "$\\gamma$", "loss (log axis)", xscale="log", yscale="log",
                                          title=f"The floor of $L_S$ grows with $\\gamma$, the rest does not\n({dataset}, {len(x_seen)} training images, seed {seed})"),
             alt="On a log axis the floor of L_S rises with gamma to nearly 0.9; what each student has above it stays flat, below a hundredth")

# %% [markdown]
# The blue floor rises with $\gamma$; what each student has above it is flat and small, and here largest for the robust student, which was trained on it. At the workbook's $\gamma$ nearly all of the $\mathcal L_S$ that training logs is floor, logged beside it as `score_floor`.
#
# ## The gradient term, by hand
#
# $\mathcal L_G$ pulls on the slope of the score: on how $f_S^\tau$ changes with each pixel. To compute $\mathcal L_G$, run each network forward, take `torch.autograd.grad` of the summed $f^\tau$ with respect to the images (with `create_graph=True` for the student), sum the squared differences over the pixels, and take the mean over the images.

# %%
def L_G(net_S, net_T, x, y, tau):
    g = []
    for net, keep in ((net_S, True), (net_T, False)):
        z = x.clone().requires_grad_()
        f = torch.softmax(net(z) / tau, dim=1)[range(len(y)), y]
        g += torch.autograd.grad(f.sum(), z, create_graph=keep)      # one gradient an image
    return (g[0] - g[1]).square().sum(dim=(1, 2, 3)).mean()          # Eq. 16

# %% tags=["computed"]
g_T = geometry.input_gradient(net_T, x, y, tau)[1]
for name, net in nets.items():
    mine, theirs = L_G(net, net_T, x, y, tau), losses.gradient_loss(geometry.input_gradient(net, x, y, tau)[1], g_T)
    print(f"{name:10} L_G by hand {mine:.4f}   the library's {theirs:.4f}   difference {abs(mine - theirs):.6f}")

# %% [markdown]
# $\mathcal L_G$ is three times smaller for the student trained on it. Below are the gradients of four digits, and the differences along which $\mathcal L_G$ pulls. Each column has its own scale, given above it.

# %% tags=["computed"]
few = [int((y == c).nonzero()[0]) for c in (0, 3, 5, 8)]
g = {name: geometry.input_gradient(net, x[few], y[few], tau)[1][:, 0] for name, net in (("teacher", net_T), *nets.items())}
for name in ("kd", "robust"):
    gaps = (g[name] - g["teacher"]).flatten(1).norm(dim=1)
    print(f"{name:7} length of the difference:", "  ".join(f"a {int(y[i])}: {v:.2f}" for i, v in zip(few, gaps)))

# %%
shown = {"teacher": g["teacher"], "KD": g["kd"], "teacher\n- KD": g["teacher"] - g["kd"],
         "robust": g["robust"], "teacher\n- robust": g["teacher"] - g["robust"]}
palette.show(figures.gradient_pictures(x[few, 0], shown, [f"a {int(y[i])}" for i in few], f"Input gradients at $\\tau$ = {tau:g}: where the robust student still differs from its teacher"),
             alt="Input gradients of teacher, KD and robust student for four digits, and the differences to the teacher's: the robust student's are paler than KD's, most clearly for the 3 and the 8")

# %% [markdown]
# Orange pixels raise the true class's score, purple ones lower it. On all four digits the robust student differs less from its teacher than KD's student does, most clearly in the second and the last column.
#
# ### A derivative of a derivative
#
# To lower $\mathcal L_G$ we need its derivative with respect to the weights, and $\nabla_x f_S^\tau$ is itself a derivative. `create_graph=True` lets autograd differentiate the backward pass. A central difference at one weight, in double precision, agrees:

# %% tags=["computed"]
net, teacher = theorem.exact(nets["kd"]), theorem.exact(net_T)
weight = next(net.parameters())
exact, = torch.autograd.grad(L_G(net, teacher, x.double(), y, tau), weight)
where, h, ends = int(exact.abs().argmax()), 1e-6, []
for step in (h, -2 * h):
    weight.data.view(-1)[where] += step
    ends.append(L_G(net, teacher, x.double(), y, tau).item())
central = (ends[0] - ends[1]) / (2 * h)
print(f"double backprop {exact.view(-1)[where]:+.6f}   central difference {central:+.6f}")

# %%
for keep in (True, False):
    g_S = geometry.input_gradient(nets["kd"], x, y, tau, create_graph=keep)[1]
    loss, weights = losses.gradient_loss(g_S, g_T), list(nets["kd"].parameters())
    reached = torch.autograd.grad(loss, weights, allow_unused=True) if loss.requires_grad else [None] * len(weights)
    print(f"create_graph={keep}: L_G reaches {sum(r is not None for r in reached)} of {len(weights)} weight tensors")

# %% [markdown]
# Without `create_graph` the input gradient is a plain number to autograd, and $\mathcal L_G$ reaches no weight at all.
#
# ## Matching at τ is not what the theorem needs
#
# Theorem 1 speaks of $\nabla f$, Eq. 16 matches $\nabla f^\tau$. Take two classes whose logits differ by $u$: $\nabla f^\tau = \tfrac1\tau\sigma'(u/\tau)\nabla u$. Let $u_S = 0$ and $u_T = 4$, and scale $\nabla u_T$ until the gradients agree at $\tau = 4$:

# %%
def slope(u, t):
    s = torch.sigmoid(torch.tensor(u / t))
    return s * (1 - s) / t

w_S, w_T = 1.0, slope(0.0, 4) / slope(4.0, 4)
for t in (4, 1):
    print(f"tau {t}: gradients {slope(0.0, t) * w_S:.4f} and {slope(4.0, t) * w_T:.4f}, gap {abs(slope(0.0, t) * w_S - slope(4.0, t) * w_T):.4f}")

# %% [markdown]
# The gap at $\tau = 4$ is zero, the true one is not. On real images, does a small gap at $\tau$ go with a small one in probability, as in Eq. 7, and in logits, where chapter 01's certificate reaches farther?

# %% tags=["computed"]
gaps = {space: theorem.eq7_terms(nets["robust"], net_T, x, y, space, tau).gap for space in geometry.SPACES}
ranks = torch.stack(list(gaps.values())).argsort(1).argsort(1).double()
points = {f"in {word}: rank correlation {r:+.2f}": ("robust", gaps["tempered"], gaps[space])
          for word, space, r in zip(("probability", "logits"), geometry.SPACES, torch.corrcoef(ranks)[2])}
print("\n".join(points))

# %%
palette.show(margin_figures.log_pairs(points, f"gap at $\\tau$ = {tau:g}", "gap", f"A small gap at $\\tau$ says little about the gap in logits\n{dataset}, robust student, {len(x)} test images", diagonal=False),
             alt="The gap of each image at tau against its gap in probability, which lies along a line, and in logits, which is a cloud")

# %% [markdown]
# In probability, as in Eq. 7, the images lie along a line: a small gap at $\tau$ goes with a small one there. In logits they form a cloud: a student may match its teacher at $\tau$ and still have a large gap.
#
# ## Exercise 1: where does the hinge pull? (five minutes)
#
# Write the pull of $\mathcal L_S$ on the logits of one image: `function(o_S, f_T, y, gamma)` with `o_S` (k,) the student's probabilities; return (k,).

# %%
def hinge_pull(o_S, f_T, y, gamma):
    return o_S * 0       # zero where the hinge is closed

checkers.hinge_pull(hinge_pull)

# %% [markdown]
# <details><summary>Hint</summary>
#
# $\partial f_S / \partial a_j = f_S([j = y] - o_j)$, and the pull is minus the derivative of $\gamma + f_T - f_S$.
#
# </details><details><summary>Solution</summary>
#
# ```python
# def hinge_pull(o_S, f_T, y, gamma):
#     truth = torch.zeros_like(o_S)
#     truth[y] = 1
#     return o_S[y] * (truth - o_S) if gamma + f_T > o_S[y] else truth * 0
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: write $\mathcal L_G$ (ten minutes)
#
# Write Eq. 16 without scrolling up: `function(net_S, net_T, x, y, tau)` returns one number. It must match the library's to a millionth, and so must its derivative with respect to the student's weights.

# %%
def gradient_term(net_S, net_T, x, y, tau):
    return 0.0           # forward, gradient to the images, squared length, mean

checkers.gradient_term(gradient_term)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `z = x.clone().requires_grad_()`; then `g, = torch.autograd.grad(f.sum(), z, create_graph=True)` has one gradient an image.
#
# </details><details><summary>Solution</summary>
#
# ```python
# def gradient_term(net_S, net_T, x, y, tau):
#     g = []
#     for net in (net_S, net_T):
#         z = x.clone().requires_grad_()
#         f = torch.softmax(net(z) / tau, dim=1)[range(len(y)), y]
#         g += torch.autograd.grad(f.sum(), z, create_graph=True)
#     return (g[0] - g[1]).square().sum(dim=(1, 2, 3)).mean()
# ```
#
# </details>

# %% [markdown]
# **What does each term pull on?** Cross-entropy and the soft term pull on the logits, the soft term towards the teacher's. $\mathcal L_S$ repeats cross-entropy more weakly and is nearly a constant under a confident teacher. $\mathcal L_G$ pulls on the slope of the score, at a temperature that is not in Theorem 1. [03](03_training.ipynb) trains with all of them.
