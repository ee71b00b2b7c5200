# %% [markdown]
# # The losses: what does each term pull on?
#
# > Eq. 17 is a sum of three wishes: imitate the teacher's scores, beat its score, share its input gradient. What does each of them do to a student, on one image and on a batch?
#
# **You'll do** pull a student's logits with each term, move $\tau$, $\gamma$ and $\lambda$, and check a derivative of a derivative by hand. **You'll learn** why the hinge is nearly a constant under a confident teacher, and what matching gradients at $\tau$ does not give. **You'll need** the softmax and the chain rule.
#
# `read` a few seconds · `smoke` and `full` under a minute

# %% tags=["parameters"]
profile: str = "read"     # read, smoke or full
dataset: str = "digits"   # digits or mnist
seed: int = 0             # of training and every draw
tau: float = 3.0          # temperature of Eqs. 4 and 16
gamma: float = 0.1        # margin of Eq. 15
lam: float = 4.0          # lambda of Eq. 3, at the first epoch

# %%
import numpy as np
import torch
from rsnl_lib import data, geometry, theorem
from rsnl_lib.train import losses
from rsnl_lib.workbook import chapter, checkers, figures, palette, theorem_figures, widgets
from rsnl_lib.workbook.chapter import load_or_train

chapter.parameters(globals(), profile=profile, dataset=dataset, seed=seed, tau=tau, gamma=gamma, lam=lam)

# %%
full = None if profile == "read" and dataset != "digits" else data.load(dataset)
net_T = load_or_train(dataset, "teacher", seed, profile, full)
nets = {name: load_or_train(dataset, name, seed, profile, full, net_T) for name in ("standard", "kd", "robust")}
x, y = data.gallery(dataset)
print(f"{len(x)} test images")

# %% [markdown]
# ## The terms on one batch
#
# > $\mathcal L_{KD} = H(o_S, y) + \lambda H(\tau(o_S), \tau(o_T))$ (Eq. 3), with $\tau(o)_j \propto e^{a_j/\tau}$ (Eq. 4); $\mathcal L_S = \frac1n\sum \max(0, \gamma + f_T - f_S)$ (Eq. 15); $\mathcal L_G = \frac1n\sum\|\nabla_x f_S^\tau - \nabla_x f_T^\tau\|^2$ (Eq. 16).

# %% tags=["computed"]
a_T, g_T = geometry.input_gradient(net_T, x, y, tau)
print("student     cross-entropy   soft   L_S     L_G")
for name, net in nets.items():
    a_S, g_S = geometry.input_gradient(net, x, y, tau)
    f_S, f_T = geometry.score(a_S, y), geometry.score(a_T, y)
    print(f"{name:10} {torch.nn.functional.cross_entropy(a_S, y):10.3f} {losses.soft_cross_entropy(a_S, a_T, tau):10.3f} "
          f"{losses.score_loss(f_S, f_T, gamma):7.3f} {losses.gradient_loss(g_S, g_T):8.4f}")

# %% [markdown]
# $\mathcal L_G$ is three times smaller for the student trained on it. $\mathcal L_S$ lies between 0.106 and 0.155, and most of that no student can avoid, as we shall see.
#
# ## What pulls where
#
# A term reaches the weights through the student's logits $a_S$ (but for $\mathcal L_G$, below). Its pull is minus its derivative:
#
# $$\underbrace{\mathbf 1_y - o_S}_{\text{cross-entropy}} \qquad \underbrace{\tfrac{\lambda}{\tau}\big(\tau(o_T) - \tau(o_S)\big)}_{\lambda\,\times\,\text{soft}} \qquad \underbrace{[\gamma + f_T > f_S]\; f_S\,(\mathbf 1_y - o_S)}_{\mathcal L_S}$$

# %%
a_S = nets["kd"](x).detach()
unsure = int(geometry.score(a_S, y).argmin())
widgets.pulls(a_S, a_T.detach(), x, y, tau, gamma, lam, first=unsure)

# %% [markdown]
# First shown is the image on which the KD student is least sure. The hinge pulls in the direction of cross-entropy, only weaker: it is $f_S$ times the same vector, so where the student is sure, $1 - f_S \approx 0$, it pulls on nothing, and where the student is wrong, $f_S \approx 0$, it pulls on nothing either. The soft term is the only one with an opinion on the wrong classes. Raise $\tau$ and its pull fades like $1/\tau^2$ (Hinton multiplies by $\tau^2$ for that reason; the paper does not). Lower $\gamma$ to 0 and the hinge closes on images where the student leads.

# %%
def by_autograd(term):
    a = a_S.double().clone().requires_grad_()
    return -torch.autograd.grad(term(a), a)[0] * len(a)

f_T = geometry.score(a_T.detach().double(), y)
written = [widgets.pull(s, t, int(k), tau, gamma, lam) for s, t, k in zip(a_S.double(), a_T.detach().double(), y)]
for name, term in (("cross-entropy", lambda a: torch.nn.functional.cross_entropy(a, y)),
                   ("lambda x soft cross-entropy", lambda a: lam * losses.soft_cross_entropy(a, a_T.detach().double(), tau)),
                   ("L_S, the hinge", lambda a: losses.score_loss(geometry.score(a, y), f_T, gamma))):
    difference = (torch.stack([w[name] for w in written]) - by_autograd(term)).abs().max()
    print(f"{name:28} formula and autograd agree: {difference < 1e-12}")

# %% [markdown]
# ## The hinge under a confident teacher
#
# A score is below 1, so $\max(0, \gamma + f_T - f_S)$ cannot fall below $\max(0, \gamma + f_T - 1)$. Where $f_T > 1 - \gamma$ the hinge never closes, and what is left of it is the constant $\gamma + f_T$ minus $f_S$: its gradient no longer knows the teacher or $\gamma$.

# %%
sample = (full.x_train, full.y_train) if full else (x, y)
with torch.no_grad():
    f_S, f_T = (geometry.score(net(sample[0][:2000]), sample[1][:2000]) for net in (nets["standard"], net_T))
gammas = [0.01, 0.05, 0.1, 0.3, 0.5, 0.9]
table = [((f_T > 1 - g).float().mean().item(), losses.score_floor(f_T, g).item(), losses.score_loss(f_S, f_T, g).item()) for g in gammas]
for g, (stuck, floor, value) in zip(gammas, table):
    print(f"gamma {g:4}: never closes on {100 * stuck:5.1f} %   floor {floor:.4f}   L_S of the standard student {value:.4f}")

# %%
palette.show(theorem_figures.named_curves(gammas, {"floor, any student": ("sound", [t[1] for t in table]), "L_S, standard student": ("standard", [t[2] for t in table])},
                            "$\\gamma$", "$\\mathcal{L}_S$", title=f"{dataset}, {profile}, {len(f_T)} images"),
             alt="L_S of the standard student and the floor no student can pass, against gamma: the two lines nearly coincide")

# %% [markdown]
# The two lines are nearly one. Of the $\mathcal L_S$ that is logged during training almost everything is floor; training logs the floor beside it (`score_floor`). What the hinge can still do is the little between the lines.

# %% [markdown]
# ## The gradient term
#
# $\mathcal L_G$ does not pull on the score but on its slope: on how $f_S^\tau$ changes from pixel to pixel. Below: the teacher's input gradient, two students', and what is left for $\mathcal L_G$ to pull on, $2(\nabla f_T^\tau - \nabla f_S^\tau)$.

# %%
few = [int((y == c).nonzero()[0]) for c in (0, 3, 5, 8)]
g = {name: geometry.input_gradient(net, x[few], y[few], tau)[1][:, 0] for name, net in (("teacher", net_T), *nets.items())}
shown = {"teacher": g["teacher"], "KD": g["kd"], "pull on KD": 2 * (g["teacher"] - g["kd"]), "robust": g["robust"], "pull on robust": 2 * (g["teacher"] - g["robust"])}
palette.show(figures.gradient_pictures(x[few, 0], shown, [f"a {int(y[i])}" for i in few]),
             alt="Input gradients of teacher, KD and robust student for four digits, and what L_G still pulls on")

# %% [markdown]
# The robust student has taken over the teacher's pattern; what is left to pull on is paler than for KD. Orange pixels raise the true class's score, purple ones lower it.

# %%
norms = {name: (grad - g["teacher"]).flatten(1).norm(dim=1) for name, grad in g.items() if name != "teacher"}
print("   ".join(f"{name}: gap {n.mean():.3f}" for name, n in norms.items()))

# %% [markdown]
# ### A derivative of a derivative
#
# $\nabla_x f_S$ is itself computed by backpropagation. To lower $\mathcal L_G$ we need its derivative with respect to the weights: differentiate the backward pass. With `create_graph=True` autograd does just that. Check one weight with a central difference, in double precision:

# %% tags=["computed"]
def L_G(net):
    _, g_S = geometry.input_gradient(net, x.double(), y, tau, create_graph=True)
    return losses.gradient_loss(g_S, g_T.double())

net = theorem.exact(nets["kd"]).train()
weight = next(p for p in net.parameters())
exact, = torch.autograd.grad(L_G(net), weight)
where, h = np.unravel_index(int(exact.abs().argmax()), exact.shape), 1e-6
ends = []
for step in (h, -2 * h):
    weight.data[where] += step
    ends.append(L_G(net).item())
ends = (ends[0] - ends[1]) / (2 * h)
print(f"double backprop {exact[where].item():+.4f}   central difference {ends:+.4f}   apart by less than a millionth of it: {abs(exact[where].item() - ends) < 1e-6 * abs(ends)}")

# %% [markdown]
# Without `create_graph` the input gradient is a plain number to autograd, and $\mathcal L_G$ would reach no weight at all:

# %%
_, g_S = geometry.input_gradient(nets["kd"], x, y, tau)
print("L_G needs the graph of the gradient; without it, requires_grad is", losses.gradient_loss(g_S, g_T).requires_grad)

# %% [markdown]
# ## Matching at τ is not what the theorem needs
#
# Theorem 1 speaks of $\nabla f$, Eq. 16 matches $\nabla f^\tau$. For two classes $f = \sigma(u)$ and $\nabla f^\tau = \tfrac1\tau\sigma'(u/\tau)\nabla u$. Let the student stand at $u_S = 0$ and the teacher at $u_T = 4$, with gradients scaled so that the tempered ones agree at $\tau = 4$:

# %%
slope = lambda u, t: torch.sigmoid(torch.tensor(u / t)) * torch.sigmoid(torch.tensor(-u / t)) / t
w_S = 1.0
w_T = w_S * slope(0.0, 4) / slope(4.0, 4)
print(f"gap at tau = 4: {abs(slope(0.0, 4) * w_S - slope(4.0, 4) * w_T):.4f}   gap at tau = 1: {abs(slope(0.0, 1) * w_S - slope(4.0, 1) * w_T):.4f}")

# %% [markdown]
# The tempered gap is zero, the true one is not. And over the forty images, does a small gap at τ go with a small one in probability, as Eq. 7 has it, and in logits, where the certificate is tightest?

# %%
gaps = {space: theorem.eq7_terms(nets["robust"], net_T, x, y, space, tau).gap for space in geometry.SPACES}
ranks = torch.stack(list(gaps.values())).argsort(1).argsort(1).double()
for name, r in zip(gaps, torch.corrcoef(ranks)[2]):
    print(f"rank correlation of the gap at tau with the gap in {name}: {r:+.2f}")

# %% [markdown]
# In probability it does, in logits hardly: the images with the largest tempered gaps are those where a score is on the move, not those where the head start in logits is steep.

# %% [markdown]
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
# ## Exercise 2: the floor (two minutes)
#
# The teacher scores 0.97 on every image and $\gamma = 0.1$. How low can $\mathcal L_S$ get?

# %%
floor = None
checkers.floor(floor)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The best student has $f_S \to 1$.
#
# </details><details><summary>Solution</summary>
#
# ```python
# floor = 0.1 + 0.97 - 1
# ```
#
# </details>

# %% [markdown]
# **What does each term pull on?** Cross-entropy and the soft term pull on the logits, the soft one alone on the wrong classes; $\mathcal L_S$ repeats cross-entropy more weakly and is nearly a constant under a confident teacher; $\mathcal L_G$ pulls on the slope, at a temperature that the theorem does not know. [03](03_training.ipynb) trains with all of them.
