"""A spec is read whole, or refused in one line that names the key path and says what would be right."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from pullbench.errors import UsageError
from pullbench.model.spec import (
    Budget,
    EngineEntry,
    Load,
    Matrix,
    Overrides,
    ProxyEntry,
    RegistryEntry,
    Slo,
    Spec,
    Stress,
    read_spec,
)
from tests.model.mistakes import LEAST, MIRROR, MISTAKES


def mapping(**changes: Any) -> dict[str, Any]:
    return {**LEAST, **changes}


def refusal(data: object) -> str:
    with pytest.raises(UsageError) as caught:
        read_spec(data)
    text = str(caught.value)
    assert "\n" not in text
    return text


def registry(**changes: Any) -> dict[str, Any]:
    return mapping(registries=[{"name": "eu", "url": "https://r.example.com", **changes}])


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://r.example.com", "https://r.example.com"),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("https://[2001:db8::1]:5000", "https://[2001:db8::1]:5000"),
        ("http://my_registry:65535", "http://my_registry:65535"),
    ],
)
def test_a_url_is_scheme_host_and_port(url: str, kept: str) -> None:
    assert read_spec(registry(url=url)).registries[0].url == kept


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("r.example.com", "is not a URL"),
        ("ftp://r.example.com", "is not a URL"),
        ("https://", "is not a URL"),
        ("https://r example.com", "is not a URL"),
        ("https://[2001:db8::1", "is not a URL"),
        ("https://r.example.com:", "is not a URL"),
        ("https://r.example.com:port", "is not a URL"),
        ("https://-r", "is not a URL"),
        ("https://r.example.com/v2/", "has a path"),
        ("https://r.example.com?x=1", "has a path or a query"),
        ("https://r.example.com:0", "port outside"),
        ("https://r.example.com:65536", "port outside"),
    ],
)
def test_what_is_no_url_is_refused(url: str, told: str) -> None:
    text = refusal(registry(url=url))
    assert text.startswith("registries[0].url: ")
    assert told in text


@pytest.mark.parametrize(
    "url", ["https://user:hunter2@r.io", "user:hunter2@r.io", "hunter2@[", "http://u:hunter2@r.io:0"]
)
@pytest.mark.promise("secrets", "A spec with credentials in a URL is refused, and the message does not repeat them")
def test_the_url_check_refuses_credentials_and_does_not_repeat_them(url: str) -> None:
    text = refusal(registry(url=url))
    assert "has credentials" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_that_begins_with_its_key_path(case: str) -> None:
    mistake = MISTAKES[case]
    text = refusal(mistake.spec)
    assert text.startswith(f"{mistake.path}: " if mistake.path else "`")
    assert "hunter2" not in text


def test_the_answers_to_mistakes_are_golden(golden: Callable[[str, str], None]) -> None:
    golden("spec-mistakes.txt", "".join(f"{case}\n  {refusal(each.spec)}\n" for case, each in MISTAKES.items()))


PYDANTIC_WORDS = re.compile(
    r"Input should|[Vv]alue error|valid \w+ (string|integer|number)|should have|validation|pydantic|instance of"
)


def test_no_answer_has_words_of_pydantic() -> None:
    for mistake in MISTAKES.values():
        assert not PYDANTIC_WORDS.search(refusal(mistake.spec))


ODD = [None, True, 7, -1, 2.5, float("nan"), float("inf"), "", "x y", [], [None], [[]], {}, {"x": None}, {"name": []}]


def every_key(model: type[BaseModel] = Spec, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every key of a spec; a list stands for its first entry."""
    for name in model.model_fields:
        yield (*path, name)
    for section, inner in (
        ("registries", RegistryEntry),
        ("proxies", ProxyEntry),
        ("engines", EngineEntry),
        ("matrix", Matrix),
        ("load", Load),
        ("budget", Budget),
        ("slo", Slo),
        ("stress", Stress),
    ):
        if model is Spec:
            yield from every_key(inner, (section,))


@pytest.mark.parametrize("path", list(every_key()), ids=".".join)
def test_whatever_a_key_holds_the_answer_is_ours(path: tuple[str, ...]) -> None:
    for value in ODD:
        data = mapping()
        if len(path) == 1:
            data[path[0]] = value
        elif path[0] in ("registries", "proxies", "engines"):
            data[path[0]] = [{path[1]: value}]
        else:
            data[path[0]] = {path[1]: value}
        try:
            read_spec(data)
        except UsageError as error:
            assert not PYDANTIC_WORDS.search(str(error))
            assert "not allowed here" not in str(error), "a kind of error without words of its own"


@pytest.mark.parametrize("changes", [{}, {"slo": None}, {"slo": {}}, {"slo": {"per_configuration": True}}])
def test_without_an_slo_there_is_no_target(changes: dict[str, Any]) -> None:
    assert read_spec(mapping(**changes)).targets == {}


def test_the_targets_are_the_slos_that_are_set() -> None:
    slo = {"success_rate": 0.999, "p50_pull_s": 2, "p95_pull_s": 10, "p99_pull_s": None, "engines": ["wire"]}
    assert read_spec(mapping(slo=slo)).targets == {"success_rate": 0.999, "p50_pull_s": 2.0, "p95_pull_s": 10.0}


def test_a_stored_spec_of_an_older_version_is_read_with_its_explicit_slo() -> None:
    old = {"success_rate": 0.999, "mean_pull_s": 3.0, "p99_api_s": None, "consecutive_failures": 3}
    assert read_spec(mapping(slo=old)).targets == {"success_rate": 0.999, "mean_pull_s": 3.0, "consecutive_failures": 3}


@pytest.mark.parametrize(
    ("engines", "named", "scored"),
    [
        (["wire"], None, ["wire"]),
        (["wire", "skopeo", "fake"], None, ["wire", "skopeo", "fake"]),
        (["wire", "docker"], None, ["docker"]),
        (["containerd", "wire", "second"], None, ["containerd", "second"]),
        (["wire", "docker"], ["wire"], ["wire"]),
        (["wire", "docker"], ["docker", "wire"], ["docker", "wire"]),
    ],
)
def test_the_engines_that_unpack_are_scored_else_all_unless_the_slo_names_them(
    engines: list[str], named: list[str] | None, scored: list[str]
) -> None:
    second = [{"name": "second", "kind": "docker", "host": "unix:///run/second.sock"}]
    data = mapping(engines=second, matrix={"engines": engines}, slo={"mean_pull_s": 3, "engines": named})
    assert read_spec(data).slo_engines == scored


@pytest.mark.parametrize("data", [None, [], "name: a", 3])
def test_what_is_not_a_mapping_is_refused(data: object) -> None:
    assert "`registries:`" in refusal(data)


def test_a_missing_key_is_named() -> None:
    assert [part.partition(":")[0] for part in refusal({"name": "a"}).split("; ")] == ["registries", "images"]


def test_a_header_that_may_be_a_secret_is_not_repeated() -> None:
    assert "271828" not in refusal(mapping(proxies=[{**MIRROR, "headers": {"X-Token": 271828}}]))


@pytest.mark.parametrize("credentials", ["docker", "anonymous", "env:EU", "block:harbor"])
def test_credentials_name_where_secrets_are(credentials: str) -> None:
    assert read_spec(registry(credentials=credentials)).registries[0].credentials == credentials


@pytest.mark.parametrize("credentials", ["user:hunter2", "hunter2", "env:", "block:", ""])
def test_a_secret_in_place_of_its_source_is_refused_and_not_repeated(credentials: str) -> None:
    text = refusal(registry(credentials=credentials))
    assert text.startswith("registries[0].credentials: ") and "docker" in text
    assert "hunter2" not in text


def test_the_values_of_headers_are_not_stored() -> None:
    spec = read_spec(mapping(proxies=[{**MIRROR, "headers": {"X-Token": "hunter2"}}]))
    assert "hunter2" not in str(spec.redacted())
    assert spec.redacted()["proxies"][0]["headers"] == {"X-Token": "(redacted)"}
    assert spec.proxies[0].headers == {"X-Token": "hunter2"}


def test_the_hash_tells_specs_apart_and_not_their_spelling() -> None:
    spec = read_spec(mapping())
    assert spec.hash() == read_spec(dict(reversed(mapping(repetitions=5, budget={}).items()))).hash()
    assert spec.hash() == read_spec(mapping(images=["app:1"], matrix={"proxies": ["direct"]})).hash()
    assert spec.hash() != read_spec(mapping(repetitions=6)).hash()


def test_a_namespace_is_part_of_what_is_measured_and_an_absent_one_changes_no_hash() -> None:
    with_it = read_spec(mapping(proxies=[{**MIRROR, "namespace": "docker.io"}]))
    without = read_spec(mapping(proxies=[MIRROR]))
    assert with_it.hash() != without.hash() == read_spec(mapping(proxies=[{**MIRROR, "namespace": None}])).hash()


@pytest.mark.parametrize("namespace", ["https://docker.io", "docker.io/library", "", "a b", "docker.io:0"])
def test_a_namespace_is_a_host(namespace: str) -> None:
    assert refusal(mapping(proxies=[{**MIRROR, "namespace": namespace}])).startswith("proxies[0].namespace: ")


def test_a_forward_proxy_has_no_namespace() -> None:
    forward = {"name": "squid", "kind": "forward", "url": "http://squid:3128", "namespace": "docker.io"}
    assert "`namespace` belongs to a mirror" in refusal(mapping(proxies=[forward]))


def test_a_kinds_bare_name_means_its_defaults_and_a_named_engine_its_own() -> None:
    spec = read_spec(mapping(engines=[{"name": "serial", "kind": "wire", "layer_concurrency": 1}]))
    assert spec.engine("wire").layer_concurrency == 3
    assert spec.engine("serial").layer_concurrency == 1
    assert spec.engine("docker").kind == "docker"


def test_overrides_take_the_place_of_what_they_give_alone() -> None:
    data = mapping(matrix={"concurrency": [1], "cache": ["warm"]}, repetitions=5)
    assert Overrides().apply(data) == data
    spec = read_spec(Overrides(concurrency=[2, 4], repetitions=3).apply(data))
    assert (spec.matrix.concurrency, spec.matrix.cache, spec.repetitions) == ([2, 4], ["warm"], 3)
    assert read_spec(Overrides(engines=["fake"]).apply(mapping(matrix=None))).matrix.engines == ["fake"]
    assert data["matrix"] == {"concurrency": [1], "cache": ["warm"]}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"matrix": {"concurrency": [1, True]}}, "matrix: `concurrency` does not take true or false"),
        ({"retries": False}, "`retries` does not take true or false"),
        ({"budget": {"bytes": True}}, "budget: `bytes` does not take true or false"),
    ],
)
def test_yes_and_no_are_no_numbers(changes: dict[str, Any], told: str) -> None:
    assert refusal(mapping(**changes)).startswith(told)


def test_a_seed_that_the_results_cannot_hold_is_refused() -> None:
    assert read_spec(mapping(seed=2**63 - 1)).seed == 2**63 - 1
    assert refusal(mapping(seed=2**63)).startswith("seed: ")


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ({"name": "d", "kind": "docker", "sink": "disk"}, "`sink` belongs to an engine of kind wire, not docker"),
        ({"name": "w", "kind": "wire", "host": "unix:///run/d.sock"}, "`host` belongs to an engine of kind docker"),
        ({"name": "p", "kind": "podman", "transfer": "local"}, "`transfer` belongs to an engine of kind containerd"),
        ({"name": "c", "kind": "containerd", "transfer": "daemon"}, "engines[0].transfer: "),
        ({"name": "s", "kind": "skopeo", "partial_pulls": True}, "`partial_pulls` belongs to an engine of kind podman"),
        ({"name": "w", "kind": "wire", "script": [1.0]}, "`script` belongs to an engine of kind fake"),
        ({"name": "docker", "kind": "wire"}, "'docker'"),
        ({"name": "w", "kind": "crane"}, "engines[0].kind: "),
        ({"name": "d", "kind": "docker", "host": "/run/docker.sock"}, "engines[0].host: "),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(engine: dict[str, Any], told: str) -> None:
    text = refusal(mapping(engines=[engine]))
    assert text.startswith("engines[0]")
    assert told in text


@pytest.mark.parametrize(
    ("option", "value", "read"),
    [
        ("chunk_bytes", "32MiB", 32 * 2**20),
        ("chunk_bytes", 65_536, 65_536),
        ("resolve", {"Registry.example:5000": "10.0.0.7"}, {"registry.example:5000": "10.0.0.7"}),
        ("resolve", {"cdn.example": "2001:DB8::0001"}, {"cdn.example": "2001:db8::1"}),
    ],
)
def test_an_option_of_the_wire_engine_is_read(option: str, value: object, read: object) -> None:
    spec = read_spec(mapping(engines=[{"name": "w", "kind": "wire", option: value}]))
    assert getattr(spec.engine("w"), option) == read


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"chunk_bytes": "1KiB"}, "engines[0].chunk_bytes: "),
        ({"chunk_bytes": "2GiB"}, "engines[0].chunk_bytes: "),
        ({"chunk_bytes": "big"}, "'big' is not a size"),
        ({"strategy": "base-first"}, "needs `base_images`"),
        ({"base_images": ["library/debian:12"]}, "`base_images` are for `strategy: base-first`"),
        ({"strategy": "base-first", "base_images": ["r.example.com/debian"]}, "names the host 'r.example.com'"),
        ({"resolve": {"https://r.example": "10.0.0.7"}}, "is not a host"),
        ({"resolve": {"r.example:0": "10.0.0.7"}}, "has a port outside 1-65535"),
        ({"resolve": {"r.example": "elsewhere.example"}}, "'elsewhere.example' is not an IP address"),
    ],
)
def test_a_wire_option_that_cannot_be_is_refused(options: dict[str, Any], told: str) -> None:
    text = refusal(mapping(engines=[{"name": "w", "kind": "wire", **options}]))
    assert text.startswith("engines[0]") and told in text


def test_an_entry_may_change_its_kinds_own_defaults() -> None:
    spec = read_spec(mapping(engines=[{"name": "docker", "kind": "docker", "host": "unix:///run/two.sock"}]))
    assert spec.engine("docker").host == "unix:///run/two.sock"


def test_every_option_of_an_engine_belongs_to_a_kind() -> None:
    from pullbench.model.spec import _OPTION_OF, EngineEntry

    assert set(_OPTION_OF) == set(EngineEntry.model_fields) - {"name", "kind"}


@pytest.mark.promise("secrets", "A stored spec contains no value of a mirror's header")
def test_the_redacted_spec_keeps_no_value_of_a_header() -> None:
    spec = read_spec(mapping(proxies=[{**MIRROR, "headers": {"X-Token": "planted-271828"}}]))
    assert "planted" not in json.dumps(spec.redacted()) and "X-Token" in json.dumps(spec.redacted())


@pytest.mark.parametrize("cold", [{"push": "pullbench/cold"}, {"reset": ["true"]}, {"reset": ["true"], "timeout_s": 5}])
def test_a_stored_spec_is_read_again_whatever_makes_its_mirror_cold(cold: dict[str, Any]) -> None:
    """It has every default written out that is not refused."""
    mirror = {"name": "cache", "kind": "mirror", "upstream": "eu", "url": "http://127.0.0.1:5001", "cold": cold}
    registries = [{"name": "eu", "url": "http://127.0.0.1:5000"}]
    given = read_spec({"name": "a", "registries": registries, "proxies": [mirror], "images": ["app:1"]})
    for stored in (given.model_dump(mode="json"), given.redacted()):
        assert read_spec(stored).hash() == given.hash()
    assert ("timeout_s" in given.redacted()["proxies"][0]["cold"]) == ("reset" in cold)


def test_a_mirror_that_is_made_cold_keeps_the_hash_of_earlier_versions() -> None:
    mirror = {**MIRROR, "cold": {"push": "pullbench/cold"}}
    assert (
        read_spec(mapping(proxies=[mirror])).hash()
        == "7012e12fb39ce803f8df5f7b417fb01c1b5ae9e6a525f04730d6d5c680364ed0"
    )
