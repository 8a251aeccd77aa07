"""Figures: well-formed, told in words, in the page's colours, and only where there is something to draw."""

import dataclasses
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable

import pandas as pd
import pytest
from matplotlib.figure import Figure

from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun, rows_of
from pullbench.report.figures import axes, forest, grids, load, over_time, pulls
from pullbench.report.figures.pulls import waterfall
from pullbench.report.render.html import Html
from pullbench.report.run.best import choose
from pullbench.report.run.concurrency import curves
from pullbench.report.run.contrasts import contrasts, places
from pullbench.report.run.pulls import spreads, waterfalls
from tests.report.synthetic import Recipe
from tests.words import text_of

SVG = "{http://www.w3.org/2000/svg}"


FIGURES: dict[str, Callable[[StoredRun, pd.DataFrame], Html]] = {
    "overview": lambda stored, cells: forest.overview(cells),
    "concurrency": lambda stored, cells: load.concurrency(cells, curves(stored)),
    "heat": lambda stored, cells: grids.heat(places(cells)),
    "contrast": lambda stored, cells: forest.contrast(contrasts(stored)),
    "waterfalls": lambda stored, cells: pulls.waterfalls(waterfalls(stored, cells, choose(stored, cells))),
    "timeline": lambda stored, cells: over_time.timeline(tables.trials_over_time(stored.pulls, stored.trials)),
    "ecdf": lambda stored, cells: pulls.ecdf(*spreads(stored, cells), sorted(cells["engine"].unique())),
    "panel": lambda stored, cells: grids.panel(stored.checks),
}
OF_WHAT_VARIES = ("overview", "concurrency", "heat", "contrast")


def draw(stored: StoredRun, names: Iterable[str] = FIGURES) -> dict[str, Html]:
    cells = tables.cells(stored.pulls, stored.trials)
    return {name: FIGURES[name](stored, cells) for name in names}


@pytest.fixture(scope="module")
def drawn(make) -> dict[str, Html]:
    """Every figure, of a run with two values of every factor that a figure is about."""
    return draw(make(Recipe(routes=(("us", "direct"), ("us", "cache")), concurrency=(1, 4), pulls=4)))


def svgs(markup: str) -> list[ET.Element]:
    found = re.findall(r"<svg role=.*?</svg>", markup, flags=re.DOTALL)
    return [ET.fromstring(one.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)) for one in found]


def test_every_figure_has_a_wide_and_a_narrow_drawing_that_parse(drawn: dict[str, Html]) -> None:
    count = {name: len(svgs(markup)) for name, markup in drawn.items()}
    twice = {"timeline": 2, "ecdf": 2, "panel": 2}
    assert count == twice | {"overview": 2, "concurrency": 2, "heat": 2, "contrast": 2, "waterfalls": 4}


def test_every_drawing_says_in_words_what_it_shows(drawn: dict[str, Html]) -> None:
    for markup in drawn.values():
        assert re.search(r"<figcaption>[^<]{40,}", markup)
        for svg in svgs(markup):
            title, desc = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
            assert title is not None and title.text and desc is not None and len(desc.text or "") > 20
            assert svg.attrib["aria-labelledby"] == f"{title.attrib['id']} {desc.attrib['id']}"


def keys(markup: str) -> list[tuple[str, str]]:
    """The text and the colour of each entry of a key."""
    return re.findall(r'<g fill="([^"]+)">.*?</svg> ([^<]+)</li>', markup)


def test_an_engine_has_one_colour_in_every_figure(drawn: dict[str, Html]) -> None:
    colours: dict[str, set[str]] = {"docker": set(), "wire": set()}
    for name in ("overview", "concurrency", "timeline", "ecdf"):
        found = [(colour, engine) for colour, text in keys(drawn[name]) for engine in colours if engine in text]
        assert {engine for _, engine in found} == {"docker", "wire"}, name
        for colour, engine in found:
            colours[engine].add(colour)
    assert [len(each) for each in colours.values()] == [1, 1] and colours["docker"] != colours["wire"]
    assert len(set(re.findall(r"<svg viewBox.*?</svg>", drawn["ecdf"]))) == len(keys(drawn["ecdf"]))


def test_curves_of_one_engine_have_a_colour_each(make) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 2), blocks=3, pulls=4))
    found = keys(draw(stored, ["ecdf"])["ecdf"])
    assert len({colour for colour, _ in found}) == len(found) == 2


def test_text_is_text_in_the_system_font(drawn: dict[str, Html]) -> None:
    for markup in drawn.values():
        assert "DejaVu" not in markup
        assert all(svg.findall(f".//{SVG}text") for svg in svgs(markup))


def test_every_colour_is_the_pages(drawn: dict[str, Html]) -> None:
    for markup in drawn.values():
        loose = re.sub(r"var\(--pb-[a-z0-9-]+, #[0-9a-f]{6}\)", "", markup)
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", loose)
        assert "currentColor" in markup


def test_no_two_drawings_share_an_id(drawn: dict[str, Html]) -> None:
    ids = re.findall(r'\bid="([^"]+)"', "".join(drawn.values()))
    per_drawing = [
        set(re.findall(r'\bid="([^"]+)"', one))
        for one in re.findall(r"<svg role=.*?</svg>", "".join(drawn.values()), re.DOTALL)
    ]
    assert sum(map(len, per_drawing)) == len(set().union(*per_drawing))
    assert len(set(ids)) == len(ids)


def test_references_inside_a_drawing_lead_somewhere(drawn: dict[str, Html]) -> None:
    markup = "".join(drawn.values())
    ids = set(re.findall(r'\bid="([^"]+)"', markup))
    targets = set(re.findall(r'href="#([^"]+)"', markup)) | set(re.findall(r"url\(#([^)]+)\)", markup))
    assert targets and targets <= ids


def test_a_figure_is_drawn_the_same_each_time(make) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 2), blocks=3, pulls=2))
    assert draw(stored, ["timeline"]) == draw(stored, ["timeline"])


def test_what_a_run_does_not_vary_is_not_drawn(make) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(2,), blocks=3, pulls=2))
    made = draw(stored, [*OF_WHAT_VARIES, "waterfalls", "timeline", "ecdf"])
    assert [name for name, markup in made.items() if markup] == ["waterfalls", "timeline", "ecdf"]


def test_a_run_that_failed_everywhere_is_drawn_over_time_alone(make) -> None:
    made = draw(make(Recipe(engines=("wire",), concurrency=(1, 2), blocks=3, pulls=2, fail_everywhere=True)))
    assert [name for name, markup in made.items() if markup] == ["timeline", "panel"]


def test_no_interval_is_no_obstacle(make) -> None:
    routes = (("eu", "direct"), ("us", "direct"))
    made = draw(
        make(Recipe(engines=("wire",), routes=routes, concurrency=(1, 2), blocks=1, warmup=0, pulls=5)), OF_WHAT_VARIES
    )
    assert all(made.values())


def test_a_hostile_name_stays_text_in_a_drawing(full: StoredRun) -> None:
    every = tables.cells(full.pulls, full.trials)
    cells = every[(every["engine"] == "wire") & (every["proxy"] == "direct")]
    hostile = cells.assign(registry=cells["registry"] + "</text><script>x$1$\u202e\x01镜像")
    for markup in (forest.overview(hostile), load.concurrency(hostile)):
        assert "<script" not in markup
        assert "\u202e" not in markup and "\x01" not in markup
        assert len(svgs(markup)) == 2


def test_a_long_run_is_thinned_and_keeps_its_failures() -> None:
    trials = 7_000
    table = pd.DataFrame(
        {
            "at_s": [float(n) for n in range(trials)],
            "block": [n // 100 for n in range(trials)],
            "warmup": False,
            "engine": "wire",
            "ratio": 1.0,
            "pulls": 8,
            "failed": [int(n % 1_000 == 1) for n in range(trials)],
            "code": ["reset" if n % 1_000 == 1 else None for n in range(trials)],
        }
    )
    made = over_time.timeline(table)
    caption = text_of(made[made.index("<figcaption") :])
    assert "7,000 trials" in caption and "7 trials" in caption and "reset in 7" in caption
    assert "in 3 of" in caption
    assert len(made) < 1_200_000


def steps(**changes: list[object]) -> pd.DataFrame:
    """Three exchanges: a config that waited in the client, a short layer, a long one."""
    given: dict[str, list[object]] = {
        "kind": ["config", "layer", "layer"],
        "bytes": [899.0, 200_000.0, 8_000_000.0],
        "start_s": [0.0, 0.001, 0.002],
        "wait_s": [0.0115, 0.012, 0.010],
        "transfer_s": [0.0001, 0.002, 0.100],
        "total_s": [0.0213, 0.014, 0.110],
    }
    frame = pd.DataFrame(given | changes)
    return frame.assign(attempt=1, digest=None, connecting_s=float("nan"), extract_s=float("nan"), error_code=None)


OTHER = "other: in the client"
"""The key of the time that no phase explains."""
PULL = {"trial": 1, "pull": 0, "image": "app:1", "duration_s": 0.12}


def test_a_waterfalls_caption_names_the_longest_bar_and_its_parts(undrawn: None) -> None:
    shown = steps().assign(other_s=[0.0097, 0.0, 0.0])
    made = waterfall(shown, "wire from eu", PULL)
    caption = made[made.index("<figcaption") :]
    parts = ("layer 8.00 MB", "110 ms", "10.0 ms", "100 ms", "80.0 MB/s")
    places = [caption.index(part) for part in parts]
    assert places == sorted(places)
    assert OTHER in made


def test_a_small_exchange_has_no_rate(undrawn: None) -> None:
    made = waterfall(steps().assign(other_s=0.0).iloc[:2], "wire from eu", PULL)
    caption = made[made.index("<figcaption") :]
    assert "layer 200 kB, 14.0 ms" in caption
    assert "/s" not in caption
    assert OTHER not in made


def test_the_parts_of_every_bar_make_its_whole_time(full: StoredRun) -> None:
    slower = full.transfers.assign(total_s=full.transfers["total_s"] + 0.5)
    slow = dataclasses.replace(full, read_transfers=rows_of(slower))
    cells = tables.cells(full.pulls, full.trials)
    (wire,) = [entry for entry in waterfalls(slow, cells, choose(slow, cells)) if entry.setting.startswith("wire")]
    parts = wire.steps[["connecting_s", "wait_s", "transfer_s", "other_s"]].sum(axis=1)
    assert parts.tolist() == pytest.approx(wire.steps["total_s"].tolist())


def ticks(low: float, high: float, most: int) -> list[str]:
    axis = Figure().subplots().xaxis
    axes.logarithmic(axis, low, high, axes.seconds_tick, most=most)
    return [axes.seconds_tick(value) for value in axis.get_ticklocs()]


def test_a_narrow_log_axis_has_few_ticks() -> None:
    assert ticks(0.009, 0.31, 9) == ["10 ms", "20 ms", "50 ms", "100 ms", "200 ms"]
    assert ticks(0.009, 0.31, 4) == ["10 ms", "30 ms", "100 ms", "300 ms"]
    assert ticks(0.009, 40.0, 4) == ["10 ms", "100 ms", "1 s", "10 s"]


def differences(verdicts: list[str], low: float) -> pd.DataFrame:
    rows = [
        {
            "factor": factor,
            "baseline": "a",
            "candidate": "b",
            "within": "",
            "ratio": 1.5,
            "low": low,
            "verdict": verdict,
        }
        for factor, verdict in zip(("registry", "proxy", "engine"), verdicts, strict=False)
    ]
    return pd.DataFrame(rows).assign(high=low + 1 if low == low else low)


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        (["inconclusive"] * 3, "0 of the 3 "),
        (["slower", "inconclusive", "inconclusive"], "1 of the 3 "),
        (["slower"] * 3, "3 of the 3 "),
        (["slower"], " is statistically significant"),
        (["inconclusive"], " is not statistically significant"),
    ],
)
def test_a_figure_of_comparisons_says_how_many_differences_are_significant(
    undrawn: None, verdicts: list[str], words: str
) -> None:
    made = forest.contrast(differences(verdicts, 1.2))
    assert words in made and "its interval" in made and "empty mark" not in made
    assert '<ul class="legend">' in made


def test_a_comparison_without_an_interval_is_an_empty_mark() -> None:
    made = forest.contrast(differences(["too_few_samples"] * 2, float("nan")))
    assert "empty mark" in made and "its interval" not in made
    assert "--pb-paper" in made and "--pb-paper" not in forest.contrast(differences(["slower"], 1.2))


def test_each_route_has_panels_of_its_own_by_concurrency(full: StoredRun) -> None:
    made = load.concurrency(tables.cells(full.pulls, full.trials))
    wide, narrow = svgs(made)
    for svg in (wide, narrow):
        said = [text.text or "" for text in svg.iter(f"{SVG}text")]
        for route in ("eu · direct", "us · cache", "us · direct"):
            assert sum(text.startswith(route) for text in said) == 2
    assert "Grey: " in made and "band: " in made


def test_the_recommended_concurrency_the_saturation_point_and_the_law_are_drawn_and_described(make) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), failure_rate=0.0, pulls=8))
    cells, found = tables.cells(stored.pulls, stored.trials), curves(stored)
    plain, made = load.concurrency(cells), load.concurrency(cells, found)
    (curve,) = found
    recommended = f"wire: concurrency {curve.scaling.recommended}."
    assert recommended in made and recommended not in plain
    for mark in ("Ring: ", "Bar at the bottom: ", "Dashed: "):
        assert mark in made and mark not in plain
    assert len(made) > len(plain)
    assert f"{len(stored.pulls[~stored.pulls['warmup']])} successful pulls." in made


def test_a_long_route_takes_more_rows_over_its_panel_and_no_more_width(full: StoredRun) -> None:
    every = tables.cells(full.pulls, full.trials)
    cells = every[(every["engine"] == "wire") & (every["registry"] == "us")].replace(
        {"registry": {"us": "registry-" + "u" * 60}}
    )
    for svg in svgs(load.concurrency(cells)):
        said = [text.text or "" for text in svg.iter(f"{SVG}text")]
        assert "cache" in said and max(map(len, said)) <= 35 + len("median pull time, log")


def test_failures_have_a_mark_a_code_and_what_is_rare_shares_one(undrawn: None) -> None:
    codes = ["reset"] * 4 + ["timeout"] * 3 + ["dns"] * 2 + ["proxy", "forbidden"]
    rows = {"at_s": [float(n) for n in range(11)], "block": 0, "warmup": False, "engine": "wire", "ratio": 1.0}
    made = over_time.timeline(pd.DataFrame(rows | {"pulls": 8, "failed": 1, "code": codes}))
    assert [made.count(f"failed: {code}") for code in ("reset", "timeout", "dns", "other", "proxy")] == [1, 1, 1, 1, 0]
    assert all(part in made for part in ("reset in 4", "timeout in 3", "dns in 2", "proxy in 1"))


def test_the_caption_names_no_band_where_there_is_none(make, undrawn: None) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 2), blocks=2, pulls=2))
    made = load.concurrency(tables.cells(stored.pulls, stored.trials))
    assert "band: " not in made and "no band" in made


@pytest.mark.parametrize(("rate", "says"), [(1.01, "about as many images/s"), (0.5, "0.500× as many images/s")])
def test_a_caption_has_no_multiple_for_what_is_no_difference(make, undrawn: None, rate: float, says: str) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 2), pulls=2))
    cells = tables.cells(stored.pulls, stored.trials)
    made = load.concurrency(cells.assign(wall_per_pull_s=[1.0, 1 / rate]))
    assert says in made
