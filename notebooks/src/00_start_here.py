# %% [markdown]
# # Start here: a student that keeps its nerve
#
# > Can a student network twelve times smaller than its teacher keep seeing a digit that noise has nearly buried?
#
# This workbook is the executable edition of *Robust Student Network Learning* (Guo et al., 2018, [arXiv 1807.11158](https://arxiv.org/abs/1807.11158)). What the paper says stands in block quotes with its place; everything else is ours.
#
# **You'll do** one experiment: four networks look at a digit, first clean, then under noise. **You'll learn** what is claimed and how to read the score bars of every later chapter. **You'll need** nothing but this page: networks and images are shipped.
#
# `read` a few seconds · `smoke` with `dataset="digits"` under a minute · `full` trains MNIST, about half an hour on one core

# %% [markdown]
# The next cell holds every parameter of this chapter. Change a value here, or let `papermill -p name value` do it.

# %% tags=["parameters"]
profile: str = "read"    # read, smoke or full
dataset: str = "mnist"   # mnist or digits, or a folder of yours with one folder of pictures a class
snr: float = 3.0         # signal to noise, in dB
seed: int = 0            # of every random draw
network: str = ""        # of the students; "": the data set's own; or yours, as "nets:student"
teacher_network: str = ""  # of their teacher

# %%
import torch
from rsnl_lib import data
from rsnl_lib.data import perturb
from rsnl_lib.measure import evaluate
from rsnl_lib.study import jobs
from rsnl_lib.workbook import chapter, checkers, figures, palette
from rsnl_lib.workbook.chapter import load_or_train

chapter.parameters(globals(), profile=profile, dataset=dataset, snr=snr, seed=seed,
                   network=network, teacher_network=teacher_network)

# %% [markdown]
# ## Is everything here?
#
# One line a package. If one fails, the line says what to do.

# %%
chapter.environment()

# %% [markdown]
# ## Four networks
#
# A large maxout **teacher** and three **students** of the same small architecture. *Standard* saw labels only; *KD* also imitates the teacher's softened scores; *robust* adds the paper's two terms:
#
# > $\mathcal L = \mathcal L_{KD} + C_1\,\mathcal L_G + C_2\,\mathcal L_S$ (Eq. 17): a hinge $\mathcal L_S$ that asks the student's true-class score $f_S$ to exceed the teacher's $f_T$ by $\gamma$ (Eq. 15), and a term $\mathcal L_G$ that pulls $\nabla_x f_S$ towards $\nabla_x f_T$ (Eq. 16).

# %%
methods = ["teacher", "standard", "kd", "robust"]
full = None if profile == "read" else data.load(dataset)
nets = {"teacher": load_or_train(dataset, "teacher", seed, profile, full, network=teacher_network)}
for method in methods[1:]:
    nets[method] = load_or_train(dataset, method, seed, profile, full, nets["teacher"], network)

# %%
for method, net in nets.items():
    print(f"{method:9} {sum(p.numel() for p in net.parameters()):8,} parameters")

# %% [markdown]
# ## One image, clean and noisy
#
# Noise is white and Gaussian; its strength is the ratio of the image's mean square to the noise's, in decibels: $\mathrm{SNR}_{dB} = 10\log_{10}(P_x/P_\text{noise})$. Every network sees the same noise. Forty test images are shipped; the picture shows the first on which the networks disagree at the middle level, so it is a telling one, not a typical one.

# %%
x, y = chapter.first_images(dataset, full)
levels = [snr, snr - 3, snr - 6]          # each step of 3 dB doubles the noise's power
noisy = [perturb.gaussian(x, level, torch.Generator().manual_seed(seed)) for level in levels]
for level, images in zip(levels, noisy):
    print(f"asked for {level:g} dB, drew {10 * (perturb.power(x) / perturb.power(images - x)).log10().mean():.1f} dB")

# %%
with torch.no_grad():
    said = torch.stack([net(noisy[1]).argmax(1) for net in nets.values()])
differ = (said != said[0]).any(0)
pick = int(differ.int().argmax())
pictures = torch.stack([x[pick], *(images[pick] for images in noisy)])
print(f"at {levels[1]:g} dB the networks disagree on {int(differ.sum())} of {len(x)} images; the first is a {int(y[pick])}")

# %%
with torch.no_grad():
    scores = {m: torch.softmax(net(pictures), 1).numpy() for m, net in nets.items()}
names = ["clean", *(f"SNR {level:g} dB" for level in levels)]
palette.show(figures.score_bars(pictures, scores, [y[pick]] * 4, full.names if full else (), names),
             alt=f"A handwritten {int(y[pick])}, clean and at {levels} dB; below each the ten scores of teacher, standard, KD and robust")

# %% [markdown]
# With the shipped networks: the teacher turns the noisy 1 into a 7, and the robust student, whose input gradient was made to resemble the teacher's, follows it at -3 dB. The standard and the KD student hold. That is one image, and the opposite of the paper's Fig. 3; so count. The forty images, live in any browser and without Python: [figure3.html](../figure3.html).

# %%
for method, p in scores.items():
    print(f"{method:9}", "   ".join(f"{name}: {q.argmax()} at {q.max():.2f}" for name, q in zip(names, p)))

# %% [markdown]
# ## Ten thousand images
#
# One digit proves nothing. The next cell counts over the whole test set (stored rows in `read`; counted here, on 200 images, in `smoke`). All networks see the same noise draws, so their differences are paired.

# %%
plan = [("clean", 0, ""), ("gaussian", 5, "dB"), ("gaussian", 3, "dB"), ("gaussian", 1, "dB")]
if profile == "read":
    rows = jobs.shipped(dataset, methods)
else:
    test = slice(0, 200 if profile == "smoke" else None)
    rows = palette.as_table(evaluate.sweep(nets, full.x_test[test], full.y_test[test], plan))

# %%
wanted = rows[[(p, l, u) in plan for p, l, u in zip(rows.perturbation, rows.level, rows.unit)]]
table = wanted.groupby(["method", "perturbation", "level"])[["correct", "n"]].sum()
table = (100 * table.correct / table.n).unstack([1, 2]).loc[methods].round(1)
table.columns = ["clean" if p == "clean" else f"SNR {l:g} dB" for p, l in table.columns]
table[["clean", "SNR 5 dB", "SNR 3 dB", "SNR 1 dB"]]

# %% [markdown]
# On clean digits the students are level (99.36 to 99.41 %), and above their teacher. Under white noise the teacher falls first, which agrees with the paper; but the robust student falls *before* the standard one, at 1 dB by three points, which does not. The paper prints drops of 5.65, 7.25 and 2.23 points from clean to SNR 1 for teacher, KD and robust; ours are 10.2, 3.5 and 6.5 for these networks, and 6.4, 2.3 and 5.4 on average over three teachers and six students of each kind. [05](05_noise_and_occlusion.ipynb) looks for where the robust student does win, and finds it.

# %% [markdown]
# ## Exercise 1: predict first (two minutes)
#
# Before you move a slider in chapter 05: which networks still name the digit at 0 dB, where the noise is as strong as the image? Commit to a list of names.

# %%
answer = []              # for example ["teacher"]
checkers.predict_scores(answer)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The table above already shows who falls fastest.
#
# </details><details><summary>Solution</summary>
#
# Any list is taken, because one image has no right answer: chapter 05 shows what happens to yours.
#
# ```python
# answer = ["standard", "kd", "robust"]
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: decibels (two minutes)
#
# Write the ratio of powers that belongs to `db` decibels. The checker says what is off.

# %%
def ratio(db):
    return None          # replace this line

checkers.decibels(ratio)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Ten decibels are a factor of ten in *power*; a factor of ten in amplitude would be twenty.
#
# </details><details><summary>Solution</summary>
#
# ```python
# def ratio(db):
#     return 10 ** (db / 10)
# ```
#
# </details>

# %% [markdown]
# ## The map
#
# | notebook | the question | |
# | --- | --- | --- |
# | [00_start_here](00_start_here.ipynb) | What is claimed, and can I see it in a minute? | here |
# | [01_theorem](01_theorem.ipynb) | How hard must I push before the teacher overtakes the student? | counterexamples to drag, a certified disc on a plane |
# | [02_losses](02_losses.ipynb) | What does each term pull on? | sliders for tau, gamma and lambda |
# | [03_training](03_training.ipynb) | Does Algorithm 1 train, and what does each term cost? | next |
# | [04_margins](04_margins.ipynb) | Did the head start grow and the slope shrink? | every student, image by image |
# | [05_noise_and_occlusion](05_noise_and_occlusion.ipynb) | Who keeps seeing the digit? | sliders, and the curves of Fig. 2 |
# | [06_tables](06_tables.ipynb) | Which published numbers hold? | the paper's cells beside ours |
# | [07_adversarial](07_adversarial.ipynb) | Is a student that resists noise a student that resists attack? | attacks to drag |
# | [08_boundary](08_boundary.ipynb) | Does a student that shares its teacher's boundary share its robustness? | walks to the boundary |
# | [09_claims](09_claims.ipynb) | Which claims hold, which fail, and what remains open? | the ledger |
