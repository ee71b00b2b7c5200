# %% [markdown]
# # The boundary
#
# > Does a student that shares its teacher's boundary share its robustness?
#
# **You'll do** a walk from an image to the decision boundary, step by step, for several networks at once. **You'll learn** what a boundary-supporting sample is (BSS, arXiv 1805.05532), how MagSim and AngSim compare two boundaries, and what such agreement says about noise, attack and certificate. **You'll need** chapter 02; chapter 07 for the attacks.
#
# `read` a few seconds · `smoke` under a minute · `full` trains four networks on digits, about three minutes on one core

# %% tags=["parameters"]
profile: str = "read"     # read, smoke or full
dataset: str = "digits"   # digits or mnist
image: int = 0            # of the gallery, where the first walk starts
seed: int = 0

# %%
import statistics
import torch
from rsnl_lib import boundary, check, claims, data, figures, jobs, reproduce, settings, store, verdicts, widgets
from rsnl_lib.train import load_or_train

settings.parameters(globals(), profile=profile, dataset=dataset, image=image, seed=seed)

# %%
full = None if profile == "read" else data.load(dataset)
nets = {"teacher": load_or_train(dataset, "teacher", seed, profile, full)}
for method in ("kd", "robust", "bss"):
    nets[method] = load_or_train(dataset, method, seed, profile, full, nets["teacher"])
x, y = data.gallery(dataset)

# %% [markdown]
# ## One step
#
# Between class $b$ and class $k$ a network decides by the gap of their logits, $L_k = f_b - f_k$. To get to where it is zero, walk against its gradient. The paper's step is $\eta\,(L_k + \epsilon)$ long; for a score that were linear, Newton's step $(L_k + \epsilon)/\|\nabla L_k\|$ would land on the boundary at once, whatever the scale of the logits:
#
# $$x \leftarrow x - \frac{L_k(x) + \epsilon}{\|\nabla L_k(x)\|}\cdot\frac{\nabla L_k(x)}{\|\nabla L_k(x)\|}.$$

# %%
def step(net, x, b, k, eps=1e-4):
    x = x.clone().requires_grad_()
    a = net(x)[0]
    g, = torch.autograd.grad(a[b] - a[k], x)
    return (x - (a[b] - a[k] + eps) / g.norm() ** 2 * g).detach()

b = int(y[image])
k = (b + 1) % 10
at, walked = x[image:image + 1], []
for i in range(4):
    with torch.no_grad():
        a = nets["teacher"](at)[0]
    walked.append(f"step {i}: f_{b} - f_{k} = {a[b] - a[k]:+.4f}, {(at - x[image]).norm():.3f} from the image")
    at = step(nets["teacher"], at, b, k)
print("\n".join(walked))

# %% [markdown]
# The network is not linear, so a few steps are needed, each much smaller than the one before. The library's `boundary.search` takes them for many images at once and knows when to stop: once $L_k < 0$ the sample is **accepted**; once a third class beats both it is **rejected**, for it lies in that class's country, not on this border.

# %%
found = boundary.search(nets["teacher"], x, y, (y + 1) % 10, eta=None)
print(f"towards the next class: {found.accepted.float().mean():.0%} of {len(x)} walks accepted, {found.steps[found.accepted].float().mean():.1f} steps each")
print(f"gap before {found.before[found.accepted].mean():.2f}, after {found.after[found.accepted].mean():.5f}; "
      f"top two logits differ there by at most {boundary.top_two(found.logits[found.accepted]).max():.4f}")

# %% [markdown]
# ## The walk, live
#
# Every network walks from the same image; where do they arrive? Two curves cross: the logit of the image's class and that of the class walked to.

# %%
widgets.walk(nets, x, y)

# %% [markdown]
# At the end of each walk the picture has hardly changed: the boundary is near. The directions differ from network to network, and how much they differ is what the rest of this chapter measures.
#
# ## The samples as pictures

# %%
own = torch.stack([torch.nonzero(y == c)[0, 0] for c in range(8)])
ends = {figures.style(m)["label"]: boundary.search(net, x[own], y[own], (y[own] + 1) % 10, eta=None).x - x[own] for m, net in nets.items()}
figures.show(figures.gradient_pictures(x[own, 0], {m: d[:, 0] for m, d in ends.items()}, [f"{int(c)} to {(int(c) + 1) % 10}" for c in y[own]], "from an image to the next class's boundary"),
             alt="Eight digits and, for each network, the difference between the boundary sample and the digit: strokes of the other class appear")

# %% [markdown]
# Orange raises a pixel, blue lowers it. The walks draw strokes of the class they go to and rub out those they leave.

# %% [markdown]
# ## MagSim and AngSim
#
# The vector from an image to its sample says how far the boundary is and in which direction. Two networks share a boundary where their vectors agree in length and in angle, averaged over images and classes:
#
# $$\mathrm{MagSim} = \frac{\min(\|u\|, \|v\|)}{\max(\|u\|, \|v\|)}, \qquad \mathrm{AngSim} = \frac{\langle u, v\rangle}{\|u\|\,\|v\|}.$$

# %%
def mag_ang(u, v):
    lengths = torch.stack([u.norm(dim=1), v.norm(dim=1)])
    return (lengths.min(0).values / lengths.max(0).values).mean(), ((u * v).sum(1) / lengths.prod(0)).mean()

S, T = (boundary.search(nets[m], x, y, (y + 1) % 10, eta=None) for m in ("kd", "teacher"))
both = S.accepted & T.accepted
u, v = ((s.x - x)[both].flatten(1) for s in (T, S))
print("KD's student and its teacher, {} images: MagSim {:.3f}, AngSim {:.3f}".format(int(both.sum()), *mag_ang(u, v)))
print("the teacher and itself: MagSim {:.3f}, AngSim {:.3f}".format(*mag_ang(u, u)))

# %% [markdown]
# Now from every test image to every other class, for every student (`python -m rsnl_lib similarity`), with the share of walks that both networks accept:

# %%
rows = store.lines(settings.RESULTS / "similarity.csv")
mine = [r for r in rows if r["dataset"] == dataset and r["recipe"] == "short" and not r["settings"]]
name = lambda r: "robust_teacher" if r["network"].endswith("teacher") and r["method"] == "pgd_at" else r["method"] + (" by pgd_at" if "pgd_at" in r["teacher"] else "")
groups = {m: [r for r in mine if name(r) == m] for m in figures.rank({name(r) for r in mine})}
for m, some in groups.items():
    mag, ang, rate = (statistics.mean(float(r[key]) for r in some) for key in ("mag", "ang", "rate"))
    spread = statistics.stdev(float(r["ang"]) for r in some) if len(some) > 1 else float("nan")
    print(f"{figures.style(m)['label']:28} {len(some)} networks   MagSim {mag:.3f}   AngSim {ang:.3f} (standard deviation {spread:.3f})   accepted by both {rate:.0%}")

# %% [markdown]
# AFTER_SIM

# %% [markdown]
# ## Shared boundary, shared robustness?
#
# One mark a network: AngSim with its teacher against accuracy in white noise and under attack. MagSim beside it.

# %%
done = jobs.known(reproduce.read(settings.RESULTS))
noise, at = {"digits": (3.0, 0.15), "mnist": (1.0, 0.1)}[dataset]

def share(r, key):
    row = done.get(tuple(r[k] for k in jobs.NAMES), {}).get(key)
    return 100 * int(row["correct"]) / int(row["n"]) if row else float("nan")

students = {m: some for m, some in groups.items() if "teacher" not in m}
points = {m: [(float(r["ang"]), float(r["mag"]), share(r, ("gaussian", noise, "dB"))) for r in some] for m, some in students.items()}
figures.show(figures.cloud(points, ["AngSim with the teacher", "MagSim with the teacher"], f"accuracy at {noise:g} dB (%)", f"{dataset}, recipe short, white noise"),
             alt="Accuracy in white noise against AngSim and MagSim with the teacher, a mark a network, with rank correlations")

# %%
points = {m: [(float(r["ang"]), float(r["mag"]), share(r, ("pgd", at, "linf"))) for r in some] for m, some in students.items()}
figures.show(figures.cloud(points, ["AngSim with the teacher", "MagSim with the teacher"], f"accuracy at epsilon {at:g} (%)", f"{dataset}, recipe short, under attack"),
             alt="Accuracy under attack against AngSim and MagSim with the teacher, a mark a network, with rank correlations")

# %% [markdown]
# AFTER_CLOUD

# %% [markdown]
# And the certificate? The estimate of Theorem 1's radius (chapter 04) is a median over images, by method, against AngSim:

# %%
radius = {}
for r in store.lines(settings.RESULTS / "margins.csv"):
    if (r["dataset"], r["recipe"], r["settings"]) == (dataset, "short", "") and r["estimate"] and r["network"] == f"{dataset}_student":
        radius.setdefault((r["method"], r["seed"]), []).append(float(r["estimate"]))
points = {m: [(float(r["ang"]), float(r["mag"]), statistics.median(radius.get((m, r["seed"]), [float("nan")]))) for r in some] for m, some in students.items()}
figures.show(figures.cloud(points, ["AngSim with the teacher", "MagSim with the teacher"], "median radius (L2, pixels)", f"{dataset}, recipe short, estimate of Theorem 1's radius"),
             alt="Median estimate of Theorem 1's radius against AngSim and MagSim with the teacher, with rank correlations")

# %% [markdown]
# AFTER_CERT

# %% [markdown]
# ## Training on the samples
#
# BSS adds to KD a soft cross-entropy at samples of the *teacher's* boundary: there its scores say most about where the boundary runs. The weight falls from 2 to 0 at three quarters of the training.

# %%
for share_done in (0.0, 0.25, 0.5, 0.75, 1.0):
    print("after {:.0%} of the epochs: KD's weight {:.2f}, that of BSS {:.2f}".format(share_done, *boundary.schedule(share_done)))

# %%
lines = [c for c in verdicts.study(done, claims.NEIGHBOURS) if c["question"] == "the boundary" and c["effects"]]
for c in lines:
    print(f"{c['dataset']:6} {c['setting']:34} {c['mean']:+.1f} [{c['low']:+.1f}, {c['high']:+.1f}] points, {c['n']} seeds")

# %% [markdown]
# AFTER_BSS

# %% [markdown]
# ## Exercise 1: Newton's step (three minutes)
#
# For a gap $L$ with gradient $g$, write the step that brings a *linear* gap to zero by the shortest way.

# %%
def newton(L, g):
    return g             # g is (d,)

check.newton(newton)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A step $-t\,g$ changes a linear gap by $-t\,\|g\|^2$.
#
# </details><details><summary>Solution</summary>
#
# ```python
# def newton(L, g):
#     return -L / g.norm() ** 2 * g
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: MagSim (one minute)
#
# Two vectors of lengths 2 and 3: their MagSim?

# %%
answer = None
check.similar(answer)

# %% [markdown]
# <details><summary>Hint</summary>
#
# It is at most 1, and 1 for equal lengths.
#
# </details><details><summary>Solution</summary>
#
# ```python
# answer = 2 / 3
# ```
#
# </details>

# %% [markdown]
# CLOSING
