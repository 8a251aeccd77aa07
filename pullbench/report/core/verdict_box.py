"""The verdict at the head of a page: three sentences in a coloured box at most, and the details below it."""

from collections.abc import Sequence

from pullbench.report.render.html import Html, join, marked, tag

_SENTENCES_IN_THE_BOX = 3
"""The title is one of them."""
_LONGEST = 1_000
"""Characters of a sentence: only foreign text in it makes it longer."""


def verdict_box(kind: str, title: str, clauses: Sequence[str]) -> Html:
    """A title and one-sentence clauses. `kind` is the colour's class: good, warn, bad or open."""
    sentences = [as_sentence(clause) for clause in clauses]
    shown, details = sentences[: _SENTENCES_IN_THE_BOX - 1], sentences[_SENTENCES_IN_THE_BOX - 1 :]
    box = tag(
        "div",
        tag("p", tag("strong", title)),
        *(tag("p", marked(sentence, _LONGEST)) for sentence in shown),
        class_=f"verdict {kind}",
    )
    more = (
        tag("ul", *(tag("li", marked(sentence, _LONGEST)) for sentence in details), class_="details") if details else ""
    )
    return join([box, more])


def as_sentence(clause: str) -> str:
    """A clause with a capital at its start and a full stop at its end."""
    whole = clause[:1].upper() + clause[1:]
    return whole if whole.endswith(".") else f"{whole}."
