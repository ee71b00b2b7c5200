"""Do the tests notice?

`python tests/strength/mutate_page.py [name ...]`: make figure3.html and photograph.html from broken
sources, run their tests, see an assertion fail.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from rsnl_lib.workbook.page import make, pack

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
        "Math.ceil((side - l.size) / l.stride)",
        "Math.floor((side - l.size) / l.stride)",
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
        "noise.js",
        "10 ** (snr / 10), mean",
        "10 ** (snr / 20), mean",
        "noise_has",
    ),
    (
        "noise power wrong, against the library",
        "noise.js",
        "10 ** (snr / 10), mean",
        "10 ** (snr / 20), mean",
        "noise_is",
    ),
    (
        "Poisson noise like Gaussian",
        "noise.js",
        "power * Math.abs(v) / mean}",
        "power}",
        "noise_is",
    ),
    (
        "noise in pairs",
        "noise.js",
        "z[i + 1] = r * Math.sin(angle)",
        "z[i + 1] = z[i]",
        "noise_has",
    ),
    (
        "class marked wrong",
        "frames.js",
        "M${26 * truth + 15} 58",
        "M${26 * top + 41} 58",
        "true_class",
    ),
    (
        "class marked is the answer",
        "frames.js",
        "M${26 * truth + 15} 58",
        "M${26 * top + 15} 58",
        "words_and_counts",
    ),
    (
        "change from clean turned",
        "frames.js",
        "change(p[truth] - clean[truth])",
        "change(clean[truth])",
        "words_and_counts",
    ),
    (
        "luck counts what is wrong",
        "frames.js",
        "a === (s.truth ??",
        "a !== (s.truth ??",
        "words_and_counts",
    ),
    (
        "moves queue",
        "frames.js",
        "  due = true;\n  said();\n  if (!running) run();",
        (
            "  said();\n  const s = settings();\n  globalThis.line = (globalThis.line ||"
            " Promise.resolve()).then(() => frame(s));"
        ),
        "latest_move",
    ),
    (
        "drawing not centred",
        "pad.js",
        "SIDE - 1) / 2 - weighed(ink)",
        "SIDE - 1) / 2 - 6",
        "drawn_digit",
    ),
    (
        "square not dragged",
        "page.js",
        "[row, column] = [at(e.offsetY), at(e.offsetX)]",
        "[row, column] = [at(e.offsetX), at(e.offsetY)]",
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
    (
        "slope of another score",
        "worker.js",
        "(j === y) - v)), tape)",
        "(j === y) + v)), tape)",
        "gradients",
    ),
    (
        "pool sends back to its corner",
        "worker.js",
        "from[o + i] = p + i",
        "from[o + i] = p",
        "gradients",
    ),
    (
        "attack goes down",
        "worker.js",
        "epsilon / 4 * Math.sign(v)",
        "-epsilon / 4 * Math.sign(v)",
        "attacked_images",
    ),
    (
        "attack leaves its ball",
        "worker.js",
        "-epsilon, epsilon), 0, 1)",
        "-1, 1), 0, 1)",
        "attacked_images",
    ),
    ("attack not shown", "frames.js", "return attackOf.x;", "return s.x;", "watched"),
    ("orange and purple changed", "frames.js", "v > 0 ? UP : DOWN", "v > 0 ? DOWN : UP", "reasons"),
    (
        "the square left out of the reasons",
        "frames.js",
        "spoil(s.base, plain)",
        "spoil(s.base, s)",
        "reasons",
    ),
    ("strokes halved in the address", "address.js", "v / 2)", "2 * Math.round(v / 4))", "fresh"),
    (
        "draw left out of the address",
        "address.js",
        "snr: t.snr, draw: t.draw,",
        "snr: t.snr,",
        "fresh",
    ),
    ("no way back", "page.js", "history.pushState", "history.replaceState", "back_leaves"),
    ("any level is taken", "address.js", "v >= low && v <= high", "v >= low", "cannot_mean"),
    (
        "guesses counted wrong",
        "page.js",
        "checked === (best(scores[m])",
        "checked !== (best(scores[m])",
        "hidden_until",
    ),
    (
        "answers shown before the look",
        "frames.js",
        "const hidden = guessing(s);",
        "const hidden = false;",
        "hidden_until",
    ),
    (
        "clear keeps the class",
        "pad.js",
        'if (!wanted.length) $("truth").value = "";',
        "",
        "clear_forgets",
    ),
    ("undo takes all", "pad.js", "strokes.slice(0, -1)", "[]", "clear_forgets"),
    (
        "every pointer draws",
        "pad.js",
        "pen.held === null && e.button",
        "e.button",
        "second_pointer",
    ),
    ("square stays", "page.js", 'if (taken) $("size").value = 0;', "if (taken) ;", "taken_off"),
    (
        "disabled looks enabled",
        "template.html",
        "input:disabled { opacity: .4; cursor",
        "input:disabled { cursor",
        "disabled",
    ),
    ("pen without a mark", "pad.js", '$("mark").style.left', '$("mark").title', "keyboard_pen"),
    (
        "answers below the fold",
        "template.html",
        ".nets { order: 1; } .later { order: 2; }",
        ".nets { order: 3; } .later { order: 2; }",
        "in_sight",
    ),
    ("saves the clean digit", "page.js", 'drawImage($("seen")', 'drawImage($("clean")', "saved"),
    ("link without its state", "page.js", "[0] + addressOf(state());", "[0];", "copied"),
    ("a loose policy", "template.html", "default-src 'none'", "default-src data:", "policy"),
    (
        "dense maxout takes its first half",
        "worker.js",
        "Math.max(a[j], a[n + j])",
        "a[j]",
        "logits_on_photographs",
    ),
    (
        "dense maxout flows back twice",
        "worker.js",
        "v * (1 - first[j])",
        "v",
        "gradients_on_photographs",
    ),
    (
        "square of a third of its width",
        "noise.js",
        "(y * SIDE + left + size) * CHANNELS",
        "(y * SIDE + left) * CHANNELS + size",
        "noise_and_square",
    ),
    ("one colour for three", "frames.js", "k % CHANNELS", "0 * k", "both_pictures"),
    ("not stretched for the eye", "frames.js", " - low) / (high - low)", ")", "both_pictures"),
    ("always the first photograph", "frames.js", "photos[s.source]", "photos[0]", "both_pictures"),
    (
        "no touch on the photograph",
        "page.js",
        '[$("seen"), $("clean")]',
        '[$("seen")]',
        "either_picture",
    ),
    (
        "an attack that the page has not",
        "address.js",
        '...($("attacked") && {attack',
        "...(true && {attack",
        "photograph_is_sent",
    ),
    (
        "reasons end where they begin",
        "frames.js",
        "scores[s.why[i]]]",
        "cleanOf[s.why[i]]]",
        "reasons_are",
    ),
    ("a try out of sight", "page.js", "scrollTo(0, 0);", "", "tapped"),
    ("who fell and who held changed", "frames.js", "!holds(m)", "holds(m)", "who_fell"),
    ("the farthest level", "frames.js", "far(a) - far(b)", "far(b) - far(a)", "nearest_measured"),
    ("look twice", "frames.js", '$("look").disabled = !hidden;', "", "counted_once"),
]


def broken(folder, file, there, instead):
    """figure3.html, photograph.html beside it, from sources in which `there` reads `instead`."""
    shutil.copytree(ROOT / "rsnl_lib" / "workbook" / "page", folder / "page")
    source = folder / "page" / file
    text = source.read_text("utf-8")
    if text.count(there) != 1:
        raise SystemExit(
            f"{file} holds {there!r} {text.count(there)} times; a mutant needs exactly one"
        )
    source.write_text(text.replace(there, instead), "utf-8")
    pack.HERE = folder / "page"
    make.save_page(folder / "figure3.html")
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
                    "tests/workbook/test_page_instrument.py",
                    "tests/workbook/test_photograph.py",
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
