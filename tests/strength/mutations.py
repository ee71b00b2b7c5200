"""Do the tests notice?

`python tests/strength/mutations.py [name ...]`: break a copy of the library in one
place, run tests, see them fail.

Each mutant is an exact replacement in the text that `ast.unparse` makes of one file, so that layout
does not matter. It counts as killed only if an assertion of a test fails; dying of an error (a
syntax error, a missing name, ...) does not count. Needs fork: Linux or macOS.
"""

import ast
import multiprocessing
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1")
sys.dont_write_bytecode = True  # a mutant may have the size and the second of the file before it

import hypothesis  # noqa: E402, F401       (what takes long to import is imported once; each mutant is then forked)
import pytest  # noqa: E402
import safetensors.torch  # noqa: E402, F401
import sklearn.datasets  # noqa: E402, F401
import sklearn.model_selection  # noqa: E402, F401

ROOT = pathlib.Path(__file__).resolve().parents[2]
# name, file, what stands there, what shall stand there (both as `ast.unparse` writes them), the
# tests that should notice
MUTANTS = [
    (
        "hinge: networks swapped",
        "train/losses",
        "zero=True) + f_T - f_S)",
        "zero=True) + f_S - f_T)",
        "losses::test_score_loss",
    ),
    (
        "hinge: sign of gamma",
        "train/losses",
        "F.relu(positive('gamma', gamma, zero=True) + f_T - f_S",
        "F.relu(-positive('gamma', gamma, zero=True) + f_T - f_S",
        "losses::test_score_loss",
    ),
    (
        "method swaps the scores",
        "train/methods/paper",
        "score_loss(f_S, f_T, r",
        "score_loss(f_T, f_S, r",
        "methods::test_robust_is",
    ),
    (
        "soft target is the student",
        "train/losses",
        "F.softmax(a_T / tau, dim=1) * F.log_softmax(a_S / tau",
        "F.softmax(a_S / tau, dim=1) * F.log_softmax(a_T / tau",
        "losses::test_soft_cross",
    ),
    (
        "teacher's logits keep their graph",
        "train/constants",
        "return (a.detach(), g)",
        "return (a, g)",
        "methods::test_each_term",
    ),
    (
        "g_T kept from the student",
        "train/methods/paper",
        "gradient_loss(g_S, b.g_T)",
        "gradient_loss(g_S, g_S.detach())",
        "methods::test_robust_is",
    ),
    (
        "create_graph lost",
        "geometry/gradient",
        "'create_graph': create_graph",
        "'create_graph': False",
        "losses::test_input_gradient_is",
    ),
    (
        "create_graph not asked for",
        "train/methods/paper",
        "b.y, create_graph=True",
        "b.y, create_graph=False",
        "methods::test_parameter",
    ),
    (
        "lambda dropped from Eq. 3",
        "train/losses",
        "positive('lam', lam, zero=True) * soft_",
        "soft_",
        "losses::test_kd_loss",
    ),
    (
        "lambda dropped from the method",
        "train/methods/paper",
        "b.lam * (",
        "1.0 * (",
        "methods::test_weights",
    ),
    (
        "lambda constant over the epochs",
        "train/recipes",
        "(r.lam_end - r.lam) * share",
        "0.0 * share",
        "train::test_lambda",
    ),
    (
        "weights ignored in the sum",
        "train/loop",
        "loss = sum((weight * value for",
        "loss = sum((value for",
        "methods::test_robust_without",
    ),
    (
        "tau forgotten in the score",
        "geometry/gradient",
        "F.softmax(a / positive('tau', tau)",
        "F.softmax(a",
        "losses::test_score_is",
    ),
    (
        "tau forgotten for the soft target",
        "train/losses",
        "F.softmax(a_T / tau",
        "F.softmax(a_T",
        "losses::test_soft_cross",
    ),
    (
        "tau forgotten in g_S",
        "train/methods/paper",
        "student_slopes(net, b, tau=r.tau)",
        "student_slopes(net, b, tau=1.0)",
        "methods::test_robust_is",
    ),
    (
        "tau forgotten in g_T",
        "train/constants",
        "x, y, tau, space=gradients)",
        "x, y, 1.0, space=gradients)",
        "train::test_teacher_constants",
    ),
    (
        "gradient target ignored",
        "train/losses",
        "(g_S - g_T).square()",
        "g_S.square()",
        "losses::test_gradient_loss",
    ),
    (
        "gradient loss not squared",
        "train/losses",
        "(g_S - g_T).square()",
        "(g_S - g_T).abs()",
        "losses::test_gradient_loss",
    ),
    (
        "noise power centred",
        "data/perturb",
        "x.square().mean(dim=(1, 2, 3), keepdim=True)",
        "x.var(dim=(1, 2, 3), keepdim=True)",
        "perturb::test_power_is",
    ),
    (
        "SNR: decibels as amplitude",
        "data/perturb",
        "10 ** (snr / 10)",
        "10 ** (snr / 20)",
        "perturb::test_ten_decibels",
    ),
    (
        "SNR: units swapped",
        "data/perturb",
        "== 'ratio'",
        "== 'dB'",
        "perturb::test_the_unit",
    ),
    (
        "SNR: the row's unit ignored",
        "measure/evaluate",
        "unit or 'dB'",
        "'dB'",
        "evaluate::test_the_noise",
    ),
    (
        "Poisson noise like Gaussian",
        "data/perturb",
        "return share * power(x)",
        "return 0 * share + power(x)",
        "perturb::test_poisson",
    ),
    (
        "occlusion one pixel too wide",
        "data/perturb",
        "col < left + size",
        "col <= left + size",
        "perturb::test_occlusion_zeroes",
    ),
    (
        "occlusion misses the last row",
        "data/perturb",
        "torch.randint(h - size + 1",
        "torch.randint(max(h - size, 1)",
        "perturb::test_occlusion_reaches",
    ),
    (
        "a noise for each network",
        "measure/evaluate",
        "correct(net(part), labels)",
        'correct(net(perturb.apply(kind, part, level or 1, None, unit or "dB")), labels)',
        "evaluate::test_all_networks",
    ),
    (
        "seed ignored in training",
        "train/loop",
        "manual_seed(task.seed * 100003 + epoch)",
        "manual_seed(epoch)",
        "train::test_a_seed",
    ),
    (
        "seed ignored at the start",
        "networks/zoo",
        "torch.Generator().manual_seed(seed)",
        "torch.Generator().manual_seed(0)",
        "networks::test_the_start",
    ),
    (
        "seed ignored in the noise",
        "measure/evaluate",
        "{seed} {kind}",
        "{kind}",
        "evaluate::test_draws",
    ),
    (
        "resume forgets the optimiser",
        "train/resume",
        "lay_optimiser(step, held['step'])",
        "pass",
        "train::test_a_resumed",
    ),
    (
        "a state's checksums are not asked",
        "train/steps",
        "parts.testzip()",
        "None",
        "resume::test_one_flipped",
    ),
    (
        "a state's history may end anywhere",
        "train/resume",
        "len(history) > epochs",
        "False",
        "resume::test_a_state_with",
    ),
    (
        "a state's rows may be no numbers",
        "train/resume",
        "checks.finite(name, value)",
        "pass",
        "resume::test_a_state_with",
    ),
    (
        "gradients beyond half precision",
        "train/constants",
        "(short if short.isfinite().all() else g)",
        "short",
        "train::test_gradients_too_large",
    ),
    (
        "what was unpacked is trusted",
        "data/sets",
        "read.read_bytes() == gzip.decompress(raw)",
        "True",
        "data::test_what_was_unpacked",
    ),
    (
        "resume forgets the epoch",
        "train/loop",
        "range(done, r.epochs), desc=task.method",
        "range(0, r.epochs), desc=task.method",
        "train::test_a_resumed",
    ),
    (
        "damaged state taken for none",
        "train/steps",
        "raise ValueError(f'{self.path} is damaged",
        "return {}\n            raise ValueError(f'{self.path} is damaged",
        "train::test_a_damaged",
    ),
    (
        "last and best confused",
        "train/loop",
        "row['val_accuracy'] >= history",
        "row['val_accuracy'] < history",
        "train::test_a_run_uses",
    ),
    (
        "dual norms swapped",
        "geometry/ball",
        "DUAL = {1: math.inf, 2: 2, math.inf: 1}",
        "DUAL = {1: 1, 2: 2, math.inf: math.inf}",
        "bound::test_the_cheapest_step_meets",
    ),
    (
        "cap R dropped",
        "theorem/bound",
        "return torch.minimum(printed_radius(m, G), R)",
        "return printed_radius(m, G)",
        "bound::test_counterexample_4_without",
    ),
    (
        "integral by left-end sums",
        "theorem/bound",
        "G(width * k)",
        "G(width * (k - 1))",
        "bound::test_right_end_sums",
    ),
    (
        "profile by left-end sums",
        "theorem/bound",
        "_right_end_sum(m, widths, G)",
        "_right_end_sum(m, widths, torch.cat([G[:1], G[:-1]]))",
        "bound::test_right_end_sums",
    ),
    (
        "fixed point: the upper end",
        "theorem/bound",
        "(low + high) / 2)\n    return low",
        "(low + high) / 2)\n    return high",
        "bound::test_the_fixed_point",
    ),
    (
        "cheapest: dead pixels blur the step",
        "theorem/search",
        "torch.where(way == 0, 0, room / way.abs().clamp_min(1e-12))",
        "(room / way.abs().clamp_min(1e-12))",
        "bound::test_the_cheapest_step_in_a_box_is_exact",
    ),
    (
        "attack leaves the box",
        "theorem/search",
        "return z.clamp(0, 1) if box else z",
        "return z",
        "bound::test_flips_flip",
    ),
    (
        "box: any pixel let in",
        "theorem/bound",
        "if x.min() < 0 or x.max() > 1:",
        "if x.isnan().any():",
        "certify::test_bad_input_to_the_bounds",
    ),
    (
        "box: feasible away from the border",
        "theorem/interval",
        "((x == 0).double() - (x == 1)",
        "((x <= 0.5).double() - (x == 1)",
        "certify::test_in_a_box_only",
    ),
    (
        "box: falls measured like rises",
        "theorem/jacobian",
        "self.slope(-s.C, s.r)",
        "self.slope(s.C, s.r)",
        "certify::test_at_the_border",
    ),
    (
        "bound in the ball's own norm",
        "theorem/jacobian",
        "vector_norm(g, self.p, dim=1)",
        "vector_norm(g, geometry.DUAL[self.p], dim=1)",
        "certify::test_at_radius_zero",
    ),
    (
        "Jacobian's radius forgotten",
        "theorem/jacobian",
        "g = C.abs() + r",
        "g = C.abs()",
        "certify::test_the_interval_bound",
    ),
    (
        "ReLU switches seen at x only",
        "theorem/jacobian",
        "up, down = (ball.high(s) >= 0, ball.low(s) <= 0)",
        "up, down = (s.z >= 0, s.z <= 0)",
        "certify::test_neurons",
    ),
    (
        "leaky ReLU: the slope below zero forgotten",
        "theorem/jacobian",
        "leak, one = (getattr(m, 'negative_slope', 0.0), torch.ones_like(s.z))",
        "leak, one = (0.0, torch.ones_like(s.z))",
        "certify::test_a_leaky",
    ),
    (
        "leaky ReLU: LipSDP's slopes forget the leak",
        "theorem/jacobian",
        "torch.where(down, leak, one)",
        "torch.where(down, 0.5, one)",
        "certify::test_a_leaky",
    ),
    (
        "leaky ReLU: its norm is one",
        "theorem/certify",
        "max(1.0, abs(getattr(inner, 'negative_slope', 0)))",
        "1.0",
        "certify::test_activations",
    ),
    (
        "average pool: bounds of the sign of its divisor",
        "theorem/jacobian",
        "lambda t: layer(t).abs()",
        "lambda t: layer(t)",
        "certify::test_an_average_of",
    ),
    (
        "adaptive pool: pixels that it repeats forgotten",
        "theorem/certify",
        "{1: overlap, 2: math.sqrt(overlap), math.inf: 1.0}[q]",
        "1.0",
        "certify::test_the_norm_of",
    ),
    (
        "layers work in place on the images",
        "theorem/jacobian",
        "flat.inplace = False",
        "flat.eval()",
        "certify::test_layers_that_work",
    ),
    (
        "options of layers not looked at",
        "theorem/jacobian",
        "if isinstance(inner, kind) and (not seen(value)):",
        "if False:",
        "certify::test_options",
    ),
    (
        "maxout switches seen at x only",
        "theorem/jacobian",
        "alive[i] &= ball.high(d) >= 0",
        "alive[i] &= d.z >= 0",
        "certify::test_a_maximum",
    ),
    (
        "hull of the winner only",
        "theorem/jacobian",
        "for t, on in zip(states, alive):",
        "for t, on in zip(states, [t.z == z.amax(0) for t in states]):",
        "certify::test_a_maximum",
    ),
    (
        "max pool: differences forget r",
        "theorem/jacobian",
        "t.C - best.C, t.r + best.r)",
        "t.C - best.C, 0 * t.r)",
        "certify::test_pool_windows",
    ),
    (
        "softplus slope at x only",
        "theorem/jacobian",
        "(m.beta * ball.low(s)) * (1 - SLACK)\n    high = torch.sigmoid(m.beta * ball.high(s))",
        "(m.beta * s.z) * (1 - SLACK)\n    high = torch.sigmoid(m.beta * s.z)",
        "certify::test_the_interval_bound",
    ),
    (
        "softmax weights frozen at x",
        "theorem/interval",
        "bounds = (w_low, w_high - w_low)",
        "bounds = (h.w, 0 * h.w)",
        "certify::test_softmax_weights",
    ),
    (
        "widened weights undercut the gradient",
        "theorem/interval",
        "torch.where(T > 0, 1 + SLACK, 1 - SLACK)",
        "(1 + SLACK)",
        "certify::test_the_weights_sum",
    ),
    (
        "score's slope forgets its peak",
        "theorem/interval",
        "torch.where((u_low < 0) & (u_high > 0), 0.25, torch.maximum(*ends))",
        "torch.maximum(*ends)",
        "certify::test_the_interval_bound",
    ),
    (
        "rounding of the lead forgotten",
        "theorem/interval",
        "S.value - T.value - S.error - T.error",
        "S.value - T.value",
        "certify::test_the_sound_lead",
    ),
    (
        "rounding in a batch norm forgotten",
        "theorem/jacobian",
        "GAMMA * (s.z.abs() + hidden))",
        "GAMMA * s.z.abs())",
        "certify::test_the_sound_lead_knows",
    ),
    (
        "weights rounded to float32",
        "theorem/jacobian",
        "twin(net).double()",
        "twin(net).float().double()",
        "certify::test_the_sound_lead_is_below_the_rational_one_under",
    ),
    (
        "values computed in float32",
        "theorem/jacobian",
        "(f(s.z), size(s",
        "(f(s.z).float().double(), size(s",
        "certify::test_where_float32",
    ),
    (
        "a subclass taken for its parent",
        "theorem/jacobian",
        "k.forward is getattr(type(m), 'forward', None)",
        "isinstance(m, k)",
        "certify::test_layers_that",
    ),
    (
        "LipSDP: feasibility not checked",
        "theorem/lipsdp",
        "good = (info == 0)",
        "good = (info >= 0)",
        "certify::test_lipsdp_of_two",
    ),
    (
        "LipSDP: steps that failed are taken",
        "theorem/lipsdp",
        "better = good & (value < best)",
        "better = value < best",
        "certify::test_lipsdp_of_two",
    ),
    (
        "LipSDP: sign of the multipliers",
        "theorem/lipsdp",
        "M = A_x.mT @ (T",
        "M = -A_x.mT @ (T",
        "certify::test_lipsdp_of_one",
    ),
    (
        "LipSDP: unknowns of a layer dropped",
        "theorem/lipsdp",
        "P = torch.diag_embed(T) - A_w.mT @ TA -",
        "P = torch.diag_embed(T) -",
        "certify::test_lipsdp_of_two",
    ),
    (
        "certificate from the slope at x",
        "theorem/certify",
        "sound_interval(net_S, net_T, x, y, s, p, space, tau, box))",
        "__import__('rsnl_lib').theorem.point_gap("
        "bound.head_start(net_S, net_T, y, space, tau), x.double(), p))",
        "certify::test_no_certificate",
    ),
    (
        "average pool: cut windows forgotten",
        "theorem/certify",
        "(math.prod(k) if full else 1)",
        "math.prod(k)",
        "certify::test_the_norm_of",
    ),
    (
        "maxout norm of one piece",
        "theorem/certify",
        "w.abs().unflatten(0, (pieces, -1)).amax(0)",
        "w.abs().unflatten(0, (pieces, -1))[0]",
        "certify::test_the_norm_of",
    ),
    (
        "votes: the plain share",
        "theorem/certify",
        "torch.as_tensor(beta.ppf(alpha, k, draws - k + 1))",
        "torch.as_tensor(k / draws)",
        "certify::test_votes_give",
    ),
    (
        "plane: the cell's diagonal forgotten",
        "theorem/search",
        "side / math.sqrt(2)",
        "side / 2",
        "certify::test_in_the_plane",
    ),
    (
        "plane: stops before a flip is found",
        "theorem/search",
        "low >= (1 - TOL) * high",
        "high - low <= TOL * high",
        "certify::test_in_the_plane_a_thin",
    ),
    (
        "mimic: lambda not halved",
        "train/methods/paper",
        "b.lam / 2, losses.mimic",
        "b.lam, losses.mimic",
        "methods::test_mimic_is",
    ),
    (
        "mimic: logits and probabilities swapped",
        "train/losses",
        "== 'probabilities':",
        "== 'logits':",
        "methods::test_mimic_is",
    ),
    (
        "mimic: mean over the classes",
        "train/losses",
        "(a_S - a_T).square().sum(dim=1)",
        "(a_S - a_T).square().mean(dim=1)",
        "methods::test_mimic_is",
    ),
    (
        "mimic: kept from the student",
        "train/methods/paper",
        "mimic_loss(a_S, b.a_T",
        "mimic_loss(a_S.detach(), b.a_T",
        "methods::test_each_term_alone_reaches",
    ),
    (
        "hint: not halved",
        "train/losses",
        ".flatten(1).sum(dim=1).mean() / 2",
        ".flatten(1).sum(dim=1).mean()",
        "hints::test_hint_loss",
    ),
    (
        "hint: one layer too far",
        "networks/modules",
        "return round(2 * len(found) / 3) - 1",
        "return round(2 * len(found) / 3)",
        "hints::test_the_guided",
    ),
    (
        "hint: a transformer's at its patches",
        "networks/modules",
        "if maps and spread.index(maps[-1]) < _two_thirds(spread):",
        "if False:",
        "hints::test_the_hint_of",
    ),
    (
        "count: attention's products unseen",
        "networks/modules",
        "attention.set_fastpath_enabled(False)",
        "attention.set_fastpath_enabled(True)",
        "networks::test_a_layer_counts",
    ),
    (
        "hint: the student stays",
        "train/hints",
        "if goal != 'probe':",
        "if goal == 'probe':",
        "hints::test_the_stage",
    ),
    (
        "fitnet without its stage",
        "train/methods/paper",
        "scores=True, hint=True",
        "scores=True",
        "foreign::test_fitnet_alone",
    ),
    (
        "hint: two images move the statistics",
        "train/hints",
        "    with standing(net, 'eval'):\n        S",
        "    with standing(net, 'train'):\n        S",
        "foreign::test_the_hint_stage_keeps",
    ),
    (
        "hint: layers in the order of the list",
        "networks/modules",
        "found = list(places)",
        "found = [m for m in found if m in places]",
        "foreign::test_the_hint_lies",
    ),
    (
        "hint: at a gate",
        "networks/modules",
        "if places.get(m) != 1]",
        "if places.get(m) != 0]",
        "foreign::test_the_hint_lies",
    ),
    (
        "gradient_only keeps the score",
        "train/methods/paper",
        "startswith('score')",
        "startswith('score_floor')",
        "methods::test_each_term_alone_is",
    ),
    (
        "gradient_only loses the gradient",
        "train/methods/paper",
        "if not name.startswith('score')",
        "if name in ('ce', 'kd')",
        "methods::test_each_term_alone_is",
    ),
    (
        "gradient_only without distillation",
        "train/methods/paper",
        "if not name.startswith('score')",
        "if name in ('ce', 'gradient')",
        "methods::test_each_term_alone_is",
    ),
    (
        "score_only without distillation",
        "train/methods/paper",
        "return {**soft_terms(a_S, b, r), **_score(a_S, b, r)}",
        'return {"ce": (1.0, F.cross_entropy(a_S, b.y)), **_score(a_S, b, r)}',
        "methods::test_each_term_alone_is",
    ),
    (
        "score_only is kd",
        "train/methods/paper",
        "of_paper(score_only,",
        "of_paper(kd,",
        "methods::test_each_term_alone_is",
    ),
    (
        "score_only: C2 dropped",
        "train/methods/paper",
        "'score': (r.C2,",
        "'score': (1.0,",
        "methods::test_weights",
    ),
    (
        "score_only: softened scores",
        "train/methods/paper",
        "geometry.score(a_S, b.y), geometry.score(b.a_T, b.y)",
        "geometry.score(a_S, b.y, r.tau), geometry.score(b.a_T, b.y, r.tau)",
        "foreign::test_score_only",
    ),
    (
        "shuffled across classes",
        "train/methods/controls",
        "drawn[b.y[drawn].argsort(stable=True)]",
        "drawn",
        "methods::test_shuffled",
    ),
    (
        "shuffled: nothing moves",
        "train/methods/controls",
        "torch.randperm(len(b.y), device=b.y.device)",
        "torch.arange(len(b.y), device=b.y.device)",
        "methods::test_shuffled",
    ),
    (
        "shuffled: some dealt twice",
        "train/methods/controls",
        "torch.randperm(len(b.y), device=b.y.device)",
        "torch.randint(len(b.y), (len(b.y),))",
        "methods::test_shuffled",
    ),
    (
        "shuffled: dealt, not used",
        "train/methods/controls",
        "return robust(net, b._replace(g_T=g_T), r)",
        "return robust(net, b, r)",
        "methods::test_shuffled",
    ),
    (
        "noise_augmented: sigma ignored",
        "train/methods/controls",
        "r.sigma * noise",
        "0.15 * noise",
        "methods::test_noise_augmented",
    ),
    (
        "noise_augmented: uniform noise",
        "train/methods/controls",
        "torch.randn(b.x.shape, ",
        "torch.rand(b.x.shape, ",
        "methods::test_noise_augmented",
    ),
    (
        "noise_augmented: one noise for all images",
        "train/methods/controls",
        "torch.randn(b.x.shape, ",
        "torch.randn(b.x.shape[1:], ",
        "foreign::test_noise_augmented",
    ),
    (
        "noise_augmented without distillation",
        "train/methods/controls",
        "return kd(net, b._replace(x=b.x + r.sigma * noise), r)",
        "return {'kd': (1.0, nn.functional.cross_entropy(net(b.x + r.sigma * noise), b.y))}",
        "foreign::test_noise_augmented",
    ),
    (
        "direct: lead turned round",
        "train/losses",
        "zero=True) - (u_S - u_T)",
        "zero=True) - (u_T - u_S)",
        "methods::test_direct_is",
    ),
    (
        "direct: rho ignored",
        "train/losses",
        "positive('rho', rho) * gap",
        "gap",
        "methods::test_direct_is",
    ),
    (
        "direct: slopes of the score",
        "train/methods/controls",
        "student_slopes(net, b, space='logit')",
        "student_slopes(net, b, space='probability')",
        "methods::test_direct_is",
    ),
    (
        "direct: the teacher's slope of the score",
        "train/methods/controls",
        "gradients='logit'",
        "gradients='tempered'",
        "foreign::test_direct_is",
    ),
    (
        "direct: second gradient lost",
        "train/methods/controls",
        "direct_loss(u_S, u_T, g_S,",
        "direct_loss(u_S, u_T, g_S.detach(),",
        "foreign::test_direct_is",
    ),
    (
        "Hardsigmoid let through",
        "train/entry",
        "name == 'Hardsigmoid'",
        "name == 'Hardshrink'",
        "foreign::test_a_hardsigmoid",
    ),
    (
        "GCN: not centred",
        "data/whiten",
        "v = v - v.mean(1, keepdim=True)",
        "v = v - v.mean()",
        "whiten::test_gcn",
    ),
    (
        "ZCA without its bias",
        "data/whiten",
        "(values.clamp_min(0) + BIAS)",
        "values.clamp_min(1e-9)",
        "whiten::test_the_covariance",
    ),
    (
        "PCA in place of ZCA",
        "data/whiten",
        ".rsqrt() @ V.T)",
        ".rsqrt())",
        "whiten::test_the_covariance",
    ),
    (
        "ZCA fitted on the test images",
        "data/whiten",
        "zca(map(gcn, progress(x.split(",
        "zca(map(gcn, progress(x_test.split(",
        "whiten::test_both_parts",
    ),
    (
        "whitened in float32",
        "data/whiten",
        "v = points(x.flatten(1).double())",
        "v = points(x.flatten(1).float())",
        "whiten::test_gcn",
    ),
    (
        "cache blind to the split",
        "data/whiten",
        "        h.update(f'{tuple(t.shape)}'.encode())\n",
        "",
        "whiten::test_every_other",
    ),
    (
        "fast: tangent's weight gradient lost",
        "networks/fast",
        "return (d_up, d_w, None,",
        "return (d_up, None, None,",
        "fast::test_the_fast_gradient",
    ),
    (
        "fast: input gradient of the wrong padding",
        "networks/fast",
        "return F.fold(columns, x.shape[2:], w.shape[2:], padding=padding)",
        (
            "return F.fold(columns, x.shape[2:], w.shape[2:], padding=0)[..., :x.shape[2],"
            " :x.shape[3]] if padding == (0, 0) else torch.zeros_like(x)"
        ),
        "fast::test_first_and_second",
    ),
    (
        "fast: stride forgotten in the tangent",
        "networks/fast",
        "d_up = F.conv2d(t, w, None, *ctx.how)",
        "d_up = F.conv2d(t, w, None, *ctx.how).roll(1, -1)",
        "fast::test_first_and_second",
    ),
    (
        "fast: images' gradient always skipped",
        "networks/fast",
        "not (ctx.image and ctx.taken)",
        "not ctx.image",
        "fast::test_a_plain_input",
    ),
    (
        "fast: maxout gradient to both",
        "networks/fast",
        "torch.sub(up, out[:, :units], out=out[:, units:])",
        "out[:, units:] = up",
        "fast::test_the_fast_gradient",
    ),
    (
        "fast: maxout tangent of the other piece",
        "networks/fast",
        "torch.where(ctx.first, *t.chunk(2, 1))",
        "torch.where(ctx.first, *t.chunk(2, 1)[::-1])",
        "fast::test_the_fast_gradient",
    ),
    (
        "fast: a tie goes to the first",
        "networks/fast",
        "ctx.first = a > b",
        "ctx.first = a >= b",
        "fast::test_a_tie",
    ),
    (
        "fast: layers left as they were made",
        "networks/fast",
        "put_back(convs + pairs, '__class__')",
        "put_back(pairs, '__class__')",
        "fast::test_the_block",
    ),
    (
        "mirrored image, straight image's constants",
        "train/loop",
        "None if g_T is None else g_T[pick].to(x.dtype)",
        "None if g_T is None else g_T[pick % (len(g_T) // 2 or 1)].to(x.dtype)",
        "fast::test_flips or test_the_fast_gradient",
    ),
    (
        "flips: never a mirror image",
        "train/loop",
        "order + n * torch.randint(2, (n,))",
        "order + n * torch.randint(1, (n,))",
        "fast::test_flips",
    ),
    (
        "crops that the teacher does not see",
        "train/loop",
        "a_T, g_T = _ask(teacher, x,",
        "a_T, g_T = _ask(teacher, x.flip(-1),",
        "fast::test_crops",
    ),
    (
        "crop fills by wrapping",
        "data/perturb",
        "torch.nn.functional.pad(x, [pad] * 4)",
        "torch.nn.functional.pad(x, [pad] * 4, mode='reflect')",
        "fast::test_a_random_crop",
    ),
    (
        "a number read back each step",
        "train/loop",
        "sums[name] = sums.get(name, 0) + value.detach() * len(batch.y)",
        "sums[name] = sums.get(name, 0) + value.detach() * len(batch.y); value.item()",
        "fast::test_the_step_does_not",
    ),
    (
        "bf16 for everyone",
        "train/loop",
        "enabled=r.bf16",
        "enabled=True",
        "fast::test_training_quick",
    ),
    (
        "cell filled by any recipe",
        "rows",
        "network teacher recipe settings train_noise seed'.split",
        "network teacher train_noise seed'.split",
        "reproduce::test_a_cell_is",
    ),
    (
        "cell filled by another level",
        "study/results",
        "seeds and (rows.keys() >= set(conditions))",
        "seeds and rows",
        "reproduce::test_a_cell_is",
    ),
    (
        "a drop without clean images",
        "study/paper_jobs",
        "[noise, CLEAN] if",
        "[noise] if",
        "reproduce::test_a_drop",
    ),
    (
        "students before their teacher",
        "study/workers",
        "if not (j.guided and j.teacher() in ahead)]",
        "]",
        "reproduce::test_teachers_end",
    ),
    (
        "state thrown away at the start",
        "study/workers",
        "        rows, curves, state = training.do(",
        "        state.unlink(missing_ok=True)\n        rows, curves, state = training.do(",
        "reproduce::test_a_failed_job",
    ),
    (
        "a trained network is trained again",
        "study/workers",
        "if place and (not state.is_file()):",
        "if False:",
        "reproduce::test_a_trained_network",
    ),
    (
        "all rows measured once more",
        "study/workers",
        "draws, folder, state, have)",
        "draws, folder, state)",
        "reproduce::test_a_trained_network",
    ),
    (
        "rows: more right than images",
        "rows",
        "if not 0 < int(row['n']) >= int(row['correct']):",
        "if False:",
        "rows::test_a_bad_cell",
    ),
    (
        "rows: a data set called as another file",
        "rows",
        "if plain_name(column, text).casefold() in TAKEN:",
        "if False:",
        "rows::test_a_bad_cell",
    ),
    (
        "store: two append at once",
        "tables",
        "        hold(f)\n",
        "",
        "rows::test_processes_that_append",
    ),
    (
        "store: half a line read as a row",
        "tables",
        "if text and text[-1] not in '\\r\\n':",
        "if False:",
        "rows::test_a_broken_table",
    ),
    (
        "train: every row twice",
        "commands/train",
        "store.append(rows_to, rows, store.COLUMNS, same_run)",
        "store.append(rows_to, rows)",
        "store::test_a_run_that_is_trained_twice",
    ),
    (
        "merge: a link followed",
        "study/merge",
        "if path.is_symlink() or not path.is_file():",
        "if False:",
        "merge::test_a_link",
    ),
    (
        "merge: results not asked before",
        "study/merge",
        "store.can_append(results / 'curves.csv', CURVE_COLUMNS)",
        "pass",
        "merge::test_results_that_cannot",
    ),
    (
        "merge counts twice",
        "study/merge",
        "        if twin is row:\n",
        "        if True:\n",
        "reproduce::test_merge_takes",
    ),
    (
        "merge is silent on a difference",
        "study/merge",
        "(twin['n'], twin['correct']) != (row['n'], row['correct'])",
        "0",
        "reproduce::test_merge_takes",
    ),
    (
        "two campaigns in one folder",
        "study/workers",
        "store.hold(handle, wait=False)",
        "pass",
        "reproduce::test_two_campaigns",
    ),
    (
        "packed files without end",
        "study/merge",
        "        if room < 0:\n",
        "        if False:\n",
        "reproduce::test_packing",
    ),
    (
        "parts: a damaged one let in",
        "study/parts",
        "_sha256(piece) != sums[part]:",
        "_sha256(piece) == '':",
        "parts::test_damage",
    ),
    (
        "parts: the whole not checked",
        "study/parts",
        "or _sha256(raw) != sum_of_all:",
        "or False:",
        "parts::test_damage",
    ),
    (
        "parts: names inside not asked",
        "study/parts",
        "if not known.fullmatch(member.name):",
        "if False:",
        "parts::test_of_a_campaign",
    ),
    (
        "parts: a bad file over a good one",
        "study/parts",
        "!= sums.get(inside):",
        "== '':",
        "parts::test_good_files",
    ),
    (
        "names of students by another teacher",
        "study/jobs",
        "f't{self.teacher_seed}' if self.teacher_seed != self.seed else ''",
        "''",
        "reproduce::test_names",
    ),
    (
        "seeds share one teacher",
        "study/paper_jobs",
        "guide = seed % jobs.TEACHERS",
        "guide = 0",
        "reproduce::test_a_cell_is",
    ),
    (
        "own folder: checkpoints of other pictures taken",
        "data/own",
        "if header.get('pictures', '') != d.pictures:",
        "if False:",
        "own::test_two_folders",
    ),
    (
        "own folder: rows of other pictures joined",
        "commands/common",
        "if said != d.pictures and (said or have):",
        "if False:",
        "own::test_two_folders",
    ),
    (
        "own folder: a checkpoint named like a built-in set's",
        "study/jobs",
        "self.dataset in DATASETS and self.net",
        "self.net",
        "own::test_a_folders_checkpoints",
    ),
    (
        "noise lost where squares underflow",
        "data/perturb",
        "deviation.where(plain, exact.to(x.dtype))",
        "deviation",
        "perturb::test_the_snr_is",
    ),
    (
        "own folder: twins kept",
        "data/own",
        "hashlib.md5(content)",
        "hashlib.md5(content + f.name.encode())",
        "data::test_a_picture_that_lies",
    ),
    (
        "own folder: a split read as classes",
        "data/own",
        "if not of_folders:",
        "if True:",
        "own_data::test_a_split_of_a_readers",
    ),
    (
        "own folder: a leak from train to test taken",
        "data/own",
        "if home != place:",
        "if home.name != place.name:",
        "own_data::test_a_split_that_cannot",
    ),
    (
        "own folder: nested pictures left out",
        "data/own",
        "yield from _files(f)",
        "yield from ()",
        "own_data::test_pictures_in_the_folders",
    ),
    (
        "own folder: another split of one name",
        "data/own",
        "len(splits) == 1",
        "True",
        "own_data::test_which_pictures",
    ),
    (
        "own folder: a part that is missing not cut off",
        "data/own",
        "mixed[len(lacking) * n:]",
        "mixed",
        "own_data::test_the_part_that",
    ),
    (
        "datasets: the last batch lost",
        "data/given",
        "if source.drop_last:",
        "if False:",
        "own_data::test_a_dataset_that_cannot",
    ),
    (
        "space: normalised images called pixels",
        "data/catalogue",
        "if d.space.startswith('pixels') and len(d.x_test):",
        "if False:",
        "own_data::test_pixels_that_are_none",
    ),
    (
        "levels: small squares alone on large images",
        "data/catalogue",
        "size <= side / 2",
        "False",
        "own_data::test_the_levels_fit",
    ),
    (
        "fast_ard: normalised images cut to [0, 1]",
        "train/methods/adversarial",
        "attacks.within(b.x, 0.0, 1.0)",
        "pass",
        "own_data::test_fast_ard_is",
    ),
    (
        "recipe: images without bounds clamped",
        "train/recipes",
        "'clamp': space.startswith('pixels')",
        "'clamp': True",
        "own_data::test_a_recipe_goes",
    ),
    (
        "survives: asked outside the box",
        "measure/toolbox",
        "inside(some(images(x), 'attack'), 0.0, 1.0, remedy)",
        "some(images(x), 'attack')",
        "own_data::test_survival_outside",
    ),
    (
        "normalised: the bounds forget the mean",
        "theorem/jacobian",
        "-layer.mean / layer.std",
        "0 * layer.mean",
        "normalised::test_its_certificates_are",
    ),
    (
        "normalised: the bounds multiply by the deviation",
        "theorem/jacobian",
        "1 / layer.std,",
        "layer.std,",
        "normalised::test_its_certificates_are",
    ),
    (
        "claims: sides swapped",
        "study/claims",
        "100 * (a - b)",
        "100 * (b - a)",
        "claims::test_effects",
    ),
    (
        "claims: a drop is an accuracy",
        "study/claims",
        "[:len(line['levels'])]) - clean",
        "[:len(line['levels'])])",
        "claims::test_a_drop",
    ),
    (
        "claims: a level left out",
        "study/claims",
        "for level in line['levels']]",
        "for level in line['levels'][1:]]",
        "claims::test_every_level",
    ),
    (
        "claims: own teacher for everyone",
        "study/claims",
        "if line['dataset'] == 'digits' else seed % jobs.TEACHERS",
        "",
        "claims::test_students_are",
    ),
    (
        "claims: the normal instead of t",
        "measure/inference",
        "stats.t.interval(0.95, n - 1, mean, error)",
        "stats.norm.interval(0.95, mean, error)",
        "claims::test_the_paired",
    ),
    (
        "claims: spread over n",
        "measure/inference",
        "stats.sem(values))\n    if error",
        "stats.sem(values, ddof=0))\n    if error",
        "claims::test_the_paired",
    ),
    (
        "claims: Bonferroni for Holm",
        "measure/inference",
        "(len(ps) - np.arange(len(ps))) * ps[order]",
        "len(ps) * ps[order]",
        "claims::test_holm",
    ),
    (
        "claims: corrected p may fall",
        "measure/inference",
        "np.maximum.accumulate(np.minimum(1.0, steps))",
        "np.minimum(1.0, steps)",
        "claims::test_holm",
    ),
    (
        "claims: tests not run are not counted",
        "measure/inference",
        "(len(ps) - np.arange(len(ps)))",
        "((ps == ps).sum() - np.arange(len(ps)))",
        "claims::test_holm",
    ),
    (
        "claims: judged on some seeds",
        "study/claims",
        "c['p'] if c['n'] == len(c['seeds']) else math.nan",
        "c['p']",
        "claims::test_judged",
    ),
    (
        "claims: no worse than anything",
        "study/claims",
        "low > -claim['matters']",
        "high > -claim['matters']",
        "claims::test_verdicts",
    ),
    (
        "claims: a negative effect holds",
        "study/claims",
        "p < 0.05 and mean > 0",
        "p < 0.05",
        "claims::test_verdicts",
    ),
    (
        "claims: teacher's noise forgotten",
        "study/jobs",
        "self.teacher_noise or self.train_noise",
        "self.train_noise",
        "claims::test_a_study",
    ),
    (
        "rows do not name the teacher's noise",
        "study/jobs",
        "self.teacher_noise and f'on {self.teacher_noise}'",
        "''",
        "claims::test_a_study",
    ),
    (
        "measured anew, old rows lost",
        "study/workers",
        "rows = store.lines(work / f'rows/{stem}.csv', True, store.COLUMNS) + new",
        "rows = new",
        "reproduce::test_a_trained",
    ),
    (
        "interval of the mean, not of one more run",
        "measure/inference",
        "math.sqrt(len(values) + 1)",
        "1.0",
        "tables::test_the_interval",
    ),
    (
        "two seeds are enough",
        "study/paper_jobs",
        "len(values) < enough(cell, 3)",
        "len(values) < 2",
        "tables::test_the_interval",
    ),
    (
        "agrees with anything",
        "study/paper_jobs",
        "'agrees' if abs(mean - cell['value']) <= reach",
        "'agrees' if True",
        "tables::test_the_interval",
    ),
    (
        "a cell without what is behind it",
        "workbook/paper_tables",
        " title=\"{html.escape(a['told'])}\"",
        "",
        "trace::test_no_cell or test_the_view",
    ),
    (
        "band of the lower end",
        "study/claims",
        "share.mean(0) + reach",
        "share.mean(0)",
        "verdicts::test_the_band",
    ),
    (
        "bounds of every setting",
        "study/claims",
        " & (rows.settings == '')",
        "",
        "verdicts::test_bounds",
    ),
    (
        "runs of every setting",
        "study/claims",
        "'settings': settings, 'train_noise'",
        "'train_noise'",
        "verdicts::test_runs",
    ),
    (
        "the tick on the wrong side",
        "workbook/claim_figures",
        "tick = -c['matters'] if",
        "tick = c['matters'] if",
        "verdicts::test_the_forest",
    ),
    (
        "one seed drawn as many",
        "workbook/claim_figures",
        "mfc=colour if several else 'none'",
        "mfc=colour",
        "verdicts::test_one_seed",
    ),
    (
        "copied compares text",
        "study/claims",
        "size == ours[k]['value']",
        "theirs[k] == ours[k]['printed']",
        "trace::test_what_was_copied",
    ),
    (
        "rows of noise-trained networks among the shipped",
        "study/jobs",
        " & (rows.train_noise == '')",
        "",
        "store::test_shipped",
    ),
    (
        "rows under another teacher among the shipped",
        "study/jobs",
        " & guide.isin(guides)",
        "",
        "store::test_shipped",
    ),
    (
        "bars of pooled images over seeds",
        "workbook/figures",
        "rows.seed.nunique() > 2",
        "rows.seed.nunique() > 99",
        "widgets::test_bars_are",
    ),
    (
        "attack: the sign is missing",
        "geometry/ball",
        "        return w.sign()",
        "        return w",
        "attacks::test_one_step_from",
    ),
    (
        "attack: downhill",
        "train/attacks",
        "z.detach() + step *",
        "z.detach() - step *",
        "attacks::test_the_attack_stays",
    ),
    (
        "attack: leaves its ball",
        "train/attacks",
        "x + geometry.onto_ball(ahead - x, epsilon, q)",
        "ahead",
        "attacks::test_the_attack_stays",
    ),
    (
        "attack: leaves [low, high]",
        "train/attacks",
        "lambda z: z.clamp(low, high)",
        "lambda z: z",
        "attacks::test_the_attack_stays",
    ),
    (
        "attack: start clamped unasked",
        "train/attacks",
        "z = bounded(z) if clamp_start else z",
        "z = bounded(z)",
        "attacks::test_ten_steps",
    ),
    (
        "attack: mode not put back",
        "networks/modules",
        "            setattr(thing, name, value)",
        "            pass",
        "attacks::test_the_mode_holds",
    ),
    (
        "attack: all layers put in one mode",
        "networks/modules",
        "setattr(thing, name, value)",
        "setattr(thing, name, before[0][1])",
        "attacks::test_the_mode_holds",
    ),
    (
        "attack: weights stay frozen",
        "networks/modules",
        "    with put_back(weights, 'requires_grad'):\n",
        "    with contextlib.nullcontext():\n",
        "attacks::test_weights_gradients",
    ),
    (
        "attack: every weight thawed",
        "networks/modules",
        "            p.requires_grad_(False)\n        yield net\n",
        "            p.requires_grad_(False)\n        yield net\n    net.requires_grad_()\n",
        "attacks::test_weights_gradients",
    ),
    (
        "attack: weights take gradients",
        "train/attacks",
        "with frozen(net), standing",
        "with standing",
        "attacks::test_no_weight_gradient",
    ),
    (
        "attack: L2 step of the gradient's length",
        "geometry/ball",
        "    return scaled / like(norm(scaled).clamp_min(tiny), w)",
        "    return w",
        "attacks::test_one_step_from",
    ),
    (
        "attack: L2 ball by pixels",
        "geometry/ball",
        "return d * like((R / norm(d).clamp_min(torch.finfo(d.dtype).tiny)).clamp_max(1), d)",
        "return torch.minimum(torch.maximum(d, -like(R, d)), like(R, d))",
        "attacks::test_the_nearest",
    ),
    (
        "attack: generator ignored",
        "train/attacks",
        "kind = dict(generator=generator,",
        "kind = dict(generator=None,",
        "attacks::test_the_random_numbers",
    ),
    (
        "attack: L2 starts crowd the middle",
        "train/attacks",
        "** (1 / max(1, x[:1].numel()))",
        "** 1",
        "attacks::test_starts_fill",
    ),
    (
        "attack: half the steps",
        "train/attacks",
        "range(steps if len(x) else 0)",
        "range(steps // 2 if len(x) else 0)",
        "attacks::test_ten_steps",
    ),
    (
        "ard: teacher sees x'",
        "train/methods/adversarial",
        "    return _ard(net, b, r, net(perturbed(net, b, r, attacks.cross_entropy(b.y))))",
        (
            "    x_ = perturbed(net, b, r, attacks.cross_entropy(b.y))\n    return _ard(net,"
            " b._replace(a_T=ask(b, x_)), r, net(x_))"
        ),
        "adversarial::test_ards_teacher",
    ),
    (
        "ard: teacher sees x' (value)",
        "train/methods/adversarial",
        "    return _ard(net, b, r, net(perturbed(net, b, r, attacks.cross_entropy(b.y))))",
        (
            "    x_ = perturbed(net, b, r, attacks.cross_entropy(b.y))\n    return _ard(net,"
            " b._replace(a_T=ask(b, x_)), r, net(x_))"
        ),
        "adversarial::test_each_method_is",
    ),
    (
        "KL a mean over classes",
        "train/methods/adversarial",
        "log_target=True).sum(dim=1)",
        "log_target=True).mean(dim=1)",
        "adversarial::test_kl_by_hand",
    ),
    (
        "KL a mean over classes (trap)",
        "train/methods/adversarial",
        "log_target=True).sum(dim=1)",
        "log_target=True).mean(dim=1)",
        "adversarial::test_the_default_mean",
    ),
    (
        "KL the other way round",
        "train/methods/adversarial",
        "F.kl_div(log_S, log_T",
        "F.kl_div(log_T, log_S",
        "adversarial::test_kl_by_hand",
    ),
    (
        "KL: temperature on one side",
        "train/methods/adversarial",
        "log_T = F.log_softmax(a_T / t",
        "log_T = F.log_softmax(a_T",
        "adversarial::test_kl_by_hand",
    ),
    (
        "t^2 forgotten",
        "train/methods/adversarial",
        "(r.alpha * r.tau ** 2, kl",
        "(r.alpha, kl",
        "adversarial::test_each_method_is",
    ),
    (
        "alpha on the wrong side",
        "train/methods/adversarial",
        "{'ce': (1 - r.alpha",
        "{'ce': (r.alpha",
        "adversarial::test_each_method_is",
    ),
    (
        "ard: cross-entropy at x'",
        "train/methods/adversarial",
        "b.hard(net(b.x), b.y))} if",
        "b.hard(a_adv, b.y))} if",
        "adversarial::test_each_method_is",
    ),
    (
        "trades: clean side a constant",
        "train/methods/adversarial",
        "kl(net(x_), a_S))}",
        "kl(net(x_), a_S.detach()))}",
        "adversarial::test_each_method_is",
    ),
    (
        "outer attacks in training mode",
        "train/methods/adversarial",
        "OUTER = dict(start='normal', mode='eval')",
        "OUTER = dict(start='normal')",
        "adversarial::test_each_attack_climbs",
    ),
    (
        "rslad climbs cross-entropy",
        "train/methods/adversarial",
        "lambda a, _: divergence(a, b.a_T), **OUTER",
        "attacks.cross_entropy(b.y), **OUTER",
        "adversarial::test_each_attack_climbs",
    ),
    (
        "adaad: not through the teacher",
        "train/methods/adversarial",
        "divergence(a, teacher(x_)), **OUTER",
        "divergence(a, teacher(x_).detach()), **OUTER",
        "adversarial::test_each_attack_climbs",
    ),
    (
        "iad: beta forgotten",
        "train/methods/adversarial",
        ".mul(beta).exp()",
        ".exp()",
        "adversarial::test_trust",
    ),
    (
        "iad: trust at the clean image",
        "train/methods/adversarial",
        "        a_T_adv = ask(b, x_)",
        "        a_T_adv = ask(b, b.x)",
        "adversarial::test_each_method_is",
    ),
    (
        "iad: trust and doubt swapped",
        "train/methods/adversarial",
        "doubt = 1 - trust",
        "doubt = trust",
        "adversarial::test_each_method_is",
    ),
    (
        "iad: from the first epoch",
        "train/methods/adversarial",
        "if b.share >= r.begin:",
        "if True:",
        "adversarial::test_iad_listens",
    ),
    (
        "igdm: second point is the image",
        "train/methods/adversarial",
        "back = 2 * b.x - x_",
        "back = b.x",
        "adversarial::test_each_method_is",
    ),
    (
        "igdm: does not grow",
        "train/methods/adversarial",
        "(r.beta * b.share, kl",
        "(r.beta, kl",
        "adversarial::test_igdm_grows",
    ),
    (
        "fast: delta not carried",
        "train/methods/adversarial",
        "carry.setdefault('delta', torch.zeros_like(b.x))[:len(b.x)]",
        "torch.zeros_like(b.x)",
        "adversarial::test_delta_is_carried",
    ),
    (
        "fast: delta never moves",
        "train/methods/adversarial",
        "    x_.register_hook(climb)\n",
        "",
        "adversarial::test_delta_is_carried",
    ),
    (
        "fast: delta moves downhill",
        "train/methods/adversarial",
        "ahead = delta + r.step",
        "ahead = delta - r.step",
        "adversarial::test_delta_moves",
    ),
    (
        "fast: delta leaves its ball",
        "train/methods/adversarial",
        "geometry.onto_ball(ahead, r.epsilon, q)",
        "ahead",
        "adversarial::test_delta_moves",
    ),
    (
        "fast: delta of any size of step",
        "train/methods/adversarial",
        "delta + r.step * r.epsilon *",
        "delta + r.epsilon *",
        "adversarial::test_delta_moves",
    ),
    (
        "fast: x' not clamped",
        "train/methods/adversarial",
        "(x_.clamp(0, 1) if r.clamp else x_)",
        "x_",
        "adversarial::test_delta_moves",
    ),
    (
        "fast: clamped pixels stuck",
        "train/methods/adversarial",
        "    x_ = b.x + delta\n    x_ = (x_.clamp(0, 1) if r.clamp else x_).requires_grad_()\n",
        (
            "    inner = (b.x + delta).requires_grad_()\n    x_ = inner.clamp(0, 1)\n   "
            " x_.retain_grad()\n    x_.register_hook = inner.register_hook\n"
        ),
        "adversarial::test_a_pixel",
    ),
    (
        "fast: an attack as well",
        "train/methods/adversarial",
        "    return _ard(net, b, r, net(x_))",
        "    net(x_)\n    return _ard(net, b, r, net(x_))",
        "adversarial::test_delta_is_carried",
    ),
    (
        "carry outlives its epoch",
        "train/loop",
        "'carry': {},",
        "'carry': globals().setdefault('kept', {}),",
        "adversarial::test_delta_is_carried",
    ),
    (
        "carry outlives its epoch (resume)",
        "train/loop",
        "'carry': {},",
        "'carry': net.__dict__.setdefault('kept', {}),",
        "adversarial::test_a_resumed_run",
    ),
    (
        "replays ignored",
        "train/loop",
        "for again in range(r.replays):",
        "for again in range(1):",
        "adversarial::test_replays_divide",
    ),
    (
        "a replay is another batch",
        "train/loop",
        "terms = how.terms(net, batch, r)",
        "terms = how.terms(net, batch._replace(x=batch.x.flip(0)) if again else batch, r)",
        "adversarial::test_delta_is_carried",
    ),
    (
        "replays not in the schedule",
        "train/loop",
        "steps = math.ceil(n / r.batch) * r.replays",
        "steps = math.ceil(n / r.batch)",
        "adversarial::test_replays_divide",
    ),
    (
        "loss logged once for each replay",
        "train/loop",
        "(v / (n * r.replays))",
        "(v / n)",
        "adversarial::test_replays_divide",
    ),
    (
        "share of the epochs off by one",
        "train/loop",
        "share=epoch / r.epochs",
        "share=(epoch + 1) / r.epochs",
        "adversarial::test_training_gives",
    ),
    (
        "teacher not frozen",
        "train/loop",
        "            stack.enter_context(modules.frozen(teacher))\n",
        "",
        "adversarial::test_training_gives",
    ),
    (
        "teacher given to all",
        "train/loop",
        "live = teacher if how.live else None",
        "live = teacher",
        "adversarial::test_training_gives",
    ),
    (
        "wrong images survive",
        "measure/toolbox",
        "alive = a.argmax(1) == true_class(a, y)",
        "alive = true_class(a, y) >= 0",
        "withstand::test_an_image",
    ),
    (
        "one start for three",
        "measure/toolbox",
        "num_random_init=1)] * starts",
        "num_random_init=1)] * 1",
        "withstand::test_every_start",
    ),
    (
        "pixels leave their range",
        "measure/toolbox",
        "clip_values=(0.0, 1.0)",
        "clip_values=(-1.0, 2.0)",
        "withstand::test_what_the_toolbox",
    ),
    (
        "no search without gradients",
        "measure/toolbox",
        "[*made, evasion.SquareAttack(judge, **common, nb_restarts=starts)]",
        "made",
        "withstand::test_a_flat",
    ),
    (
        "attack draws on from numpy's numbers",
        "measure/toolbox",
        "        stack.callback(np.random.set_state, np.random.get_state())\n",
        "        pass\n",
        "withstand::test_the_answer",
    ),
    (
        "attack unseeded",
        "measure/toolbox",
        "np.random.seed(seed)",
        "np.random.seed(0)",
        "withstand::test_the_answer",
    ),
    (
        "attack measured again",
        "commands/measure",
        "if entry not in have and entry[0] in args.kinds",
        "if entry[0] in args.kinds",
        "withstand::test_the_command",
    ),
    (
        "the best epoch's rows pass for the last's",
        "commands/common",
        "if path.stem.endswith('.best'):",
        "if False:",
        "withstand::test_a_network_named_twice",
    ),
    (
        "the named teacher ignored",
        "commands/common",
        "    if named:\n",
        "    if False:\n",
        "boundary::test_the_command",
    ),
    (
        "rows do not name the teacher's method",
        "study/jobs",
        "teacher = words(guide, self.teacher_method, ",
        "teacher = words(guide, ",
        "claims::test_a_neighbours",
    ),
    (
        "the teacher's method forgotten",
        "study/jobs",
        "self.teacher_method or 'teacher'",
        "'teacher'",
        "claims::test_a_neighbours",
    ),
    (
        "three robust teachers on MNIST",
        "study/claims",
        "guide = int(told['teacher_seed'])",
        "pass",
        "claims::test_a_neighbours",
    ),
    (
        "attacks trained for again",
        "study/claims",
        "need = [CLEAN] if line['perturbation'] in ATTACKS else conditions(line)",
        "need = conditions(line)",
        "claims::test_a_neighbours",
    ),
    (
        "a robust teacher's student passes for another",
        "study/jobs",
        "(' by pgd_at' if 'pgd_at' in row['teacher'] else '')",
        "''",
        "store::test_everyone",
    ),
    (
        "students of noise-trained teachers among everyone",
        "study/jobs",
        " & guide.isin(guides)",
        "",
        "store::test_everyone",
    ),
    (
        "a shortcut of neighbouring pixels",
        "networks/zoo",
        "x[:, :, ::self.stride, ::self.stride]",
        "x[:, :, :x.shape[2] // self.stride, :x.shape[3] // self.stride]",
        "networks::test_a_shortcut",
    ),
    (
        "a name in a file imports a maker",
        "networks/makers",
        "if name not in MAKERS:",
        "if name not in MAKERS and (not typed(word)):",
        "makers::test_a_name_in_a_file",
    ),
    (
        "another maker's teacher taken",
        "study/training",
        "if name and header.get('network') != name:",
        "if False:",
        "makers::test_another_maker",
    ),
    (
        "a maker's network started anew",
        "networks/zoo",
        "    if makers.maker_word(name):\n        return net\n",
        "",
        "makers::test_a_start",
    ),
    (
        "one network for student and teacher",
        "networks/makers",
        "if net in _MADE:",
        "if False:",
        "makers::test_one_network_twice",
    ),
    (
        "a maker's network untried",
        "networks/makers",
        "if said != (2, classes):",
        "if False:",
        "makers::test_what_is_no_network",
    ),
    (
        "two data sets' own networks share a file",
        "study/jobs",
        "told = told and (not networks.maker_word(self.net))",
        "pass",
        "makers::test_checkpoints_of_two",
    ),
    (
        "measured rows do not say of which pictures",
        "commands/common",
        "claim_rows(path, d, keep=True)",
        "pass",
        "makers::test_a_study",
    ),
    (
        "sweep measured again",
        "commands/measure",
        "_rows_there(file, head, file in new))\n        rows",
        "{})\n        rows",
        "makers::test_a_study",
    ),
    (
        "a new file of attacks lacks what lies beside it",
        "commands/measure",
        "new = not file.is_file()",
        "new = False",
        "withstand::test_a_new_file",
    ),
    (
        "statistics that let no image through are not said",
        "train/entry",
        "_say_dull(net, data.x_train[:8])",
        "pass",
        "door::test_fresh",
    ),
    (
        "epsilon of one's own ignored",
        "measure/toolbox",
        "own, levels = (epsilon, (epsilon,))",
        "pass",
        "withstand::test_own_pictures",
    ),
    (
        "bss walks from every image",
        "train/methods/supporting",
        "count or math.ceil(len(b.y) / 4)",
        "count or len(b.y)",
        "boundary::test_the_draws",
    ),
    (
        "halving goes the wrong way",
        "geometry/boundary",
        "like(gap(main_head(net(middle)), b, k) < 0",
        "like(gap(main_head(net(middle)), b, k) > 0",
        "boundary::test_halving",
    ),
    (
        "a third class on the border is kept",
        "geometry/boundary",
        "s.accepted[over] &= (a.argmax(1) == k) | (rule == 'code')",
        "pass",
        "boundary::test_halving_rejects",
    ),
    (
        "epochs not divided by replays",
        "train/recipes",
        "r._replace(epochs=math.ceil(r.epochs / r.replays))",
        "r",
        "adversarial::test_replays_divide",
    ),
    (
        "an auxiliary head is the main one",
        "geometry/steady",
        "found = found[0]",
        "found = found[-1]",
        "door::test_the_main_head",
    ),
    (
        "images changed in place are not seen",
        "geometry/steady",
        "if not x.is_meta and (not shown.equal(x)) and",
        "if False and",
        "door::test_images_changed_in_place",
    ),
    (
        "probabilities of a student are let through",
        "train/entry",
        "_meet('network', net, data, True)",
        "_meet('network', net, data, False)",
        "door::test_a_student_that_ends_in_softmax",
    ),
    (
        "a hint that reaches nothing",
        "train/hints",
        "if not features(net, x.clone()).requires_grad:",
        "if False:",
        "door::test_a_hint_that_reaches",
    ),
    (
        "the walk's gradient is not rehearsed",
        "train/entry",
        "'tempered' if how.through else ''",
        "''",
        "door::test_reentrant_checkpoints",
    ),
    (
        "few samples are shown in any case",
        "train/methods/supporting",
        "if 0 < len(kept) < 3 and (not takes_one(net, s.x[kept])):",
        "if False:",
        "door::test_one_or_two_boundary",
    ),
    (
        "flat logits are attacked as they are",
        "measure/toolbox",
        "if lead > FLAT else net",
        "if lead < 0 else net",
        "door::test_logits_far_apart",
    ),
    (
        "an attack takes gradients away",
        "measure/toolbox",
        "stack.enter_context(modules.put_back(list(net.parameters()), 'grad'))",
        "pass",
        "door::test_survives_and_sweep_leave",
    ),
    (
        "an attack leaves the mode",
        "measure/toolbox",
        "stack.enter_context(modules.standing(net, 'eval'))",
        "net.eval()",
        "door::test_survives_and_sweep_leave",
    ),
    (
        "a sweep leaves the mode",
        "measure/evaluate",
        "stack.enter_context(modules.standing(net, 'eval'))",
        "net.eval()",
        "door::test_survives_and_sweep_leave",
    ),
    (
        "mixed images are not seen",
        "geometry/steady",
        "if (mixing := _culprit(one, other, 1)):",
        "if (mixing := None):",
        "door::test_what_cannot_be_relied",
    ),
    (
        "draws are not seen",
        "geometry/steady",
        "if (changed := _culprit(one, again, 2)):",
        "if (changed := None):",
        "door::test_what_cannot_be_relied",
    ),
    (
        "logits alone are compared",
        "geometry/steady",
        "for a, b in flat if len(a) == 2",
        "for a, b in flat[-1:] if len(a) == 2",
        "door::test_what_cannot_be_relied",
    ),
    (
        "buffers laid anew stay",
        "geometry/steady",
        "buffers.update(before)",
        "pass",
        "door::test_what_cannot_be_copied",
    ),
    (
        "a look takes random numbers",
        "geometry/steady",
        "torch.random.fork_rng(devices=list(devices))",
        "contextlib.nullcontext()",
        "door::test_random_numbers",
    ),
    (
        "layers that sleep are woken",
        "networks/modules",
        "m.training = False",
        "m.training = True",
        "door::test_layers_in_evaluation",
    ),
    (
        "statistics that follow are let through",
        "networks/door",
        "if frozen_norm and buffer:",
        "if frozen_norm and (not buffer):",
        "door::test_a_student_that",
    ),
    (
        "students that mix are let through",
        "networks/door",
        "if own and mixing:",
        "if False:",
        "door::test_a_student_that",
    ),
    (
        "a single image is let through",
        "networks/door",
        "if single and (not takes_one(net, x)):",
        "if single and takes_one(net, x):",
        "door::test_a_student_that",
    ),
    (
        "a teacher's layer moves its statistics",
        "networks/door",
        "calm = same and",
        "calm = same or",
        "door::test_a_layer_of_the_teacher",
    ),
    (
        "bfloat16 is summed as it is",
        "networks/door",
        "return a.float() if full and",
        "return a if full and",
        "door::test_bfloat16",
    ),
    (
        "several teachers: logits averaged",
        "networks/modules",
        "torch.stack(logs).logsumexp(0)",
        "torch.stack(logs).mean(0)",
        "door::test_several_teachers",
    ),
    (
        "own schedule left out",
        "train/loop",
        "task.own.rate or functools",
        "functools",
        "door::test_an_optimiser",
    ),
    (
        "own loss of labels left out",
        "train/loop",
        "_Hard(own.hard) if own.hard else F.cross_entropy",
        "_Hard(F.cross_entropy) if own.hard else F.cross_entropy",
        "door::test_class_weights",
    ),
    (
        "own functions are not told",
        "train/loop",
        "repr(net) + own.told()",
        "repr(net)",
        "door::test_a_run_goes_on_only",
    ),
    (
        "one step says nothing",
        "train/entry",
        "* r.replays == 1:",
        "* r.replays == 0:",
        "door::test_a_run_of_one_step",
    ),
    (
        "the teacher sees plain images",
        "train/loop",
        "x = _augmented(x, own.augment) if own.augment else x",
        "x = x",
        "door::test_augmented",
    ),
]


def child(copy, out, words):
    """In a process of its own: pytest on the copy, what it prints into the file `out`."""
    os.chdir(copy)
    rooms = ("strength", "study", "workbook", "whole")
    sys.path[:0] = [str(copy), *(str(copy / "tests" / room) for room in rooms)]
    with open(out, "w") as f:
        os.dup2(f.fileno(), 1)
        os.dup2(f.fileno(), 2)
    import rsnl_lib

    assert pathlib.Path(rsnl_lib.__file__).parent == copy / "rsnl_lib", rsnl_lib.__file__
    sys.exit(int(pytest.main(words)))


def copied(folder):
    """What tests need of the project, copied into a folder: the library there may be broken."""
    copy = pathlib.Path(folder).resolve()
    for part in ("rsnl_lib", "tests", "data", "benchmarks"):
        shutil.copytree(
            ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "downloads")
        )
    for name in ("pyproject.toml", "CONTRIBUTING.md", "README.md"):
        shutil.copy(ROOT / name, copy)
    return copy


def run_words(copy, words, seconds=None):
    """(exit status, output) of pytest with these words on a copy; after `seconds` it is killed."""
    words = [*words, "-x", "-q", "--tb=short", "--noconftest", "-p", "no:cacheprovider"]
    process = multiprocessing.get_context("fork").Process(
        target=child, args=(copy, copy / "out.txt", words)
    )
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode, (copy / "out.txt").read_text()


def files_of(copy, names):
    """The test files of these names, wherever they lie."""
    return sorted({str(*copy.glob(f"tests/*/test_{name}.py")) for name in names})


def run_tests(copy, *chosen):
    """(exit status, output) of the chosen tests on a copy; "losses::test_score" is each test of
    test_losses.py named so far.
    """
    names = " or ".join(c.split("::")[1] for c in chosen)
    return run_words(copy, [*files_of(copy, [c.split("::")[0] for c in chosen]), "-k", names])


def verdict(status, output):
    """(killed?, the test, the assertion) from what pytest printed."""
    failed = re.search(r"^FAILED \S+?::(\S+)", output, re.M)
    error = re.search(r"^E +(.*)", output, re.M)
    if not error:  # several failures of one property
        error = re.search(r"^ *\| (AssertionError.*)", output, re.M)
    said = error[1].strip() if error else (output).strip()[-300:]
    if status == 0:
        return False, "", "SURVIVED: every test passed"
    if (
        status != 1
        or not failed
        or not re.match(r"assert |AssertionError|Failed: DID NOT RAISE", said)
    ):
        return False, failed[1] if failed else "", f"DIED OF AN ERROR, does not count: {said}"
    asserted = re.findall(
        r"^    ((?:assert|torch\.testing|np\.testing|with pytest).*)", output, re.M
    )
    return True, failed[1].split("[")[0], (asserted[-1] if asserted else said)[:110]


def main(names):
    begun, lived = time.perf_counter(), []
    chosen = [m for m in MUTANTS if not names or m[0] in names]
    if len(chosen) < len(names) or not chosen:
        sys.exit(f"unknown mutant among {names}; there are: {', '.join(m[0] for m in MUTANTS)}")
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(folder)
        status, output = run_tests(copy, *{m[4] for m in chosen})
        if status:
            sys.exit(f"the tests must pass before anything is broken:\n{output[-3000:]}")
        for name, file, old, new, test in chosen:
            path = copy / "rsnl_lib" / f"{file}.py"
            source = path.read_text()
            text = ast.unparse(ast.parse(source))
            if text.count(old) != 1:
                sys.exit(
                    f"mutant {name!r}: {old!r} stands {text.count(old)} times in what ast.unparse"
                    f" makes of {file}.py, not once; renew the mutant"
                )
            path.write_text(text.replace(old, new))
            killed, where, said = verdict(*run_tests(copy, test))
            path.write_text(source)
            lived += [name] * (not killed)
            print(f"{'killed' if killed else 'ALIVE ':6}  {name:34}  {where}: {said}", flush=True)
    print(
        f"{len(chosen) - len(lived)} of {len(chosen)} mutants killed in"
        f" {time.perf_counter() - begun:.0f} s"
    )
    sys.exit(bool(lived))


if __name__ == "__main__":
    main(sys.argv[1:])
