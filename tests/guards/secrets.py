"""What is promised of secrets, and what keeps it."""

from tests.guards import Guard

_AUTH = "pullbench/registry/auth.py"
_EXCHANGE = "pullbench/registry/exchange.py"
_KEYCHAIN = "pullbench/registry/keychain.py"
_REDACTION = "pullbench/registry/redaction.py"
_SESSION = "pullbench/engines/wire/session.py"
_ROUTE = "pullbench/model/route.py"


SECRETS = (
    Guard(
        against="what a registry echoes",
        file=_REDACTION,
        function="redacted",
        whole="        text = text.replace(secret, REDACTED)\n",
        without="        pass\n",
        test="tests/registry/test_redaction.py::test_redacted_knows_credentials_however_they_are_written",
    ),
    Guard(
        against="what a registry echoes",
        file=_REDACTION,
        function="redacted",
        whole="    return _LOOKS_SECRET.sub(hidden, text)\n",
        without="    return text\n",
        test="tests/registry/test_redaction.py::test_redacted_takes_out_what_looks_like_a_secret_of_somebody_else",
    ),
    Guard(
        against="what a registry echoes",
        file=_EXCHANGE,
        function="Answer.fault",
        whole='body = redacted(self.body.decode("utf-8", "surrogateescape"), sent=self.sent)',
        without='body = self.body.decode("utf-8", "surrogateescape")',
        test="tests/registry/test_redaction.py::test_the_fault_of_an_answer_repeats_nothing_that_the_request_carried",
    ),
    Guard(
        against="what a registry echoes",
        file="pullbench/engines/wire/login.py",
        function="Login.explain",
        whole="clean(redacted(failure.detail, sent=self._secrets()), _MAX_DETAIL_CHARS)",
        without="clean(failure.detail, _MAX_DETAIL_CHARS)",
        test="tests/engines/test_wire_auth.py::test_the_explanation_of_a_failure_keeps_secrets_out_of_an_outcome",
    ),
    Guard(
        against="what a daemon or a client passes on, and what caches say",
        file="pullbench/bench/session.py",
        function="Session.run_trial",
        whole="        result = without_secrets(result, self.keychain.known())\n",
        without="",
        test="tests/bench/test_session.py::test_the_sessions_redaction_stores_no_secret_that_a_client_passes_on",
    ),
    Guard(
        against="findings and their evidence",
        file="pullbench/preflight/runner.py",
        function="without_secrets",
        whole="        observed=redacted(finding.observed, known),\n",
        without="        observed=finding.observed,\n",
        test="tests/preflight/test_evidence.py::"
        "test_without_secrets_leaves_nothing_that_a_registry_echoes_in_a_finding_or_its_evidence",
    ),
    Guard(
        against="signed URLs",
        file=_AUTH,
        function="redact_url",
        whole='(name, value if name in _SHOWN_PARAMETERS else "REDACTED")',
        without="(name, value)",
        test="tests/registry/test_auth.py::test_redact_url_shows_no_user_no_fragment_and_no_unknown_parameter",
    ),
    Guard(
        against="what Python prints of an object",
        file=_AUTH,
        function="Credentials",
        whole="    password: str = field(repr=False)\n",
        without="    password: str\n",
        test="tests/registry/test_auth.py::test_reprs_hold_no_secret",
    ),
    Guard(
        against="a spec holds none",
        file="pullbench/model/spec_fields.py",
        function="_url",
        whole='    if "@" in text:  # before all else, so that no message repeats them\n        raise ValueError(\n            "holds credentials: take them',
        without='    if not text:\n        raise ValueError(\n            "holds credentials: take them',
        test="tests/model/test_spec.py::test_the_url_check_refuses_credentials_and_does_not_repeat_them",
    ),
    Guard(
        against="a stored spec",
        file="pullbench/model/spec.py",
        function="Spec.redacted",
        whole='            proxy["headers"] = dict.fromkeys(proxy["headers"], "(redacted)")\n',
        without="            pass\n",
        test="tests/model/test_spec.py::test_the_redacted_spec_keeps_no_value_of_a_header",
    ),
    Guard(
        against="all of it at once, over a registry that echoes everything, every client, table, log and page",
        file="pullbench/bench/session.py",
        function="Session.run_trial",
        whole="        result = without_secrets(result, self.keychain.known())\n",
        without="",
        test="tests/integration/test_secrets.py::"
        "test_nothing_that_a_registry_echoes_of_a_login_or_a_signed_url_is_in_any_output",
        needs="integration",
    ),
)

HOSTS = (
    Guard(
        against="redirects",
        file=_SESSION,
        function="Session._follow",
        whole="(own if same_origin(url, first) else {})",
        without="own",
        test="tests/engines/test_wire_routes.py::test_same_origin_keeps_our_headers_from_a_redirect_to_another_host",
    ),
    Guard(
        against="redirects",
        file=_EXCHANGE,
        function="Exchanger.send",
        whole="            at_home = at_home and same_origin(current, url)\n",
        without="",
        test="tests/registry/test_hostile.py::"
        "test_at_home_keeps_authorization_and_the_mirrors_headers_from_a_redirect_to_another_host",
    ),
    Guard(
        against="its challenges",
        file=_SESSION,
        function="Session._challenges",
        whole=" or not same_origin(trail.url, self._route.url):",
        without=":",
        test="tests/engines/test_wire_routes.py::test_same_origin_lets_no_other_host_ask_for_a_token",
    ),
    Guard(
        against="its challenges",
        file="pullbench/registry/client.py",
        function="RegistryClient.ask",
        whole="if answer.status == 401 and same_origin(answer.url, self.route.url):",
        without="if answer.status == 401:",
        test="tests/registry/test_hostile.py::test_same_origin_answers_no_challenge_of_another_host",
    ),
)

CLEAR = (
    Guard(
        against="from https to http",
        file=_AUTH,
        function="_safe_realm",
        whole='    if parts.scheme == "http" and urlsplit(endpoint_url).scheme != "http":\n',
        without="    if not parts.scheme:\n",
        test="tests/registry/test_auth.py::test_safe_realm_refuses_http_behind_an_https_registry",
    ),
    Guard(
        against="from https to http",
        file="pullbench/registry/redirect.py",
        function="destination",
        whole='    if parts.scheme == "http" and urlsplit(url).scheme == "https":\n',
        without="    if not url:\n",
        test="tests/engines/test_wire_routes.py::test_the_destination_of_a_redirect_from_tls_is_not_in_the_clear",
    ),
    Guard(
        against="from https to http",
        file="pullbench/registry/redirect.py",
        function="destination",
        whole='    if parts.scheme == "http" and urlsplit(url).scheme == "https":\n',
        without="    if not url:\n",
        test="tests/registry/test_hostile.py::test_the_destination_of_a_redirect_is_nowhere_that_nobody_should_go",
    ),
    Guard(
        against="to this machine and no other",
        file=_ROUTE,
        function="Route.may_send",
        whole="        return _is_loopback(url) and (self.forward_url is None or _is_loopback(self.forward_url))\n",
        without="        return True\n",
        test="tests/model/test_route.py::test_may_send_keeps_credentials_off_plain_http_to_another_machine",
    ),
    Guard(
        against="the control plane",
        file=_KEYCHAIN,
        function="Keychain.login",
        whole="        if found is not None and not route.may_send(route.url):\n",
        without="        if route is None:\n",
        test="tests/registry/test_plain_http_credentials.py::"
        "test_keychain_login_keeps_the_control_planes_credentials_off_plain_http",
    ),
    Guard(
        against="wire, docker, containerd",
        file=_KEYCHAIN,
        function="Keychain.login",
        whole="        if found is not None and not route.may_send(route.url):\n",
        without="        if route is None:\n",
        test="tests/engines/test_plain_http_credentials.py::"
        "test_keychain_login_hands_no_engine_credentials_for_plain_http_to_another_machine",
    ),
    Guard(
        against="skopeo, podman",
        file="pullbench/engines/command/containers_image.py",
        function="write_configuration",
        whole="found = keychain.login(route)",
        without="found = keychain.credentials(route.credentials, route.host)",
        test="tests/engines/test_plain_http_credentials.py::"
        "test_keychain_login_keeps_credentials_for_plain_http_out_of_the_auth_file_of_skopeo_and_podman",
    ),
    Guard(
        against="a token realm",
        file=_AUTH,
        function="token_request",
        whole="    if credentials is not None and not may_send(realm):\n",
        without="    if realm is None:\n",
        test="tests/registry/test_plain_http_credentials.py::"
        "test_the_realm_guard_sends_no_credentials_to_a_plain_realm_elsewhere",
    ),
    Guard(
        against="a forward proxy's login",
        file=_KEYCHAIN,
        function="Keychain.forward_login",
        whole="        if found is not None and not route.may_send_forward:\n",
        without="        if route is None:\n",
        test="tests/registry/test_plain_http_credentials.py::"
        "test_keychain_forward_login_keeps_a_proxys_login_off_plain_http",
    ),
    Guard(
        against="a product's own API",
        file="pullbench/registry/products/api.py",
        function="ProductApi",
        whole="found if route.may_send(route.url) and _is_password(found) else None",
        without="found if _is_password(found) else None",
        test="tests/registry/test_plain_http_credentials.py::test_a_products_api_gets_no_password_over_plain_http",
    ),
    Guard(
        against="a Pushgateway (`--plain-http-credentials`)",
        file="pullbench/cli/commands/metrics.py",
        function="push",
        whole="    if login is not None and not sends_in_clear and not is_private(gateway):\n",
        without="    if not gateway:\n",
        test="tests/cli/test_metrics.py::test_the_gateway_guard_keeps_a_login_off_plain_http_to_another_machine",
    ),
    Guard(
        against="told before any load",
        file="pullbench/preflight/checks/credentials.py",
        function="probe",
        whole="    if found is not None and not route.may_send(route.url):\n",
        without="    if route is None:\n",
        test="tests/preflight/test_credentials_check.py::"
        "test_credentials_that_would_go_in_clear_fail_the_check_before_anything_is_sent",
    ),
)
