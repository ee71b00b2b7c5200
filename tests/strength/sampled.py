"""How strong are the tests, by a tool that nobody tuned to? `python tests/strength/sampled.py`
draws mutants of cosmic-ray by a seed, runs the tests of each module on each, and counts.

Needs `pip install cosmic-ray` beside the test extra, and fork (Linux or macOS). Results go on in
the file `--out` (default: sampled.csv in the temporary folder): a second call skips what it holds.
Mutations of annotations are left out: nothing runs them. `EQUIVALENT` lists drawn mutants that no
test can notice, each with the reason.
"""

import argparse
import ast
import csv
import hashlib
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1", HYPOTHESIS_SEED="0")
sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import cosmic_ray.plugins  # noqa: E402
from cosmic_ray.ast import ast_nodes, get_ast  # noqa: E402
from cosmic_ray.mutating import mutate_code  # noqa: E402
from mutations import ROOT, copied, files_of, run_words, verdict  # noqa: E402

SEED = 20261126  # written down before the first run
EACH = 14  # mutants a subject; the last has what is left of 150
# subject: its files, and the test files that should notice
SUBJECTS = {
    "losses": (["train/losses"], ["losses", "methods"]),
    "noise": (["data/perturb"], ["perturb", "evaluate"]),
    "bounds": (["theorem/bound", "theorem/search"], ["bound", "certify", "refused"]),
    "interval": (["theorem/interval", "theorem/jacobian"], ["certify", "refused"]),
    "certificates": (["theorem/certify"], ["certify", "refused"]),
    "LipSDP": (["theorem/lipsdp"], ["certify", "refused"]),
    "boundary": (["geometry/boundary"], ["boundary"]),
    "attacks": (["train/attacks", "geometry/ball"], ["attacks", "adversarial", "bound"]),
    "whitening": (["data/whiten"], ["whiten"]),
    "claims": (["study/claims", "study/register"], ["claims", "register"]),
    "statistics": (["measure/inference"], ["evaluate", "claims", "register"]),
}
# (file, old line, new line): why no test can tell them apart
EQUIVALENT = {
    (
        "theorem/jacobian",
        'if inner is not net and getattr(inner, "groups", 1) > 1:',
        'if inner is not net and getattr(inner, "groups", 1) != 1:',
    ): "a convolution has at least one group",
    (
        "geometry/boundary",
        's.accepted[over] &= (a.argmax(1) == k) | (rule == "code")',
        's.accepted[over] &= (a.argmax(1) == k) | (rule <= "code")',
    ): "of the two rules, paper and code, only code is not after code in the alphabet",
}


def in_annotations(source):
    """The (line, column) spans of annotations in a source."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            part = getattr(node, name, None)
            if part is not None:
                begin, end = (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)
                spans.append((begin, end))
    return spans


def mutations(source):
    """Every (operator, occurrence) of cosmic-ray in a source that is not in an annotation."""
    spans = in_annotations(source)
    nodes = list(ast_nodes(get_ast(source)))
    for name in sorted(cosmic_ray.plugins.operator_names()):
        kind = cosmic_ray.plugins.get_operator(name)
        if kind.arguments():
            continue
        operator = kind()
        places = [place for node in nodes for place in operator.mutation_positions(node)]
        for i, (begin, _) in enumerate(places):
            if not any(low <= tuple(begin) < high for low, high in spans):
                yield name, i


def drawn(subject, seed, number):
    """`number` mutants of a subject: (file, operator, occurrence, mutated source)."""
    every = []
    for file in SUBJECTS[subject][0]:
        source = (ROOT / "rsnl_lib" / f"{file}.py").read_text()
        every += [(file, source, *found) for found in mutations(source)]
    chance = random.Random(f"{seed} {subject}")
    chance.shuffle(every)
    out, seen = [], set()
    for file, source, name, i in every:
        made = mutate_code(source, cosmic_ray.plugins.get_operator(name)(), i)
        if made is None or made == source or (file, made) in seen:
            continue
        seen.add((file, made))
        out.append((file, name, i, made))
        if len(out) == number:
            return out
    return out


def difference(source, made):
    """The first line that differs, before and after."""
    pairs = zip(source.splitlines(), made.splitlines())
    return next(((a.strip(), b.strip()) for a, b in pairs if a != b), ("", ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subjects", nargs="*", default=list(SUBJECTS))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", default=pathlib.Path(tempfile.gettempdir()) / "sampled.csv")
    parser.add_argument("--minutes", type=float, default=8, help="a mutant that runs longer dies")
    args = parser.parse_args()
    done = {}
    if pathlib.Path(args.out).exists():
        done = {row["id"]: row for row in csv.DictReader(open(args.out))}
    fields = "id subject file operator occurrence old new outcome seconds test".split()
    with tempfile.TemporaryDirectory() as folder, open(args.out, "a", newline="") as out:
        writer = csv.DictWriter(out, fields)
        if not done:
            writer.writeheader()
        copy = copied(folder)
        for subject in args.subjects:
            files, tests = SUBJECTS[subject]
            number = 150 - EACH * (len(SUBJECTS) - 1) if subject == "statistics" else EACH
            for file, name, i, made in drawn(subject, args.seed, number):
                path = copy / "rsnl_lib" / f"{file}.py"
                source = path.read_text()
                key = hashlib.sha256((file + made).encode()).hexdigest()[:12]
                if key in done:
                    continue
                begun = time.perf_counter()
                path.write_text(made)
                status, output = run_words(copy, files_of(copy, tests), 60 * args.minutes)
                _, *said = verdict(status, output)
                path.write_text(source)
                old, new = difference(source, made)
                outcome = "survived" if status == 0 else "killed"
                if (file, old, new) in EQUIVALENT:
                    outcome = "equivalent"
                row = dict(id=key, subject=subject, file=file, operator=name, occurrence=i)
                row |= dict(old=old, new=new, outcome=outcome, test=": ".join(said))
                row["seconds"] = f"{time.perf_counter() - begun:.0f}"
                writer.writerow(row)
                out.flush()
                print(
                    f"{outcome:10} {subject:12} {file}: {old!r} -> {new!r}  {said[0]}", flush=True
                )
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
