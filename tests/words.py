"""Which words of a text a reader would stumble on: terms that pages and terminal do not use, and sentences that are too long.

`plain_words_faults` looks for a term that has a plainer one, `long_sentences` counts words. Both take prose: what stands in code
is not looked at (`prose_of_markdown`).
"""

import re

_TERMS: tuple[tuple[str, str], ...] = (
    (r"at once|[×x]\d+ (?:pulls|workers)", "concurrency 4, 4 concurrent pulls"),
    (r"images? every \d|image every", "82 images/s"),
    (r"(?<!notebook )(?<!code )cells?", "configuration"),
    (r"settings?", "configuration"),
    (r"(?<!prefect )(?<!secret )(?<!notification )blocks?", "repetition"),
    (r"planned[ -]out", "excluded"),
    (r"objectives?", "SLO"),
    (r"(?:un|not )?proven|cannot tell|not shown", "significant, not significant, inconclusive"),
    (r"(?<!-)ways?", "route, without a proxy"),
    (r"directly", "without a proxy"),
    (
        r"at (?:its|their|the client's|this client's) (?:own )?(?:limit|ceiling)|(?:client|machine) (?:is |was )?busy",
        "client-limited",
    ),
    (r"holds|held", "meets, sustained"),
    (r"carr(?:y|ies|ied)", "handle"),
    (r"(?<!saturation point \()knees?", "saturation point (knee)"),
    (r"steps? (?:of|in) (?:a|the|its) (?:trend|history|series)", "change point"),
    (
        r"told|tells?|stands?|stood|beside|reckon(?:s|ed|ing)?|mend(?:s|ed|ing)?",
        "reported, is, compared with, compute, fix",
    ),
    (r"brings?|brought|asks?|asked", "download, request"),
    (r"folders?", "directory"),
    (r"often claimed", "rules of thumb"),
    (r"proof takes", "needs at least N pulls"),
    (r"as one|alike", "together, the same"),
    (r"for there|that which|let [a-z]+ be", "subject, verb, object"),
)
"""A term as a pattern of whole words, whatever its case, and what to write in its place."""

_PATTERNS = tuple((re.compile(rf"(?<![\w-])(?:{term})(?![\w-])", re.IGNORECASE), instead) for term, instead in _TERMS)
_FENCED = re.compile(r"^(```+|~~~+).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"`[^`]*`")
_IMAGE_OR_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_END = re.compile(r"[.!?](?:[\"'”)*]*)(?=\s|$)")
_PIECES = re.compile(r"\n\s*\n|^\s*[-*] |^\s*\d+\. |^#+ |\s*\|\s*", re.MULTILINE)


def plain_words_faults(text: str) -> list[str]:
    """Every term of the text that has a plainer one, as it is there, with some words before and after it."""
    found = []
    for pattern, instead in _PATTERNS:
        for match in pattern.finditer(text):
            around = " ".join(text[max(0, match.start() - 40) : match.end() + 40].split())
            found.append(f"{match[0]!r} (write: {instead}) in: … {around} …")
    return found


def prose_of_markdown(text: str) -> str:
    """A page without its code, its comments and the targets of its links; code inside a sentence counts as one word."""
    text = _COMMENT.sub("", _FENCED.sub("\n", text))
    return _IMAGE_OR_LINK.sub(r"\1", _CODE.sub("CODE", text))


def long_sentences(prose: str, most: int = 30) -> list[str]:
    """The sentences that have more than `most` words. A cell of a table, an item of a list and a heading end a sentence."""
    sentences = (
        sentence for piece in _PIECES.split(prose) for sentence in _END.split(piece) if len(words_of(sentence)) > most
    )
    return [" ".join(sentence.split()) for sentence in sentences]


def words_of(text: str) -> list[str]:
    """The words of a text: what is between spaces and has a letter or a digit."""
    return [word for word in text.split() if re.search(r"\w", word)]
