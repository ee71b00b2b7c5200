"""The chapters' words: at most three loose numbers a paragraph, and an answer to every question."""

import pathlib
import re

import pytest

from rsnl_lib import env

SOURCES = sorted((env.ROOT / "notebooks" / "src").glob("*.py"))
FOLD = re.compile(r"<details>.*?</details>", re.S)
# what is a reference, a formula or code is no loose number
REFERENCES = (
    r"\$\$.*?\$\$",
    r"\$.*?\$",
    r"```.*?```",
    r"`[^`]*`",
    r"\[[^\]]*\]\([^)]*\)",
    r"https?://\S+",
    r"arXiv[: ]?\d{4}\.\d{4,5}|\b\d{4}\.\d{5}\b",
    r"\b(?:Eqs?|Figs?|Tables?|Secs?|Theorem|Algorithm|Exercise|Student|Chapter|chapter|[Pp]ages?)\.?"
    r"\s[\dIVX]+(?:\([a-d]\))?(?:(?:\s(?:to|and)\s|[-–,]\s?)[\dIVX]+)*",
    r"\b(?:L|l)_?(?:0|1|2|inf)\b|\bStudent ?\d|\bCIFAR-?100?|\b[A-Za-z_]+\d+\b|\b(?:19|20)\d\d\b",
    r"\b\d+ (?:x|by) \d+(?: (?:x|by) \d+)*\b",
)
NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d[\d,]*)?\.?\d+(?:e-?\d+)?\s?%?")


def open_cells(path):
    """The markdown cells of a chapter, without what is folded."""
    cells = re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.M)[1:]
    for cell in cells:
        head, _, body = cell.partition("\n")
        if "[markdown]" in head:
            text = re.sub(r"^# ?", "", body, flags=re.M)
            yield FOLD.sub("", text)


def paragraphs(path):
    """Paragraphs of running text: no heading, table or line of run times."""
    for cell in open_cells(path):
        for part in re.split(r"\n\s*\n|\n(?=[-*] |\d+\. )", cell):
            part = part.strip()
            if part and part[0] not in "#|" and not part.startswith(("<", "`read`")):
                yield part


def loose_numbers(paragraph):
    """The numbers that a reader meets in a paragraph."""
    for pattern in REFERENCES:
        paragraph = re.sub(pattern, " ", paragraph, flags=re.S)
    paragraph = re.sub(r"^\d+\. ", "", paragraph)
    return NUMBER.findall(paragraph)


QUESTIONS = pathlib.Path(__file__).with_name("questions.md")
# below a question: its chapter, then a sentence of that chapter's open text
ANSWER = re.compile(r"^(\d+)\. .*\n {4}- (\d\d): (.*)$", re.M)


def one_line(text):
    """The text with every white space a blank."""
    return re.sub(r"\s+", " ", text)


def test_every_question_has_an_answer():
    answers = ANSWER.findall(QUESTIONS.read_text("utf-8"))
    assert [int(number) for number, _, _ in answers] == list(range(1, 21))


@pytest.mark.parametrize("number, chapter, sentence", ANSWER.findall(QUESTIONS.read_text("utf-8")))
def test_a_question_is_answered_in_open_text(number, chapter, sentence):
    path = next(path for path in SOURCES if path.stem.startswith(chapter))
    assert one_line(sentence) in one_line("\n".join(open_cells(path)))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_a_paragraph_has_at_most_three_loose_numbers(path):
    over = {p[:90]: found for p in paragraphs(path) if len(found := loose_numbers(p)) > 3}
    assert not over
