"""Do the tests notice? `python tests/mutations.py [name ...]`: break a copy of the library in one place, run tests, see them fail.

Each mutant is an exact replacement in one file. It counts as killed only if an assertion of a test fails;
dying of an error (a syntax error, a missing name, ...) does not count. Needs fork: Linux or macOS.
"""
import multiprocessing
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1")
sys.dont_write_bytecode = True              # a mutant may have the size and the second of the file before it

import hypothesis  # noqa: E402, F401       (what takes long to import is imported once; each mutant is then forked)
import pytest  # noqa: E402
import safetensors.torch  # noqa: E402, F401
import sklearn.datasets  # noqa: E402, F401
import sklearn.model_selection  # noqa: E402, F401

HERE = pathlib.Path(__file__).resolve().parent
MUTANTS = [     # name, file, what stands there, what shall stand there, the tests that should notice
    ("hinge: networks swapped", "losses", "zero=True) + f_T - f_S)", "zero=True) + f_S - f_T)", "losses::test_score_loss"),
    ("hinge: sign of gamma", "losses", 'F.relu(positive("gamma"', 'F.relu(-positive("gamma"', "losses::test_score_loss"),
    ("method swaps the scores", "methods", "score_loss(f_S, f_T, r", "score_loss(f_T, f_S, r", "methods::test_robust_is"),
    ("soft target is the student", "losses", "F.softmax(a_T / tau, dim=1) * F.log_softmax(a_S / tau",
     "F.softmax(a_S / tau, dim=1) * F.log_softmax(a_T / tau", "losses::test_soft_cross"),
    ("teacher's logits keep their graph", "train", "a.append(logits.detach())", "a.append(logits)", "methods::test_each_term"),
    ("g_T kept from the student", "methods", "gradient_loss(g_S, b.g_T)", "gradient_loss(g_S, g_S.detach())", "methods::test_robust_is"),
    ("create_graph lost", "losses", "create_graph=create_graph)", "create_graph=False)", "losses::test_input_gradient_is"),
    ("create_graph not asked for", "methods", "create_graph=True", "create_graph=False", "methods::test_parameter"),
    ("lambda dropped from Eq. 3", "losses", 'positive("lam", lam, zero=True) * soft_', "soft_", "losses::test_kd_loss"),
    ("lambda dropped from the method", "methods", "b.lam * (", "1.0 * (", "methods::test_weights"),
    ("lambda constant over the epochs", "train", "(r.lam_end - r.lam) * share", "0.0 * share", "train::test_lambda"),
    ("weights ignored in the sum", "train", "sum(weight * value for", "sum(value for", "methods::test_robust_without"),
    ("tau forgotten in the score", "losses", 'F.softmax(a / positive("tau", tau)', "F.softmax(a", "losses::test_score_is"),
    ("tau forgotten for the soft target", "losses", "F.softmax(a_T / tau", "F.softmax(a_T", "losses::test_soft_cross"),
    ("tau forgotten in g_S", "methods", "b.y, r.tau, create", "b.y, 1.0, create", "methods::test_robust_is"),
    ("tau forgotten in g_T", "train", "y[i:i + chunk], tau)", "y[i:i + chunk])", "train::test_teacher_constants"),
    ("gradient target ignored", "losses", "(g_S - g_T).square()", "g_S.square()", "losses::test_gradient_loss"),
    ("gradient loss not squared", "losses", "(g_S - g_T).square()", "(g_S - g_T).abs()", "losses::test_gradient_loss"),
    ("noise power centred", "perturb", "x.square().mean(dim=(1, 2, 3), keepdim=True)",
     "x.var(dim=(1, 2, 3), keepdim=True)", "perturb::test_power_is"),
    ("SNR: decibels as amplitude", "perturb", "10 ** (snr / 10)", "10 ** (snr / 20)", "perturb::test_ten_decibels"),
    ("SNR: units swapped", "perturb", 'if unit == "ratio"', 'if unit == "dB"', "perturb::test_the_unit"),
    ("SNR: the row's unit ignored", "evaluate", 'unit or "dB"', '"dB"', "evaluate::test_the_noise"),
    ("Poisson noise like Gaussian", "perturb", "(share * power(x) / ratio)", "(0 * share + power(x) / ratio)", "perturb::test_poisson"),
    ("occlusion one pixel too wide", "perturb", "col < left + size", "col <= left + size", "perturb::test_occlusion_zeroes"),
    ("occlusion misses the last row", "perturb", "torch.randint(h - size + 1", "torch.randint(max(h - size, 1)",
     "perturb::test_occlusion_reaches"),
    ("a noise for each network", "evaluate", "right[key] += (net(seen)",
     'right[key] += (net(perturb.apply(kind, seen, level or 1, generator, unit or "dB"))', "evaluate::test_all_networks"),
    ("seed ignored in training", "train", "torch.manual_seed(seed * 100_003 + epoch)", "torch.manual_seed(epoch)",
     "train::test_a_seed"),
    ("seed ignored at the start", "train", "torch.Generator().manual_seed(seed)", "torch.Generator().manual_seed(0)",
     "networks::test_the_start"),
    ("seed ignored in the noise", "evaluate", '{seed} {kind}', '{kind}', "evaluate::test_draws"),
    ("resume forgets the optimiser", "train", 'step.load_state_dict(s["step"])', "pass", "train::test_a_resumed"),
    ("resume forgets the epoch", "train", 'return len(s["history"]), s', "return 0, s", "train::test_a_resumed"),
    ("damaged state taken for none", "train", 'raise ValueError(f"{state} is damaged', 'return 0, net.state_dict(), -1, []\n        raise ValueError(f"{state} is damaged',
     "train::test_a_damaged"),
    ("last and best confused", "train", 'row["val_accuracy"] >= history', 'row["val_accuracy"] < history', "train::test_a_run_uses"),
]


def child(copy, out, words):
    """In a process of its own: pytest on the copy, what it prints into the file `out`."""
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    with open(out, "w") as f:
        os.dup2(f.fileno(), 1)
        os.dup2(f.fileno(), 2)
    import rsnl_lib
    assert pathlib.Path(rsnl_lib.__file__).parent == copy / "rsnl_lib", rsnl_lib.__file__
    sys.exit(int(pytest.main(words)))


def run_tests(copy, *chosen):
    """(exit status, output) of the chosen tests on a copy; "losses::test_score" is each test of test_losses.py named so far."""
    files = sorted({f"tests/test_{c.split('::')[0]}.py" for c in chosen})
    names = " or ".join(c.split("::")[1] for c in chosen)
    words = [*files, "-k", names, "-x", "-q", "--tb=short", "--noconftest", "-p", "no:cacheprovider"]
    process = multiprocessing.get_context("fork").Process(target=child, args=(copy, copy / "out.txt", words))
    process.start()
    process.join()
    return process.exitcode, (copy / "out.txt").read_text()


def verdict(status, output):
    """(killed?, the test, the assertion) from what pytest printed."""
    failed = re.search(r"^FAILED \S+?::(\S+)", output, re.M)
    error = re.search(r"^E +(.*)", output, re.M)
    said = error[1].strip() if error else (output).strip()[-300:]
    if status == 0:
        return False, "", "SURVIVED: every test passed"
    if status != 1 or not failed or not re.match(r"assert |AssertionError|Failed: DID NOT RAISE", said):
        return False, failed[1] if failed else "", f"DIED OF AN ERROR, does not count: {said}"
    asserted = re.findall(r"^    ((?:assert|torch\.testing|np\.testing|with pytest).*)", output, re.M)
    return True, failed[1].split("[")[0], (asserted[-1] if asserted else said)[:110]


def main(names):
    begun, lived = time.perf_counter(), []
    chosen = [m for m in MUTANTS if not names or m[0] in names]
    if len(chosen) < len(names) or not chosen:
        sys.exit(f"unknown mutant among {names}; there are: {', '.join(m[0] for m in MUTANTS)}")
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder).resolve()
        for part in ("rsnl_lib", "tests"):
            shutil.copytree(HERE.parent / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(HERE.parent / "pyproject.toml", copy)
        status, output = run_tests(copy, *{m[4] for m in chosen})
        if status:
            sys.exit(f"the tests must pass before anything is broken:\n{output[-3000:]}")
        for name, file, old, new, test in chosen:
            path = copy / "rsnl_lib" / f"{file}.py"
            text = path.read_text()
            if text.count(old) != 1:
                sys.exit(f"mutant {name!r}: {old!r} stands {text.count(old)} times in {file}.py, not once; renew the mutant")
            path.write_text(text.replace(old, new))
            killed, where, said = verdict(*run_tests(copy, test))
            path.write_text(text)
            lived += [name] * (not killed)
            print(f"{'killed' if killed else 'ALIVE ':6}  {name:34}  {where}: {said}", flush=True)
    print(f"{len(chosen) - len(lived)} of {len(chosen)} mutants killed in {time.perf_counter() - begun:.0f} s")
    sys.exit(bool(lived))


if __name__ == "__main__":
    main(sys.argv[1:])
