"""Sliders that redraw HTML and SVG in place, with a still picture for readers without a kernel."""

import base64
import functools
import html
import io
import math

import ipywidgets as W
import numpy as np
import torch

from . import data, figures, perturb, table


def show(widget, still, text):
    """Display a widget; without a kernel (on a web page, before a run) readers see the PNG bytes
    `still`, or `text`.
    """
    from IPython.display import display

    bundle = dict(widget._repr_mimebundle_())
    display({**bundle, "image/png": base64.b64encode(still).decode(), "text/plain": text}, raw=True)


def alert(error):
    """What went wrong, where the reader looks: the front end would swallow it."""
    return f'<div class="rsnl-view" role="alert">{html.escape(str(error))}</div>'


def live(controls, out, draw):
    """Show draw() in the HTML widget `out` now and whenever a control moves, or why it could not be
    drawn; returns that redraw.
    """

    def redraw(_=None):
        try:
            out.value = draw()
        except Exception as error:
            out.value = alert(error)

    for control in controls:
        control.observe(redraw, "value")
    redraw()
    return redraw


def picture(pixels, alt, side=168):
    """An <img> of one grey image (h, w) in ink-on-paper grey: 0 is white, 1 black, beyond is
    clipped for the eye only.
    """
    return img((255 * (1 - np.clip(np.asarray(pixels), 0, 1))).round().astype(np.uint8), alt, side)


def img(pixels, alt, side):
    """An <img> of 8-bit pixels, grey (h, w) or colour (h, w, 3), with the PNG inside."""
    from PIL import Image

    raw = io.BytesIO()
    Image.fromarray(pixels).save(raw, "png", compress_level=1)
    return (
        f'<img class="rsnl-image" alt="{html.escape(alt)}" width="{side}" height="{side}" '
        'style="image-rendering:pixelated;border:1px solid #767676;margin:0" '
        f'src="data:image/png;base64,{base64.b64encode(raw.getvalue()).decode()}">'
    )


def bar_path(heights):
    """One SVG path of bars 18 wide, 26 apart, standing on y = 54, `heights` in pixels."""
    return "".join(f"M{26 * i + 6} 54v{-h:.1f}h18V54z" for i, h in enumerate(heights))


def bars(method, p, clean, y, classes):
    """One network's scores as SVG: filled bars now, hollow ones on the clean image, a triangle
    under the true class y.

    `p` and `clean` are (k,) probabilities; `y` may be None for a picture whose class nobody told.
    """
    k, label, colour = len(p), figures.style(method)["label"], figures.style(method)["color"]
    top = int(p.argmax())
    said = f"says {classes[top]} at {p[top]:.2f}"
    if y is not None:
        said += f" · true class {classes[y]}: {p[y]:.2f} ({p[y] - clean[y]:+.2f} from clean)"
    names = "".join(f'<tspan x="{26 * i + 15}">{c}</tspan>' for i, c in enumerate(classes))
    true = (
        ""
        if y is None
        else f'<path class="rsnl-true" d="M{26 * y + 15} 70l6 10h-12z" fill="currentColor"/>'
    )
    return (
        f'<div style="margin:2px 0"><b>{label}</b> <span class="rsnl-said">{said}</span><svg'
        f' role="img" aria-label="{label} {said}" width="{26 * k + 8}" height="84"'
        ' style="display:block"><path class="rsnl-now"'
        f' d="{bar_path([50 * v for v in p.tolist()])}" fill="{colour}"/><path class="rsnl-clean"'
        f' d="{bar_path([50 * v for v in clean.tolist()])}" fill="none" stroke="#767676"/><text'
        ' y="67" text-anchor="middle" font-size="11"'
        f' fill="currentColor">{names}</text>{true}</svg></div>'
    )


@torch.no_grad()
def look(nets, x, kind="gaussian", snr=3.0, size=0, row=0, column=0, draw=0, known=None):
    """(seen, {method: scores}) for one image x (1, 1, h, w): noise of `kind` ("none" for no noise)
    at `snr` dB, then a zero square.

    The noise pattern depends on `draw` alone, so moving the SNR rescales it and every network sees
    the same. known(kind, snr) may give the scores of draw 0 without a square; where it gives None
    the networks are asked.
    """
    h, w = x.shape[2:]
    seen = table.noisy(x, kind, snr, draw)
    if size:
        seen = perturb.occlude(seen, size, at=(min(row, h - size), min(column, w - size)))
    scores = None if size or draw or not known else known(kind, snr)
    return seen, scores or {m: torch.softmax(net(seen), 1)[0] for m, net in nets.items()}


def view(x, y, seen, scores, clean, classes, note):
    """The explorer's HTML: clean and perturbed image, then every network's bars."""
    shown = "".join(
        picture(i[0, 0], a) for i, a in ((x, "clean image"), (seen, "what the networks see"))
    )
    rows = "".join(bars(m, p, clean[m], y, classes) for m, p in scores.items())
    return (
        '<div class="rsnl-view"><div'
        f' style="display:flex;gap:12px;align-items:end">{shown}</div><div'
        f' class="rsnl-note">{note}</div><div class="rsnl-bars"'
        ' style="display:grid;grid-template-columns:repeat(auto-fill,minmax(390px,1fr));gap:4px'
        f' 12px">{rows}</div></div>'
    )


def explorer(nets, x, y, classes=None):
    """Fig. 3 live: sliders for image, noise kind, SNR, draw, and an occluding square; an upload for
    the reader's own digit.

    nets: {method: module}; x: gallery images (n, 1, h, w) in [0, 1]; y: their classes (n,). Shipped
    networks on the shipped gallery answer from a table (rsnl_lib.table) at draw 0 without a square;
    everything else is computed.
    """
    h, w = perturb.images(x[:1]).shape[2:]
    classes = classes or [str(i) for i in range(10)]
    if not nets or len(x) != len(y):
        raise ValueError(
            f"{len(nets)} networks, {len(x)} images and {len(y)} labels make no explorer; give at"
            " least one network, and one label an image"
        )
    lookup = table.find(nets, x)
    (_, first), (seen, noisy) = (
        look(nets, x[:1], kind, 3.0, known=functools.partial(lookup, 0))
        for kind in ("none", "gaussian")
    )
    for method, p in first.items():
        if len(p) != len(classes):
            raise ValueError(
                f"{method} scores {len(p)} classes, but {len(classes)} names are given; give one"
                " name a class"
            )
    wide = dict(style={"description_width": "110px"}, layout=W.Layout(width="420px"))
    image = W.IntSlider(description="image", min=0, max=len(x) - 1, **wide)
    kind = W.Dropdown(description="noise", options=["gaussian", "poisson", "none"], **wide)
    snr = W.FloatSlider(
        description="SNR (dB)", value=3, min=table.SNR[0], max=table.SNR[-1], step=0.5, **wide
    )
    draw = W.IntSlider(description="noise draw", min=0, max=99, **wide)
    size = W.IntSlider(description="occlusion size", min=0, max=min(h, w) // 2, **wide)
    row = W.IntSlider(description="row", value=h // 3, min=0, max=h - 1, **wide)
    column = W.IntSlider(description="column", value=w // 3, min=0, max=w - 1, **wide)
    upload = W.FileUpload(
        description="own digit", accept="image/*", multiple=False, layout=W.Layout(width="200px")
    )
    back = W.Button(description="back to the gallery", layout=W.Layout(width="200px"))
    out = W.HTML()
    own, known = (
        [],
        {},
    )  # the reader's picture; scores on clean images, by image number (None: the reader's)

    def drawn():
        here, label = (
            (own[0], None) if own else (x[image.value : image.value + 1], int(y[image.value]))
        )
        key = None if own else image.value
        ask = functools.partial(lookup, key)
        if key not in known:
            known[key] = look(nets, here, "none", known=ask)[1]
        clean = known[key]
        seen, scores = look(
            nets, here, kind.value, snr.value, size.value, row.value, column.value, draw.value, ask
        )
        ratio = 10 ** (snr.value / 10)
        note = (
            f"{'your digit as the networks get it' if own else f'a {classes[label]}'}; "
            + (
                "no noise"
                if kind.value == "none"
                else f"{kind.value} noise, SNR {snr.value:g} dB = ratio {ratio:.2f}"
            )
            + (f"; {size.value} x {size.value} pixels hidden" if size.value else "")
            + "; hollow bars: scores on the clean image"
        )
        return view(here, label, seen, scores, clean, classes, note)

    def uploaded(change):
        if not change["new"]:
            return
        try:
            own[:] = [data.own_picture(bytes(change["new"][0]["content"]), h)]
        except ValueError as error:
            out.value = alert(error)
            return
        known.pop(None, None)
        redraw()

    def gallery(_):
        own.clear()
        redraw()

    redraw = live((image, kind, snr, draw, size, row, column), out, drawn)
    upload.observe(uploaded, "value")
    back.on_click(gallery)
    box = W.VBox(
        [
            W.HBox(
                [
                    W.VBox([image, kind, snr, draw]),
                    W.VBox([size, row, column, W.HBox([upload, back])]),
                ]
            ),
            out,
        ]
    )
    box.add_class("rsnl-explorer")
    still = figures.scores(
        [x[0, 0], seen[0, 0]],
        {m: torch.stack([first[m], noisy[m]]).numpy() for m in nets},
        [int(y[0])] * 2,
        classes,
        ["clean", "SNR 3 dB"],
    )
    show(
        box,
        figures.png(still),
        "[live: image, noise, SNR and occlusion sliders over the scores of: "
        + ", ".join(nets)
        + "]",
    )


def pull(a_S, a_T, y, tau, gamma, lam):
    """{term: (k,)}: where each term pulls one student's logits a_S (k,), minus its derivative (Eqs.
    3 and 15), teacher's a_T, class y.
    """
    o_S, truth = torch.softmax(a_S, 0), torch.zeros_like(a_S)
    truth[y] = 1
    open_ = gamma + torch.softmax(a_T, 0)[y] - o_S[y] > 0
    return {
        "cross-entropy": truth - o_S,
        "lambda x soft cross-entropy": (
            lam / tau * (torch.softmax(a_T / tau, 0) - torch.softmax(a_S / tau, 0))
        ),
        "L_S, the hinge": open_ * o_S[y] * (truth - o_S),
    }


def pull_bars(name, values, top, colour, classes):
    """One term's pull on every logit as SVG bars up and down from a line, full height at `top`."""
    k, said = len(values), f"{name}: " + ", ".join(f"{c} {v:+.4f}" for c, v in zip(classes, values))
    bars_ = "".join(
        f'<rect x="{26 * i + 6}" y="{40 - max(36 * v / top, 0):.1f}" width="18"'
        f' height="{abs(36 * v / top):.1f}" fill="{colour}"/><text x="{26 * i + 15}" y="92"'
        f' text-anchor="middle" font-size="11" fill="currentColor">{classes[i]}</text>'
        for i, v in enumerate(values)
    )
    return (
        f'<div><b>{html.escape(name)}</b> largest {max(values, key=abs):+.4f}<svg role="img"'
        f' aria-label="{html.escape(said)}" width="{26 * k + 8}" height="98"'
        f' style="display:block"><path d="M4 40H{26 * k + 4}"'
        f' stroke="currentColor"/>{bars_}</svg></div>'
    )


def pulls(a_S, a_T, x, y, tau=3.0, gamma=0.1, lam=4.0, classes=None, first=0):
    """What each term pulls on, live: a_S, a_T logits (n, k) of images x (n, 1, h, w), classes y
    (n,); sliders for image, tau, gamma, lambda.
    """
    classes = classes or [str(i) for i in range(a_S.shape[1])]
    wide = dict(style={"description_width": "110px"}, layout=W.Layout(width="420px"))
    image = W.IntSlider(description="image", value=first, min=0, max=len(y) - 1, **wide)
    taus = W.FloatSlider(description="tau", value=tau, min=1, max=20, step=0.5, **wide)
    gammas = W.FloatSlider(description="gamma", value=gamma, min=0, max=1, step=0.01, **wide)
    lams = W.FloatSlider(description="lambda", value=lam, min=0, max=10, step=0.5, **wide)
    out = W.HTML()
    colours = [figures.style(m)["color"] for m in ("standard", "kd", "score_only")]

    def drawn():
        i, k = image.value, int(y[image.value])
        terms = pull(a_S[i].double(), a_T[i].double(), k, taus.value, gammas.value, lams.value)
        f_S, f_T = (float(torch.softmax(a[i].double(), 0)[k]) for a in (a_S, a_T))
        hinge = max(0.0, gammas.value + f_T - f_S)
        note = (
            f"a {classes[k]}: f_S {f_S:.4f}, f_T {f_T:.4f}; at tau the teacher says"
            f" {float(torch.softmax(a_T[i].double() / taus.value, 0)[k]):.3f}; the hinge is"
            f" {'open' if hinge else 'closed'} at {hinge:.4f}, no student can get it below"
            f" {max(0.0, gammas.value + f_T - 1):.4f}"
        )
        top = max(float(v.abs().max()) for v in terms.values())
        return (
            '<div class="rsnl-view"><div style="display:flex;gap:16px;align-items:start">'
            + picture(x[i, 0], f"a {classes[k]}", 112)
            + "".join(
                pull_bars(n, v.tolist(), top or 1, c, classes)
                for (n, v), c in zip(terms.items(), colours)
            )
            + f'</div><div class="rsnl-note"><b>{html.escape(note)}.</b> One scale for all three;'
            " up: the term raises that logit.</div></div>"
        )

    live((image, taus, gammas, lams), out, drawn)
    box = W.VBox([image, taus, gammas, lams, out])
    box.add_class("rsnl-pulls")
    still = figures.pull_bars(
        pull(a_S[first], a_T[first], int(y[first]), tau, gamma, lam),
        classes,
        colours,
        f"a {classes[int(y[first])]}; tau {tau:g}, gamma {gamma:g}, lambda {lam:g}",
    )
    show(
        box, figures.png(still), "[live: image, tau, gamma and lambda over what each term pulls on]"
    )


def readings(counts, printed, rounding):
    """Table VIII live: pick a reading; counts {name: (weights, multiplications)} beside the printed
    pair, each met if it rounds to it.
    """
    which = W.Dropdown(
        description="reading",
        options=list(counts),
        style={"description_width": "80px"},
        layout=W.Layout(width="480px"),
    )
    out = W.HTML()

    def drawn():
        rows = "".join(
            f"<tr><th scope='row'>{what}</th><td>{mine:,}</td><td>{theirs / 1e6:g}"
            f" M</td><td>{'meets it' if abs(mine - theirs) <= step / 2 else 'misses it'}</td></tr>"
            for what, mine, theirs, step in zip(
                ("weights", "multiplications"), counts[which.value], printed, rounding
            )
        )
        return (
            '<div class="rsnl-view"><table><tr><td></td><th scope="col">this reading</th><th'
            f' scope="col">printed</th><td></td></tr>{rows}</table></div>'
        )

    live((which,), out, drawn)
    box = W.VBox([which, out])
    box.add_class("rsnl-readings")
    met = [
        name
        for name, mine in counts.items()
        if all(abs(a - b) <= step / 2 for a, b, step in zip(mine, printed, rounding))
    ]
    from IPython.display import display

    display(
        {
            **dict(box._repr_mimebundle_()),
            "text/plain": (
                f"[live: reading; both printed numbers are met by: {', '.join(met) or 'none'}]"
            ),
        },
        raw=True,
    )


def verdicts(lines):
    """The verdict of a claim live: pick one, move the smallest effect that would matter; `lines` as
    claims.judged gives them, those with all seeds.
    """
    from . import claims

    lines = [c for c in lines if not math.isnan(c["p_corrected"])]
    if not lines:
        raise ValueError(
            "no claim has all its seeds; run python -m rsnl_lib reproduce --for claims and merge"
            " its rows"
        )
    which = W.Dropdown(
        description="claim",
        options={c["says"]: i for i, c in enumerate(lines)},
        style={"description_width": "80px"},
        layout=W.Layout(width="720px"),
    )
    matters = W.FloatLogSlider(
        description="matters",
        value=lines[0]["matters"],
        min=-1.5,
        max=1,
        step=0.05,
        readout_format=".2f",
        style={"description_width": "80px"},
        layout=W.Layout(width="420px"),
    )
    out = W.HTML()

    def drawn():
        c = lines[which.value]
        said = claims.verdict(
            {**c, "matters": matters.value}, c["low"], c["high"], c["mean"], c["p_corrected"]
        )
        seeds = ", ".join(f"seed {s}: {v:+.2f}" for s, v in c["effects"].items())
        return (
            f'<div class="rsnl-view"><b>{said}</b> if {matters.value:.2f} points matter (the file'
            f" says {c['matters']:g}: {c['verdict']})<br>effect {c['mean']:+.2f} "
            f"[{c['low']:+.2f}, {c['high']:+.2f}] points, corrected p {c['p_corrected']:.3f};"
            f" {html.escape(seeds)}<br>"
            f"five seeds of this spread find an effect of {c['detectable']:.2f} points four times"
            " out of five</div>"
        )

    which.observe(lambda _: setattr(matters, "value", lines[which.value]["matters"]), "value")
    live((which, matters), out, drawn)
    box = W.VBox([which, matters, out])
    box.add_class("rsnl-verdicts")
    from IPython.display import display

    count = [c["verdict"] for c in lines]
    display(
        {
            **dict(box._repr_mimebundle_()),
            "text/plain": (
                f"[live: claim, smallest effect that matters; {len(lines)} claims: "
                + ", ".join(f"{count.count(v)} {v}" for v in dict.fromkeys(count))
                + "]"
            ),
        },
        raw=True,
    )


def attacked(nets, x, y, epsilon=0.15, steps=20, classes=None):
    """An attack live: pick the network under attack, the image, epsilon and steps; its adversarial
    image, the difference magnified, everyone's scores.

    nets: {method: module}; x: images (n, 1, h, w) in [0, 1]; y: their classes. The attack is the
    workbook's own (attacks.pgd from the image itself).
    """
    from . import attacks

    classes = classes or [str(i) for i in range(10)]
    wide = dict(style={"description_width": "110px"}, layout=W.Layout(width="420px"))
    which = W.Dropdown(
        description="attacked", options={figures.style(m)["label"]: m for m in nets}, **wide
    )
    image = W.IntSlider(description="image", min=0, max=len(x) - 1, **wide)
    size = W.FloatSlider(description="epsilon", value=epsilon, min=0, max=0.5, step=0.01, **wide)
    count = W.IntSlider(description="steps", value=steps, min=1, max=50, **wide)
    out = W.HTML()

    @torch.no_grad()
    def scores(z):
        return {m: torch.softmax(net(z), 1)[0] for m, net in nets.items()}

    def drawn():
        i, label, e = image.value, int(y[image.value]), size.value
        here = x[i : i + 1]
        z = attacks.pgd(
            nets[which.value],
            here,
            attacks.cross_entropy(y[i : i + 1]),
            e,
            max(e, 1e-9) / 4,
            count.value,
            start="zero",
            mode="eval",
        )
        d = (z - here)[0, 0]
        shown = "".join(
            picture(p, a)
            for p, a in (
                (here[0, 0], "clean image"),
                (z[0, 0], "adversarial image"),
                (0.5 + d / (2 * max(e, 1e-9)), "difference, magnified"),
            )
        )
        now, before = scores(z), scores(here)
        right = [figures.style(m)["label"] for m, p in now.items() if int(p.argmax()) == label]
        note = (
            f"a {classes[label]}; at most {e:g} a pixel, {float(d.norm()):.2f} in length, found by"
            f" {count.value} steps against {figures.style(which.value)['label']}; still right:"
            f" {', '.join(right) or 'none'}; right: the difference, grey is none; hollow bars:"
            " scores on the clean image"
        )
        rows = "".join(bars(m, p, before[m], label, classes) for m, p in now.items())
        return (
            '<div class="rsnl-view"><div'
            f' style="display:flex;gap:12px;align-items:end">{shown}</div><div'
            f' class="rsnl-note">{html.escape(note)}</div><div class="rsnl-bars"'
            ' style="display:grid;grid-template-columns:repeat(auto-fill,minmax(390px,1fr));gap:4px'
            f' 12px">{rows}</div></div>'
        )

    live((which, image, size, count), out, drawn)
    box = W.VBox([which, image, size, count, out])
    box.add_class("rsnl-attacked")
    z = torch.cat(
        [
            x[:1],
            attacks.pgd(
                next(iter(nets.values())),
                x[:1],
                attacks.cross_entropy(y[:1]),
                epsilon,
                epsilon / 4,
                steps,
                start="zero",
                mode="eval",
            ),
        ]
    )
    with torch.no_grad():
        still = figures.scores(
            z[:, 0],
            {m: torch.softmax(net(z), 1).numpy() for m, net in nets.items()},
            [int(y[0])] * 2,
            classes,
            ["clean", f"epsilon {epsilon:g}"],
        )
    show(
        box,
        figures.png(still),
        "[live: attacked network, image, epsilon and steps over the scores of: "
        + ", ".join(nets)
        + "]",
    )


def lines(curves, at, classes, width=330, height=150):
    """{name: (path (k,), colour)} as SVG lines over the steps 0 to k - 1, a bar at step `at`."""
    values = [v for path, _ in curves.values() for v in path]
    low, high, steps = min(values), max(values), len(next(iter(curves.values()))[0])

    def place(i, v):
        right = 20 + (width - 90) * i / max(1, steps - 1)
        down = 10 + (height - 30) * (high - v) / ((high - low) or 1)
        return f"{right:.1f},{down:.1f}"

    ends, last = {}, -12.0  # where the names stand, 12 apart at least
    for name, (path, _) in sorted(curves.items(), key=lambda item: -item[1][0][-1]):
        ends[name] = last = max(last + 12, float(place(0, path[-1]).split(",")[1]))
    drawn = "".join(
        f'<polyline points="{" ".join(place(i, v) for i, v in enumerate(path))}" fill="none"'
        f' stroke="{colour}" stroke-width="2"/><text x="{width - 64}" y="{ends[name]:.1f}"'
        f' font-size="11" fill="{colour}">{html.escape(name)}</text>'
        for name, (path, colour) in curves.items()
    )
    x = place(at, low).split(",")[0]
    said = "; ".join(f"{name} {path[at]:+.2f}" for name, (path, _) in curves.items())
    return (
        f'<svg role="img" aria-label="{html.escape(f"step {at}: {said}")}" width="{width}"'
        f' height="{height}"><path d="M{x} 6V{height - 16}" stroke="#767676"/>{drawn}<text'
        f' x="{width / 2 - 40}" y="{height - 3}" font-size="11" fill="currentColor">step {at} of'
        f" {steps - 1}</text></svg>"
    )


def walk(nets, x, y, eta=None, steps=10, classes=None):
    """The walk to the boundary live: pick image, class and step; every network walks from the same
    image, its picture, its two logits crossing.

    nets: {method: module}; x: images (n, 1, h, w) in [0, 1], y: their classes.
    """
    from . import boundary

    classes = classes or [str(i) for i in range(10)]
    wide = dict(style={"description_width": "110px"}, layout=W.Layout(width="420px"))
    image = W.IntSlider(description="image", min=0, max=len(x) - 1, **wide)
    with torch.no_grad():
        second = int(
            next(iter(nets.values()))(x[:1])[0].scatter(0, y[:1], -torch.inf).argmax()
        )  # the first network's second choice
    target = W.Dropdown(description="towards", options=classes, value=classes[second], **wide)
    step = W.IntSlider(description="step", value=min(3, steps - 1), min=0, max=steps, **wide)
    out, known = W.HTML(), {}

    def walked(i, k):
        if (i, k) not in known:
            known[i, k] = {
                m: boundary.search(
                    net, x[i : i + 1], y[i : i + 1], torch.tensor([k]), eta, steps=steps, path=True
                )
                for m, net in nets.items()
            }
        return known[i, k]

    def drawn():
        i, k, at = image.value, classes.index(target.value), step.value
        b = int(y[i])
        if b == k:
            return f'<div class="rsnl-view">a {classes[b]}: choose another class to walk to</div>'
        rows = []
        for m, s in walked(i, k).items():
            with torch.no_grad():
                a = nets[m](s.path[:, 0])
            curves = {
                f"f_b, {classes[b]}": (a[:, b].tolist(), figures.style("kd")["color"]),
                f"f_k, {classes[k]}": (a[:, k].tolist(), figures.style("robust")["color"]),
            }
            far = float((s.path[at, 0] - x[i]).norm())
            said = (
                f"length {far:.3f}, gap {float(a[at, b] - a[at, k]):+.3f}, says"
                f" {classes[int(a[at].argmax())]}; the walk took {int(s.steps[0])} steps,"
                f" {'accepted' if s.accepted[0] else 'rejected'}"
            )
            rows.append(
                f'<div><b>{figures.style(m)["label"]}</b> <span class="rsnl-said">{said}</span><div'
                ' style="display:flex;gap:12px;align-items:center">'
                f"{picture(s.path[at, 0, 0], f'the image after {at} steps', 112)}"
                f"{lines(curves, at, classes)}</div></div>"
            )
        return (
            '<div class="rsnl-view"><div style="display:flex;gap:12px;align-items:end">'
            + picture(x[i, 0], f"a {classes[b]}", 112)
            + "</div><div"
            ' style="display:grid;grid-template-columns:repeat(auto-fill,minmax(470px,1fr));gap:4px'
            ' 12px">' + "".join(rows) + "</div></div>"
        )

    live((image, target, step), out, drawn)
    box = W.VBox([image, target, step, out])
    box.add_class("rsnl-walk")
    found = walked(0, second)
    still = figures.picture_grid(
        torch.cat([x[:1], *(s.x for s in found.values())]),
        ["the image", *(figures.style(m)["label"] for m in found)],
        f"an image, and where each network's walk to {classes[second]} ends",
        columns=1 + len(found),
        size=1.2,
    )
    show(
        box,
        figures.png(still),
        "[live: image, class and step over the walks of: " + ", ".join(nets) + "]",
    )
