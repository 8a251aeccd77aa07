"""Images in what is already deployed."""

from unittest.mock import ANY

import pytest

from pullbench.bench.discover import images_in
from pullbench.bench.found_image import Mention, read_image, read_image_at, serving_host
from pullbench.bench.interpolation import interpolated
from pullbench.bench.yaml_documents import documents_of
from pullbench.model.addresses import DOCKER_HUB_API, DOCKER_HUB_HOSTS

COMPOSE = """
x-shared: &shared
  image: not/a-service:1
services:
  web: {image: nginx, ports: ["80:80"]}
  cache:
    image: "registry.example.com:5000/team/cache:${TAG:-1.2}"
  app:
    image: "registry.example.com:5000/team/app:${TAG:-1.2}"
    build: {context: .}
    volumes: !reset []
  job: {image: "team/job:${TAG}"}
  own: {build: .}
"""
KUBERNETES = """
apiVersion: v1
kind: List
items:
  - kind: CronJob
    metadata: {name: nightly, annotations: {image: "not/this:1"}}
    spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: dump, image: "postgres:16"}]}}}}}
---
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      initContainers: [{name: wait, image: "busybox:1.36"}]
      containers: [{name: app, image: "ghcr.io/team/app@sha256:DIGEST"}]
      ephemeralContainers: [{name: look, image: "busybox:1.37"}]
---
kind: Service
metadata: {name: web}
---
""".replace("DIGEST", "a" * 64)


def found(text: str, **environ: str) -> list[Mention]:
    return list(images_in(documents_of(text), environ))


def test_compose_services_name_their_images_and_what_is_only_built_is_told() -> None:
    assert found(COMPOSE) == [
        Mention(where="service web", image="nginx"),
        Mention(where="service cache", image="registry.example.com:5000/team/cache:1.2"),
        Mention(where="service app", why_not=ANY),
        Mention(where="service job", why_not=ANY),
        Mention(where="service own", why_not=ANY),
    ]


def test_every_container_of_every_pod_template_of_every_document_is_read() -> None:
    assert [(mention.where, mention.image) for mention in found(KUBERNETES)] == [
        ("CronJob nightly, container dump", "postgres:16"),
        ("Deployment web, init container wait", "busybox:1.36"),
        ("Deployment web, container app", f"ghcr.io/team/app@sha256:{'a' * 64}"),
        ("Deployment web, ephemeral container look", "busybox:1.37"),
    ]


@pytest.mark.parametrize("kind", ["Pod", "StatefulSet", "DaemonSet", "Job", "ReplicaSet", "Rollout"])
def test_a_pod_template_counts_whatever_its_kind(kind: str) -> None:
    pod = "spec: {containers: [{name: a, image: 'a:1'}]}"
    text = f"kind: {kind}\nmetadata: {{name: x}}\n" + (pod if kind == "Pod" else f"spec: {{template: {{{pod}}}}}")
    assert found(text) == [Mention(where=f"{kind} x, container a", image="a:1")]


def test_any_other_document_is_searched_for_images() -> None:
    assert [mention.image for mention in found("build: {image: 'node:20'}\nscript: [image]")] == ["node:20"]


@pytest.mark.parametrize(
    "odd", ["- =", "- 2024-02-30", "- 2026-99-99", "- 9:99:99", "- 0o8", "- !!str 1", "- .inf", "- !Ref x"]
)
def test_a_value_that_only_yaml_resolves_hides_no_image(odd: str) -> None:
    text = f"kind: Widget\nmetadata: {{name: w}}\nspec:\n  operators:\n  {odd}\n  image: a:1\n---\n{KUBERNETES}"
    images = [mention.image for mention in found(text)]
    assert images[0] == "a:1"
    assert len(images) == 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("", None),
        ("true", True),
        ("yes", "yes"),
        ("12", 12),
        ("1.5", 1.5),
        ("012", "012"),
        ("1_000", "1_000"),
        ("12:34", "12:34"),
        ("2026-01-02", "2026-01-02"),
        ("0x1F", "0x1F"),
    ],
)
def test_a_scalar_is_what_json_makes_of_it_or_text(text: str, value: object) -> None:
    (document,) = documents_of(f"a: {text}")
    assert (document["a"], type(document["a"])) == (value, type(value))


def test_merge_keys_and_a_key_of_ones_own_beside_them_are_no_duplicates() -> None:
    text = "x-base: &base {image: 'a:1', restart: always}\nservices:\n  b: {<<: *base}\n  c: {<<: *base, image: 'c:1'}"
    assert [mention.image for mention in found(text)] == ["a:1", "c:1"]


STATUS = """
kind: List
items:
  - kind: Pod
    metadata: {name: p}
    spec: {containers: [{name: c, image: "a:1"}]}
    status: {containerStatuses: [{name: c, image: "sha256:DIGEST", imageID: "a@sha256:DIGEST"}]}
  - kind: Workflow
    metadata: {name: w}
    status: {storedTemplates: {t: {container: {image: "not/this:1"}}}}
""".replace("DIGEST", "a" * 64)


def test_the_status_of_an_object_has_no_images_to_pull() -> None:
    assert found(STATUS) == [Mention(where="Pod p, container c", image="a:1")]


def test_a_key_status_outside_of_an_object_is_searched() -> None:
    assert found("status: {image: 'page/of-status:1'}") == [Mention(where="", image="page/of-status:1")]


VOLUMES = """
kind: Pod
metadata: {name: p}
spec:
  volumes:
    - {name: model, image: {reference: "quay.io/team/model:1", pullPolicy: Always}}
    - {name: local, image: {reference: "quay.io/team/local:1", pullPolicy: Never}}
    - {name: none, image: {}}
  containers:
    - {name: a, image: "a:1", imagePullPolicy: Never}
    - {name: b, image: "b:1", imagePullPolicy: IfNotPresent}
    - {name: c}
    - {name: d, image: 1.27}
"""


def test_image_volumes_are_found_and_what_is_never_pulled_is_told() -> None:
    assert found(VOLUMES) == [
        Mention(where="Pod p, image volume model", image="quay.io/team/model:1"),
        Mention(where="Pod p, image volume local", why_not=ANY),
        Mention(where="Pod p, container a", why_not=ANY),
        Mention(where="Pod p, container b", image="b:1"),
        Mention(where="Pod p, container c", why_not=ANY),
        Mention(where="Pod p, container d", why_not=ANY),
    ]


@pytest.mark.parametrize(
    ("image", "read"),
    [
        ("{repository: quay.io/a/b, tag: v1}", "quay.io/a/b:v1"),
        ("{registry: quay.io, repository: a/b, tag: v1}", "quay.io/a/b:v1"),
        ("{registry: quay.io/, repository: a/b, tag: 2}", "quay.io/a/b:2"),
        ("{repository: a/b, tag: 1.27, pullPolicy: Always}", "a/b:1.27"),
        ("{repository: a/b, tag: v1, digest: 'sha256:DIGEST'}", "a/b:v1@sha256:DIGEST"),
        ("{repository: a/b, tag: '', digest: 'sha256:DIGEST'}", "a/b@sha256:DIGEST"),
        ("{repository: a/b, tag: 'sha256:DIGEST'}", "a/b@sha256:DIGEST"),
        (
            "{registry: registry.k8s.io, image: ingress-nginx/controller, tag: v1}",
            "registry.k8s.io/ingress-nginx/controller:v1",
        ),
        ("{name: a/b, tag: v1}", "a/b:v1"),
        ("{repository: 'localhost:5000/a/b:v2'}", "localhost:5000/a/b:v2"),
        ("a/b:v1", "a/b:v1"),
        ("{main: {image: 'a/b:v1'}}", "a/b:v1"),
        ("['a', {image: 'a/b:v1'}]", "a/b:v1"),
    ],
)
@pytest.mark.parametrize(
    "owner", ["controller: {{image: {}}}", "kind: Widget\nmetadata: {{name: w}}\nspec: {{image: {}}}"]
)
def test_an_image_in_parts_is_put_together(owner: str, image: str, read: str) -> None:
    (mention,) = found(owner.format(image).replace("DIGEST", "a" * 64))
    assert mention.image == read.replace("DIGEST", "a" * 64)


@pytest.mark.parametrize(
    "image",
    [
        "{repository: a/b}",
        "{repository: a/b, tag: ''}",
        "{repository: '', tag: v1}",
        "{repository: 'localhost:5000/a'}",
    ],
)
def test_parts_that_name_no_one_image_are_told(image: str) -> None:
    (mention,) = found(f"image: {image}")
    assert not mention.image
    assert mention.why_not


def test_a_schema_of_a_custom_resource_has_no_image() -> None:
    schema = "properties: {image: {type: object, properties: {repository: {type: string}, tag: {type: string}}}}"
    assert found(f"kind: CustomResourceDefinition\nmetadata: {{name: w}}\nspec: {{{schema}}}") == []


def test_an_anchor_that_holds_itself_ends() -> None:
    assert found("a: &a {image: 'x:1', again: *a}") == [Mention(where="", image="x:1")]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A:-x}", "x"),
        ("${A-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${EMPTY:-x}", "x"),
        ("${TAG:-x}", "2"),
        ("$TAG", "2"),
        ("${TAG:?must be set}", "2"),
        ("${TAG:+-slim}", "-slim"),
        ("${A:+-slim}", ""),
        ("${A:-${B:-${TAG}}}", "2"),
        ("${A-}", ""),
        ("${TAG:-${B:?is not read}}", "2"),
        ("${EMPTY?no}", ""),
        ("${EMPTY+x}", "x"),
        ("${A+x}", ""),
        ("${TAG:+v${TAG}}", "v2"),
        ("${A:-x}-${TAG}-$TAG.1", "x-2-2.1"),
        ("${A:-a:b-c?d+e}", "a:b-c?d+e"),
        ("$${TAG}", "${TAG}"),
        ("$$$TAG", "$2"),
        ("$DOLLAR", "$TAG"),
        ("price$$TAG", "price$TAG"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, filled: str) -> None:
    assert interpolated(text, {"TAG": "2", "EMPTY": "", "DOLLAR": "$TAG"}) == filled


@pytest.mark.parametrize(
    "text",
    [
        "${A}",
        "$A",
        "${A:?must be set}",
        "${A?no}",
        "${EMPTY:?no}",
        "${A b}",
        "${",
        "$",
        "$1",
        "${A:-x",
        "${TAG!x}",
        "${A:-" * 99,
    ],
)
def test_a_variable_without_a_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="variable"):
        interpolated(text, {"EMPTY": "", "TAG": "2"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not YAML in line"),
        ("a: {{ .Values.image }}\nb: {{ x }}", "helm template"),
        ("a: 1\na: 2", "in line 2: the key 'a' occurs twice"),
        ("a:\n\tb: 1", "is not YAML in line 2"),
        ("a: \x00", "is not YAML"),
        ("- " * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_yaml_is_told_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        documents_of(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "url", "reference"),
    [
        ("nginx", "https://registry-1.docker.io", "library/nginx:latest"),
        ("bitnami/redis:7", "https://registry-1.docker.io", "bitnami/redis:7"),
        ("docker.io/library/nginx:1", "https://registry-1.docker.io", "library/nginx:1"),
        ("docker.io/nginx:1", "https://registry-1.docker.io", "library/nginx:1"),
        ("registry-1.docker.io/nginx:1", "https://registry-1.docker.io", "library/nginx:1"),
        ("localhost:5000/app", "http://localhost:5000", "app:latest"),
        ("127.0.0.1:5000/app:1", "http://127.0.0.1:5000", "app:1"),
        ("ghcr.io/team/app:2", "https://ghcr.io", "team/app:2"),
    ],
)
def test_an_image_is_read_with_the_defaults_of_docker(text: str, url: str, reference: str) -> None:
    found = read_image(text)
    assert (found.url, str(found.reference)) == (url, reference)


def test_a_template_is_no_image() -> None:
    with pytest.raises(ValueError, match="not a repository name"):
        read_image("${IMAGE}")


@pytest.mark.parametrize("host", sorted(DOCKER_HUB_HOSTS))
def test_docker_hub_has_one_host_whatever_name_is_written(host: str) -> None:
    assert serving_host(host) == DOCKER_HUB_API
    for text in (f"{host}/nginx:1", "nginx:1"):
        found = read_image_at(DOCKER_HUB_API, text)
        assert (found.host, str(found.reference)) == (DOCKER_HUB_API, "library/nginx:1")
    assert read_image(f"{host}/nginx:1").host == DOCKER_HUB_API
