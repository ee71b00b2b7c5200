"""Do the tests notice?

`python tests/strength/mutate_page.py [name ...]`: make figure3.html from broken
sources, run its tests, see an assertion fail.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from rsnl_lib.workbook.page import make

ROOT = pathlib.Path(__file__).resolve().parents[2]
MUTANTS = [  # name, file, what stands there, what shall stand there, the test that should notice
    (
        "padding off by one",
        "worker.js",
        "((y + edge) * wide + edge) * c",
        "((y + edge) * wide + edge + 1) * c",
        "logits",
    ),
    (
        "ceil pooling lost",
        "worker.js",
        "Math.ceil((side - size) / stride)",
        "Math.floor((side - size) / stride)",
        "logits",
    ),
    (
        "plain convolution: a pixel late",
        "worker.js",
        "((y + line) * side + at) * c",
        "((y + line) * side + at + 1) * c",
        "without_webassembly",
    ),
    (
        "noise power wrong",
        "page.js",
        "10 ** (snr / 10), mean",
        "10 ** (snr / 20), mean",
        "noise_has",
    ),
    (
        "noise power wrong, against the library",
        "page.js",
        "10 ** (snr / 10), mean",
        "10 ** (snr / 20), mean",
        "noise_is",
    ),
    ("Poisson noise like Gaussian", "page.js", "power * Math.abs(v) / mean}", "power}", "noise_is"),
    ("noise in pairs", "page.js", "z[i + 1] = r * Math.sin(angle)", "z[i + 1] = z[i]", "noise_has"),
    (
        "class marked wrong",
        "page.js",
        "M${26 * truth + 15} 70",
        "M${26 * top + 41} 70",
        "true_class",
    ),
    (
        "class marked is the answer",
        "page.js",
        "M${26 * truth + 15} 70",
        "M${26 * top + 15} 70",
        "words_and_counts",
    ),
    (
        "change from clean turned",
        "page.js",
        "change(p[truth] - clean[truth])",
        "change(clean[truth])",
        "words_and_counts",
    ),
    (
        "luck counts what is wrong",
        "page.js",
        "a === (s.truth ??",
        "a !== (s.truth ??",
        "words_and_counts",
    ),
    (
        "moves queue",
        "page.js",
        "  due = true;\n  said();\n  if (!running) run();",
        (
            "  said();\n  const s = settings();\n  globalThis.line = (globalThis.line ||"
            " Promise.resolve()).then(() => frame(s));"
        ),
        "latest_move",
    ),
    (
        "drawing not centred",
        "page.js",
        "SIDE - 1) / 2 - weighed(ink)",
        "SIDE - 1) / 2 - 6",
        "drawn_digit",
    ),
    (
        "square not dragged",
        "page.js",
        "[at(e.offsetY), at(e.offsetX)]",
        "[at(e.offsetX), at(e.offsetY)]",
        "dragging",
    ),
    (
        "slider without label",
        "template.html",
        '<label for="snr">SNR</label>',
        "<span>SNR</span>",
        "accessibility",
    ),
    ("pale text", "template.html", "--soft: #565c64", "--soft: #a0a5ab", "accessibility"),
    (
        "too wide for a phone",
        "template.html",
        "body { margin: 0 auto;",
        "body { min-width: 25rem; margin: 0 auto;",
        "touch",
    ),
    (
        "asks the network",
        "page.js",
        "build();\nlisten();",
        'build();\nlisten();\nfetch("https://example.org/");',
        "dragging",
    ),
    ("a loose policy", "template.html", "default-src 'none'", "default-src data:", "policy"),
]


def broken(folder, file, there, instead):
    """figure3.html from sources in which `there` reads `instead`."""
    shutil.copytree(ROOT / "rsnl_lib" / "workbook" / "page", folder / "page")
    source = folder / "page" / file
    text = source.read_text("utf-8")
    if text.count(there) != 1:
        raise SystemExit(
            f"{file} holds {there!r} {text.count(there)} times; a mutant needs exactly one"
        )
    source.write_text(text.replace(there, instead), "utf-8")
    make.HERE = folder / "page"
    (folder / "figure3.html").write_bytes(make.page_bytes())
    return folder / "figure3.html"


def main(names):
    alive = 0
    for name, file, there, instead, test in MUTANTS:
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            made = broken(pathlib.Path(folder), file, there, instead)
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pytest",
                    "tests/workbook/test_page.py",
                    "-x",
                    "-q",
                    "-p",
                    "no:cacheprovider",
                    "-k",
                    test,
                ],
                cwd=ROOT,
                env={**os.environ, "RSNL_PAGE": str(made)},
                capture_output=True,
                text=True,
            )
        said = re.findall(r"^E +(?:AssertionError: (.*)|(assert .*))$", done.stdout, re.M)
        killed = done.returncode == 1 and bool(said)
        alive += not killed
        print(
            f"{'killed' if killed else 'ALIVE '}  {name}  ({test}:"
            f" {' '.join(said[0])[:150].strip() if said else done.stdout[-300:]})",
            flush=True,
        )
    return alive


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
