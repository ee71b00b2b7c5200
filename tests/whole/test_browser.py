"""A browser opens the explorer in JupyterLab: every control moves it, soon enough, and the console
stays clean.
"""

import contextlib
import io
import json
import math
import os
import pathlib
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BOOK = "05_noise_and_occlusion.ipynb"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH"),
]

VIEW = ".rsnl-explorer .rsnl-view"
# Pictures (loaded ones only) and bars as text; '' while there is nothing whole to see.
STATE = """() => {
    const view = document.querySelector('.rsnl-explorer .rsnl-view');
    if (!view) return {image: '', bars: ''};
    const images = [...view.querySelectorAll('img.rsnl-image')];
    const whole = images.length && images.every(i => i.complete && i.naturalWidth);
    return {image: whole ? images.map(i => i.src).join() : '',
            bars: [...view.querySelectorAll('.rsnl-bars')].map(b => b.innerHTML).join()};
}"""
KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
# A key's press and, in ms after it, the stations of its move: sent to the kernel, answered, in the
# page, in the first frame in which
# picture and bars are both new, painted; `kernel` is what the kernel took by its own clock. Redraws
# are counted; `settle` is from the
# last key to the first frame that shows window.rsnl.goal.
WATCH = f"""() => {{
    const state = {STATE}, box = document.querySelector('.rsnl-explorer');
    const rsnl = window.rsnl = {{moves: [], pending: false, redraws: 0, goal: '', settle: 0}};
    let move = {{}}, start = 0, busy = 0;
    const since = () => performance.now() - start;
    {KERNEL}.anyMessage.connect((_, {{msg, direction}}) => {{
        const date = Date.parse(msg.header.date);
        if (msg.content.execution_state === 'busy') busy = date;
        if (msg.header.msg_type !== 'comm_msg') return;
        if (direction === 'send') move.sent ??= since();
        if (direction === 'recv' && (msg.content.data.state?.value + '').includes('rsnl-view')) {{
            rsnl.redraws += 1;
            move.answered ??= since();
            move.kernel ??= date - busy;
        }}
    }});
    new MutationObserver(() => {{ if (move.answered) move.page ??= since(); }}).observe(box, {{subtree: true, childList: true}});
    const frames = (mine, seen, then) => requestAnimationFrame(() => {{
        if (mine === move && since() < 20000) seen() ? then() : frames(mine, seen, then);
    }});
    document.addEventListener('keydown', () => {{
        const mine = move = {{}}, old = state();
        start = performance.now();
        rsnl.pending = true;
        if (rsnl.goal) return frames(mine, () => box.querySelector('.rsnl-note').textContent.includes(rsnl.goal), () => {{
            [rsnl.settle, rsnl.pending] = [since(), false];
        }});
        frames(mine, () => {{ const now = state(); return now.image && now.image !== old.image && now.bars !== old.bars; }}, () => {{
            mine.frame = since();
            const painted = new MessageChannel();
            painted.port1.onmessage = () => {{ mine.painted = since(); rsnl.moves.push(mine); rsnl.pending = false; }};
            painted.port2.postMessage(0);
        }});
    }}, true);
}}"""


@contextlib.contextmanager
def jupyterlab(folder):
    """JupyterLab on loopback over `folder`, with settings and HOME of its own; yields address and
    token.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token = secrets.token_hex(16)
    settings = json.loads((ROOT / "jupyter/labconfig/default_setting_overrides.json").read_text())
    settings["@jupyterlab/notebook-extension:tracker"] = {
        "windowingMode": "none"
    }  # keep every cell in the page
    shutil.copytree(ROOT / "jupyter", folder / "config")
    (folder / "config/labconfig/default_setting_overrides.json").write_text(json.dumps(settings))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER_", "JPY_", "TQDM"))}
    env |= {
        "HOME": str(folder),
        "JUPYTER_TOKEN": token,
        "JUPYTER_PREFER_ENV_PATH": "1",
        **{
            f"JUPYTER_{n.upper()}": str(folder / n)
            for n in ("config_dir", "data_dir", "runtime_dir")
        },
        "JUPYTER_CONFIG_PATH": str(folder / "config"),
    }
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True",
    ]
    command += ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    with open(folder / "server.log", "w+") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            end = time.time() + 120
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5).close()
                    break
                except urllib.error.HTTPError:
                    break
                except OSError:
                    assert server.poll() is None and time.time() < end, (
                        folder / "server.log"
                    ).read_text()
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}", token
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@pytest.fixture
def page():
    """A page that reaches loopback only; its console's errors are kept in page.errors."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)
        page.errors = []
        page.route(re.compile(r"^https?://(?!127\.0\.0\.1[:/])"), lambda route: route.abort())

        def console(message):
            url = message.location.get("url", "")
            if message.type == "error" and (not url or "//127.0.0.1" in url):
                page.errors.append(f"{message.text} [{url}]")

        page.on("console", console)
        page.on("pageerror", lambda error: page.errors.append(f"uncaught: {error}"))
        yield page
        browser.close()


def state(page):
    return page.evaluate(STATE)


def changed(page, old, what, parts=("image", "bars")):
    """Wait until all the named parts of the view differ from `old`; the new state."""
    end = time.perf_counter() + 20
    while True:
        now = state(page)
        if now["image"] and all(now[p] != old[p] for p in parts):
            return now
        assert time.perf_counter() < end, f"{what}: {' and '.join(parts)} did not follow"
        page.wait_for_timeout(10)


def press(page, slider, key):
    handle = page.locator(
        f".rsnl-explorer .widget-slider:has(.widget-label:text-is('{slider}')) .noUi-handle"
    )
    handle.focus()
    page.keyboard.press(key)


def moved(page, count):
    """The stations of `count` moves of the SNR slider in the deepest noise, where every step
    shows.
    """
    page.evaluate("window.rsnl.goal = ''")
    press(page, "SNR (dB)", "Home")
    settled(page)
    page.evaluate("() => { window.rsnl.moves = []; window.rsnl.pending = false; }")
    for i in range(count):
        press(page, "SNR (dB)", "ArrowRight" if i // 10 % 2 == 0 else "ArrowLeft")
        page.wait_for_function("() => !window.rsnl.pending", timeout=20_000)
    moves = page.evaluate("window.rsnl.moves")
    assert len(moves) == count
    return moves


def within(moves, station, share=0.95):
    """The time within which `share` of the moves reach a station, in ms."""
    return sorted(m[station] for m in moves)[math.ceil(share * len(moves)) - 1]


def burst(page, count=40):
    """(ms from the last of `count` keys to the frame that shows its value, redraws) for keys as
    fast as they go.
    """
    page.evaluate("window.rsnl.goal = 'none yet'")
    press(page, "SNR (dB)", "Home")
    settled(page)
    page.evaluate(
        f"() => {{ window.rsnl.goal = 'SNR {-6 + count / 2:g} dB'; window.rsnl.redraws = 0; }}"
    )
    for _ in range(count):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("() => !window.rsnl.pending", timeout=20_000)
    seen = page.locator(VIEW).inner_html()
    page.wait_for_timeout(600)
    assert page.locator(VIEW).inner_html() == seen, (
        "the picture went on moving after the last key's value was shown"
    )
    return page.evaluate("[window.rsnl.settle, window.rsnl.redraws]")


def settled(page):
    """The state once it has stood still for a while."""
    old, since = state(page), time.perf_counter()
    while time.perf_counter() - since < 0.6:
        page.wait_for_timeout(50)
        if (now := state(page)) != old:
            old, since = now, time.perf_counter()
    return old


def digit(path):
    """A PNG of a hand-drawn 7, dark on light, as a phone would take it."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (240, 320), (238, 236, 228))
    ImageDraw.Draw(picture).line(
        [(60, 70), (180, 70), (110, 250)], fill=(30, 30, 60), width=22, joint="curve"
    )
    raw = io.BytesIO()
    picture.save(raw, "png")
    path.write_bytes(raw.getvalue())
    return path


def violations(page, where):
    """What axe, loaded before, finds wrong with a part of the page."""
    return page.evaluate(
        "(where) => axe.run(where).then((r) => r.violations.map((v) => v.id + ': ' +"
        " v.nodes.map((n) => n.html).join(' ')))",
        where,
    )


@contextlib.contextmanager
def opened(page, folder, book, view):
    """The notebook `book`, opened in JupyterLab and run from top to bottom; the folder for
    screenshots.
    """
    if not (ROOT / "notebooks" / book).is_file():
        pytest.fail(f"notebooks/{book} is missing: python3 run.py render")
    shots = pathlib.Path(os.environ.get("RSNL_SHOTS") or folder / "shots")
    shots.mkdir(parents=True, exist_ok=True)
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / book, folder / "notebooks")
    with jupyterlab(folder) as (address, token):
        page.goto(f"{address}/lab/tree/notebooks/{book}?token={token}&reset")
        page.locator(".jp-Notebook").wait_for()
        page.evaluate("window.jupyterapp.restored.then(() => true)")
        page.wait_for_function(
            """() => { const w = window.jupyterapp.shell.currentWidget;
            return w?.context?.isReady && w.sessionContext?.session?.kernel?.status === 'idle'; }"""
        )
        page.evaluate(
            "window.jupyterapp.commands.execute('notebook:run-all-cells')"
        )  # resolves when all have run
        page.locator(view).first.wait_for(timeout=300_000)
        page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status ==="
            " 'idle'",
            timeout=300_000,
        )
        yield shots
        page.close()  # before its server goes
        assert not page.errors, "\n".join(page.errors)


@pytest.mark.parametrize(
    "book, boxes",
    [
        ("01_theorem.ipynb", ["push", "plane"]),
        ("02_losses.ipynb", ["pulls"]),
        ("04_margins.ipynb", ["examples"]),
        ("06_tables.ipynb", ["readings"]),
        ("07_adversarial.ipynb", ["attacked"]),
        ("08_boundary.ipynb", ["walk"]),
        ("09_claims.ipynb", ["verdicts"]),
    ],
)
def test_every_control_of_a_chapter_moves_its_picture(page, tmp_path, book, boxes, record_property):
    moved = []
    with opened(page, tmp_path, book, f".rsnl-{boxes[-1]} .rsnl-view") as shots:
        for box in boxes:
            here = page.locator(f".rsnl-{box}")
            here.scroll_into_view_if_needed()
            view = here.locator(".rsnl-view")

            def follows(what, old):
                end = time.perf_counter() + 20
                while (now := view.inner_html()) == old:
                    assert time.perf_counter() < end, f"{box}: the picture did not follow {what}"
                    page.wait_for_timeout(20)
                assert view.get_attribute("role") != "alert", f"{box}: {view.inner_text()}"
                moved.append(f"{box}: {what}")
                return now

            seen = view.inner_html()
            page.screenshot(path=shots / f"{box}.png")
            for handle in here.locator(".noUi-handle").all():
                handle.focus()
                page.keyboard.press("ArrowRight")
                seen = follows(f"slider {len(moved)}", seen)
            for choice in here.locator(".widget-dropdown select").all():
                for option in range(1, choice.locator("option").count()):
                    choice.select_option(index=option)
                    seen = follows(f"choice {option}", seen)
            page.screenshot(path=shots / f"{box}-moved.png")
            page.evaluate((ROOT / "tests/vendor/axe.min.js").read_text("utf-8"))
            broken = violations(page, f".rsnl-{box}")
            assert not broken, "\n".join(broken)
    record_property(f"{book[:2]}", f"{len(moved)} moves of sliders and choices, all followed")


def test_explorer(page, tmp_path, record_property):
    with opened(page, tmp_path, BOOK, VIEW) as shots:
        page.locator(".rsnl-explorer").scroll_into_view_if_needed()
        seen = settled(page)
        assert seen["image"] and "<svg" in seen["bars"]
        page.screenshot(path=shots / "explorer.png")

        page.locator(
            ".rsnl-explorer .widget-dropdown:has(.widget-label:text-is('noise')) select"
        ).select_option("poisson")
        seen = changed(page, seen, "noise")
        press(page, "image", "Home")  # a 0; the narrow 1 of the opening can lie under the square
        seen = changed(page, seen, "image")
        press(page, "occlusion size", "End")  # first, or row and column have nothing to move
        seen = changed(page, seen, "occlusion size")
        names = [
            n.strip()
            for n in page.locator(".rsnl-explorer .widget-slider .widget-label").all_inner_texts()
        ]
        assert {"SNR (dB)", "occlusion size", "row", "column", "image"} <= set(names), names
        for name in names:
            if name != "occlusion size":
                press(page, name, "ArrowRight")
                seen = changed(page, seen, name)
        page.screenshot(path=shots / "moved.png")

        press(page, "occlusion size", "Home")
        changed(page, seen, "occlusion size")
        press(page, "noise draw", "Home")
        settled(page)
        page.evaluate(WATCH)
        for runs in range(1, 4):  # a busy machine gets three
            moves = moved(page, 50)
            p95 = within(moves, "frame")
            if p95 <= 80:
                break
        spent = {
            "to the message": ("", "sent"),
            "to the kernel's answer": ("sent", "answered"),
            "to the page": ("answered", "page"),
            "to the frame": ("page", "frame"),
            "to its end": ("frame", "painted"),
        }
        spent = [
            f"{name} {statistics.median(m[b] - m.get(a, 0) for m in moves):.0f}"
            for name, (a, b) in spent.items()
        ]
        record_property(
            "SNR slider, key press to the first frame with new picture and bars",
            f"median {within(moves, 'frame', 0.5):.0f} ms, p95 {p95:.0f} ms (50 moves, run {runs});"
            f" medians: {', '.join(spent)}, of the answer {within(moves, 'kernel', 0.5):.0f} in the"
            f" kernel; painted: p95 {within(moves, 'painted'):.0f}",
        )
        assert p95 <= 80

        for runs in range(1, 4):
            settle, redraws = burst(page)
            if settle <= 200:
                break
        record_property(
            "40 keys at once", f"the last is seen after {settle:.0f} ms, {redraws} redraws"
        )
        assert settle <= 200
        page.evaluate(
            KERNEL
            + """.requestExecute({code: "import time\\nfor net in nets.values(): net.register_forward_hook(lambda *a: time.sleep(0.04))"}).done"""
        )
        press(page, "noise draw", "ArrowRight")  # asks the networks, 0.2 s a redraw
        settle, redraws = burst(page)
        record_property("the same at 0.2 s a redraw", f"{settle:.0f} ms, {redraws} redraws")
        assert (
            settle <= 800 and redraws <= 20
        )  # one under way and one more; a queue of 40 takes 8 s

        seen = settled(page)
        with page.expect_file_chooser() as chooser:
            page.locator(".rsnl-explorer .widget-upload").click()
        chooser.value.set_files(digit(tmp_path / "seven.png"))
        changed(page, seen, "own picture")
        settled(page)
        page.screenshot(path=shots / "own_picture.png")


def test_the_explorer_is_named_and_fits_a_narrow_window(page, tmp_path, record_property):
    """axe finds no control without a name, before and after a move; at 700 pixels the controls lie
    below the view, and no slider has shrunk.
    """
    with opened(page, tmp_path, BOOK, VIEW) as shots:
        page.evaluate((ROOT / "tests/vendor/axe.min.js").read_text("utf-8"))
        for width in (1400, 700):
            page.set_viewport_size({"width": width, "height": 900})
            if width == 700:  # a reader closes the file browser
                page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
            here = page.locator(".rsnl-explorer")
            here.evaluate("(box) => box.scrollIntoView()")
            settled(page)
            press(page, "SNR (dB)", "ArrowRight")
            settled(page)
            page.screenshot(path=shots / f"explorer-{width}.png")
            broken = violations(page, ".rsnl-explorer")
            assert not broken, "\n".join(broken)
            names = here.locator(".noUi-handle").evaluate_all(
                "(all) => all.map((h) => h.getAttribute('aria-label'))"
            )
            assert names == ["image", "SNR (dB)", "noise draw", "occlusion size", "row", "column"]
            view = here.locator(".rsnl-view").bounding_box()
            for slider in here.locator(".widget-slider").all():
                box, track = slider.bounding_box(), slider.locator(".noUi-target").bounding_box()
                assert track["width"] > 100 and box["x"] + box["width"] <= width
                assert slider.locator(".widget-readout").bounding_box()["width"] > 30
                if width == 700:
                    assert box["y"] >= view["y"] + view["height"] - 1
                else:
                    assert box["x"] >= view["x"] + view["width"] - 1
            record_property(
                f"explorer at {width}", f"view {view['width']:.0f} x {view['height']:.0f}"
            )
