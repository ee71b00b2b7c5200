"""photograph.html: figure3.html's instrument with three channels and the trial's CIFAR networks."""

import base64
import io

import numpy as np
import pytest
import torch
from page_tools import PHOTOGRAPH, axe, both, each, shots, still, time_moves
from PIL import Image

from rsnl_lib import data, env, store
from rsnl_lib.data import perturb, whiten
from rsnl_lib.workbook.page import photograph

CLEAN = dict(kind="none", snr=0, draw=1, size=0, top=0, left=0)
WHITE = CLEAN | dict(kind="gaussian", snr=4)
SEVERAL = (
    CLEAN,
    WHITE,
    CLEAN | dict(kind="poisson", snr=1, draw=7),
    CLEAN | dict(kind="gaussian", snr=10, draw=2, size=10, top=25, left=3),
)
SEEN = "(s) => gallery.map((x) => [...spoil(x, s)])"


@pytest.fixture
def page(opened):
    return opened(file=PHOTOGRAPH)


def pictures(values):
    """The page's images, channels last, as PyTorch has them."""
    return torch.tensor(values).view(-1, 32, 32, 3).permute(0, 3, 1, 2)


def networks():
    """{method: network of the trial}, in the page's order."""
    return {m: store.load_checkpoint(job.path())[0] for m, job in photograph.trial_jobs().items()}


@torch.no_grad()
def apart(page, settings):
    """{method: largest difference} of logits, page and PyTorch, on all twenty photographs."""
    seen, answers = page.evaluate(
        """async (s) => { const seen = gallery.map((x) => spoil(x, s));
        const answers = await ask(seen, methods);
        return [seen.map((x) => [...x]), answers.map((a) => a.map((l) => [...l]))]; }""",
        settings,
    )
    seen, answers = pictures(seen), torch.tensor(answers)
    assert len(seen) == 20
    pairs = enumerate(networks().items())
    return {m: float((answers[:, i] - net(seen)).abs().max()) for i, (m, net) in pairs}


def test_the_photographs_are_current():
    assert photograph.photograph_bytes() == photograph.PHOTOGRAPH.read_bytes(), (
        "photograph.html is stale: python -m rsnl_lib page"
    )


@both
def test_logits_on_photographs_are_pytorchs(page, record_property):
    found = [apart(page, settings) for settings in SEVERAL]
    worst = {m: max(f[m] for f in found) for m in found[0]}
    said = ", ".join(f"{m} {v:.1e}" for m, v in worst.items())
    record_property("largest difference of CIFAR logits, page and PyTorch", said)
    assert len(worst) == 4 and max(worst.values()) < 1e-3, worst


@each
def test_photographs_without_webassembly(opened):
    found = apart(opened("delete globalThis.WebAssembly", file=PHOTOGRAPH), WHITE)
    assert max(found.values()) < 1e-3, found


@each
def test_gradients_on_photographs_are_pytorchs(page, record_property):
    _, y = data.gallery("cifar10")
    seen, answers = page.evaluate(
        """async (s) => { const seen = gallery.map((x) => spoil(x, s)), found = [];
        for (const [i, x] of seen.entries()) {
            const slopes = await work('slopes', {images: [x], methods, y: facts.classes[i]});
            found.push(slopes.map((g) => [...g])); }
        return [seen.map((x) => [...x]), found]; }""",
        WHITE,
    )
    seen = pictures(seen).double().requires_grad_()
    worst = {}
    for i, (m, net) in enumerate(networks().items()):
        f = torch.softmax(net.double()(seen), 1).gather(1, y[:, None]).sum()
        (slope,) = torch.autograd.grad(f, seen)
        worst[m] = float((pictures([a[i] for a in answers]) - slope).abs().max())
    said = ", ".join(f"{m} {v:.1e}" for m, v in worst.items())
    record_property("largest difference of CIFAR input gradients, page and PyTorch", said)
    assert max(worst.values()) < 1e-5, worst


@each
def test_noise_and_square_on_photographs_are_the_librarys(page, monkeypatch):
    x, _ = data.gallery("cifar10")
    assert torch.equal(pictures(page.evaluate(SEEN, CLEAN)), x)
    z = pictures(page.evaluate("[...pattern(5)]"))
    monkeypatch.setattr(perturb, "_draw", lambda x, generator: z.expand_as(x))
    for kind, snr in (("gaussian", 4.0), ("poisson", 7.5)):
        settings = CLEAN | dict(kind=kind, snr=snr, draw=5)
        seen = pictures(page.evaluate(SEEN, settings))
        assert (seen - perturb.apply(kind, x, snr)).abs().max() < 1e-5, (kind, snr)
        hidden = pictures(page.evaluate(SEEN, settings | dict(size=9, top=30, left=3)))
        assert torch.equal(hidden, perturb.occlude(seen, 9, at=(23, 3)))


def shown(page, canvas):
    """A canvas of the page as (32, 32, 3) bytes."""
    url = page.evaluate("(id) => $(id).toDataURL()", canvas)
    return np.array(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


@both
def test_both_pictures_are_shown(page):
    x, y = data.gallery("cifar10")
    with np.load(env.GALLERY / "cifar10.npz") as f:
        photos, labels = f["x"], f["y"]
    assert labels.tolist() == y.tolist()
    for i in (6, 19):
        page.evaluate("(i) => { setTo({...START, digit: i, noise: 'none'}); moved(); }", i)
        still(page)
        eye = 255 * whiten.stretch(x[i : i + 1], x)[0].permute(1, 2, 0).numpy()
        assert np.abs(shown(page, "seen") - eye.round()).max() <= 1, (
            "the whitened picture is another"
        )
        assert (shown(page, "clean") == photos[i].transpose(1, 2, 0)).all(), "another photograph"
    page.locator("#size").fill("8")
    still(page)
    for canvas in ("seen", "clean"):
        assert shown(page, canvas)[9, 9].tolist() == [0, 114, 178], "no frame around the square"


@each
def test_a_square_is_set_in_either_picture(page):
    for i, canvas in enumerate(("clean", "seen")):
        box = page.locator(f"#{canvas}").bounding_box()
        at = (0.5 + 0.25 * i) * box["width"]
        page.mouse.click(box["x"] + at, box["y"] + at)
        still(page)
        square = page.evaluate("['size', 'top', 'left'].map((k) => shown.s[k])")
        assert square == [8, 12 + 8 * i, 12 + 8 * i]


@each
def test_photographs_open_where_the_rule_says(page):
    y = page.evaluate("facts.classes")
    ask = """async (s) => (await ask(gallery.map((x) => spoil(x, s)), methods))
        .map((a) => a.map((l) => best([...l])))"""
    clean, noisy = (page.evaluate(ask, s) for s in (CLEAN, WHITE))
    told = [set(c) == {k} and len(set(n)) > 1 for c, n, k in zip(clean, noisy, y)]
    s = page.evaluate("shown.s")
    assert [s["source"], s["snr"], s["kind"], s["draw"]] == [told.index(True), 4, "gaussian", 1]
    assert "cat" in page.locator("#note").inner_text()
    assert "one run of ten epochs" in page.locator(".trial").inner_text()
    rows = photograph.trial_rows()
    white = rows[(rows.perturbation == "gaussian") & (rows.unit == "dB")]
    assert white.level.min() == s["snr"]
    for m in page.evaluate("methods"):
        row = white[(white.method == m) & (white.level == 4)]
        assert len(row) == 1
        percent = 100 * row.correct.item() / row.n.item()
        assert page.locator(f"#luck-{m} .test").inner_text() == f"{percent:.2f}"


@both
def test_a_photograph_is_sent_by_its_address(opened):
    at = "#image=12&noise=poisson&snr=6&draw=3&square=9,23,3&nets=kd,robust&why=kd,robust"
    page = opened(file=PHOTOGRAPH, address=at)
    assert page.evaluate("addressOf(state())") == at
    said = page.locator("#card-kd").inner_text()
    assert "true class frog" in said and page.locator("#odd").inner_text() == ""
    again = opened(file=PHOTOGRAPH, address=page.evaluate("addressOf(state())"))
    assert again.locator("#card-kd").inner_text() == said
    bad = opened(file=PHOTOGRAPH, address="#image=20&strokes=AA&attack=kd,0.1&digit=3")
    odd = bad.locator("#odd").inner_text()
    assert "image 20 is not within 0 to 19" in odd
    assert all(f"{k} is no setting" in odd for k in ("strokes=AA", "attack=kd,0.1", "digit=3"))


@each
def test_every_move_on_a_photograph_is_seen_soon(page, record_property):
    p95, said = time_moves(page)
    size = f"{PHOTOGRAPH.stat().st_size / 1e6:.2f} MB"
    record_property("photograph.html, four networks live", f"{said}; {size}")
    assert p95 <= 100


@each
@pytest.mark.parametrize("width, height", [(1440, 900), (768, 1024), (360, 740)])
def test_pictures_and_answers_are_in_sight(opened, width, height):
    phone = dict(has_touch=True, is_mobile=True) if width == 360 else {}
    page = opened(file=PHOTOGRAPH, viewport={"width": width, "height": height}, **phone)
    shots(page, f"photograph-{width}")
    boxes = page.evaluate(
        """() => ['seen', 'clean', 'snr', ...methods.map((m) => `card-${m}`)].map((id) => {
        const b = $(id).getBoundingClientRect(); return [id, b.top, b.bottom, b.width]; })"""
    )
    out = [b for b in boxes if b[1] < 0 or b[2] > height or b[3] < 80]
    wide, inner = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert not out and wide <= inner


@each
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_photographs_are_accessible(opened, scheme, record_property):
    broken, passed = [], 0
    for width in (1280, 360):
        options = dict(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = opened(file=PHOTOGRAPH, **options)
        found = axe(page)
        broken, passed = broken + found[0], max(passed, found[1])
    record_property(f"axe, photographs, {scheme}", f"{len(broken)} violations, {passed} passed")
    assert not broken, "\n".join(broken)
