"""Names, rows, labels and words from outside reach the reader as text, never as HTML."""

import html.parser
import inspect

import pytest
import torch
from test_widgets import controls

from rsnl_lib import store
from rsnl_lib.study import paper
from rsnl_lib.study.results import Results
from rsnl_lib.workbook import claim_figures, paper_tables, score_cache, widgets
from rsnl_lib.workbook.page import make, pack
from rsnl_lib.workbook.widgets import base, svg

BAD = "<img src=x onerror=alert(1)>"
WORDS = ("&" + BAD, '"' + BAD, "</script></style>" + BAD, "'" + BAD)
X = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 1])
CASE = {"ratio": 0.2, "sure": 0.1, "slope": 0.1, "reach": 1}
CASE |= {"f_S": lambda d: 0.6 + 0 * d, "f_T": lambda d: 0.5 + 0 * d}
EFFECTS = {"n": 1, "mean": 1.0, "low": 0.5, "high": 1.5, "p_corrected": 0.01, "detectable": 1.0}
LINE = {"dataset": "digits", "a": "robust", "b": "kd", "perturbation": "gaussian", "unit": "dB"}
LINE |= {"levels": [1.0], "matters": 0.5, "decides": "difference", "word": "a gain"}
LINE |= EFFECTS


class Tags(html.parser.HTMLParser):
    """Collects the tags that a browser would make of a planted word."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.data = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if dict(attrs).get("src") == "x" or any(name.startswith("on") for name, _ in attrs):
            self.found.append((tag, attrs))

    def handle_data(self, data):
        self.data += data


def net(classes=10):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes)).eval()


def readings(word):
    return widgets.readings({word: (1, 2)}, (1, 2), (1, 1))


def verdicts(word):
    line = LINE | {"says": word, "word": word, "effects": {word: 1.0}, "seeds": range(1)}
    return widgets.verdicts([line])


def plane(word):
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2)).eval()
    axes = torch.eye(64)[:2].view(2, 1, 8, 8)
    return widgets.plane(flat, flat, X, Y, axes)


SHOWN = {
    "attacked": lambda word: widgets.attacked({word: net()}, X, Y, steps=1),
    "bars": lambda word: widgets.bars(word, torch.eye(2)[0], torch.eye(2)[1], 0, [word, word]),
    "examples": lambda word: widgets.examples({word: net(), "teacher": net()}, X, Y, method=word),
    "explorer": lambda word: widgets.explorer({word: net(2)}, X, Y, [word, word]),
    "plane": plane,
    "pulls": lambda word: widgets.pulls(*[net()(X).detach()] * 2, X, Y),
    "push": lambda word: widgets.push({word: CASE | {"words": word}}),
    "readings": readings,
    "step_plot": lambda word: widgets.step_plot({word: ([0.0, 1.0], "#000")}, 0),
    "verdicts": verdicts,
    "walk": lambda word: widgets.walk({word: net()}, X, Y),
}
NO_VIEW = {"pull", "spoil_and_score"}  # they make numbers


@pytest.mark.filterwarnings("ignore:constrained_layout")  # a name may be too long to draw
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", SHOWN)
def test_no_word_given_to_a_view_becomes_a_tag(name, word, monkeypatch):
    kept = []
    monkeypatch.setattr(base, "show_widget", lambda widget, still, text: kept.append(widget))
    made = SHOWN[name](word)
    text = made if isinstance(made, str) else controls(kept[0])["out"].value
    assert 'role="alert"' not in text
    assert Tags(text).found == []


def test_every_view_is_asked():
    made = {n for n, f in vars(widgets).items() if inspect.isfunction(f)}
    assert made == set(SHOWN) | NO_VIEW


def test_a_word_is_shown_as_it_is():
    text = svg.bars("kd", torch.eye(2)[0], torch.eye(2)[1], 0, ["a & b", "<c>"])
    assert "says a & b at 1.00" in Tags(text).data and "<c>" in Tags(text).data


@pytest.mark.parametrize("word", WORDS)
def test_an_error_is_shown_as_text(word, monkeypatch):
    kept = []
    monkeypatch.setattr(base, "show_widget", lambda widget, still, text: kept.append(widget))

    def draw():
        raise ValueError(word)

    base.stage("push", [], draw, None, word)
    pictures = [(X[0, 0], word)]
    view = base.score_view(pictures, word, {}, {}, None, [])
    for text in (kept[0].children[0].value, view, svg.term_bars(word, [1.0], 1, "#000")):
        assert Tags(text).found == [] and word in Tags(text).data


@pytest.mark.parametrize("word", WORDS)
def test_no_cell_of_a_table_becomes_a_tag(word, monkeypatch):
    cell = {name: word for name in paper.CELL_COLUMNS} | {"printed": word + "1"}
    told = {"ours": 1.0, "low": 1.0, "high": 1.0, "mark": "agrees", "profile": word, "told": word}
    monkeypatch.setattr(paper_tables, "print_form", lambda value, cell: word)
    line = LINE | {"place": word, "says": word, "dataset": word, "a": word, "unit": word}
    line |= {"effects": {}, "seeds": range(1)}
    monkeypatch.setattr(claim_figures, "evidence", lambda claim, done: word)
    entry = {word: {"where": word, "problem": word, "choice": word}}
    tables = [
        paper_tables.cells_html([word]),
        paper_tables.table_html([cell], [told], word),
        paper_tables.table_html([cell], [told | {"ours": float("nan"), "mark": word}], word),
        paper_tables.ledger_table(entry, {word: [word]}).data,
        paper_tables.ledger_table(entry, {word: [word]}, {word: word}).data,
        claim_figures.claims_table([line], Results()).data,
    ]
    for text in tables:
        assert Tags(text).found == [] and word in Tags(text).data


def test_no_header_of_a_checkpoint_becomes_a_tag_of_the_page(monkeypatch):
    load, look = store.load_checkpoint, make.palette.style

    def other(path):
        made, head = load(path)
        return made, head | {"commit": WORDS[0], "recipe": WORDS[1]}

    monkeypatch.setattr(store, "load_checkpoint", other)
    monkeypatch.setattr(make.palette, "style", lambda m: look(m) | {"label": WORDS[2]})
    page = make.page_bytes().decode()
    assert Tags(page).found == []
    assert page.count("</script>") == pack.HERE.joinpath("template.html").read_text().count(
        "</script>"
    )
    assert set(score_cache.shipped_networks("mnist")) <= set(make.palette.styles())
