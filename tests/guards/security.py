"""What is promised of secrets, of texts and names of strangers, and of the lab, and what keeps it."""

from tests.guards import Guard

_AUTH = "pullbench/registry/auth.py"
_EXCHANGE = "pullbench/registry/exchange.py"
_KEYCHAIN = "pullbench/registry/keychain.py"
_REDACTION = "pullbench/registry/redaction.py"
_SESSION = "pullbench/engines/wire_session.py"
_ROUTE = "pullbench/model/route.py"
_HTML = "pullbench/report/html.py"
_DATASET = "pullbench/store/dataset.py"


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
        file="pullbench/engines/wire_login.py",
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
        file="pullbench/preflight/evidence.py",
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
        file=_SESSION,
        function="_refusal",
        whole='    if parts.scheme == "http" and urlsplit(url).scheme == "https":\n',
        without="    if not url:\n",
        test="tests/engines/test_wire_routes.py::test_the_refusal_of_a_redirect_from_tls_to_the_clear",
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
        file="pullbench/engines/containers_image.py",
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
        file="flows/commands/metrics.py",
        function="push",
        whole="    if login is not None and not sends_in_clear and not is_private(gateway):\n",
        without="    if not gateway:\n",
        test="tests/flows/test_metrics.py::test_the_gateway_guard_keeps_a_login_off_plain_http_to_another_machine",
    ),
    Guard(
        against="told before any load",
        file="pullbench/preflight/credentials.py",
        function="probe",
        whole="    if found is not None and not route.may_send(route.url):\n",
        without="    if route is None:\n",
        test="tests/preflight/test_credentials_check.py::"
        "test_credentials_that_would_go_in_clear_fail_the_check_before_anything_is_sent",
    ),
)

TEXTS = (
    Guard(
        against="in HTML",
        file=_HTML,
        function="escape",
        whole="    return Html(html.escape(visible(str(content)), quote=True))\n",
        without="    return Html(str(content))\n",
        test="tests/report/test_html.py::test_escape_keeps_hostile_text_text_in_a_table",
    ),
    Guard(
        against="in HTML",
        file=_HTML,
        function="tag",
        whole="f' {label}=\"{html.escape(visible(str(value)), quote=True)}\"'",
        without="f' {label}=\"{value}\"'",
        test="tests/report/test_html.py::test_tag_keeps_hostile_text_text_in_an_attribute",
    ),
    Guard(
        against="in HTML",
        file=_HTML,
        function="visible",
        whole='f"‹U+{ord(c):04X}›" if unicodedata.category(c) in _STEERING else c for c in spaced',
        without="c for c in spaced",
        test="tests/report/test_html.py::test_visible_writes_out_characters_that_steer_the_display",
    ),
    Guard(
        against="on the site's page, which runs its own script alone",
        file="pullbench/report/site_page.py",
        function="site_page",
        whole='            Html(f\'<meta http-equiv="Content-Security-Policy" content="{policy}">\'),\n',
        without="",
        test="tests/report/test_site.py::test_the_policy_of_the_site_runs_one_script_and_a_hostile_name_is_text",
    ),
    Guard(
        against="in Markdown artifacts and summaries",
        file="pullbench/report/markdown.py",
        function="escape_markdown",
        whole='    return _MARKUP.sub(r"\\\\\\1", printable[:limit])\n',
        without="    return printable[:limit]\n",
        test="tests/report/test_markdown.py::test_escape_markdown_makes_no_markup_and_calls_nobody",
    ),
    Guard(
        against="in Markdown artifacts and summaries",
        file="tasks/results.py",
        function="_finding_row",
        whole='        "observed": escape_markdown(finding.observed),\n',
        without='        "observed": finding.observed,\n',
        test="tests/tasks/test_results.py::test_escape_markdown_keeps_the_text_of_a_finding_text_in_its_artifact",
    ),
    Guard(
        against="on a terminal",
        file="flows/plain.py",
        function="printable",
        whole='    return "".join(character if character.isprintable() else "�" for character in str(text))\n',
        without="    return str(text)\n",
        test="tests/flows/test_plain.py::test_printable_keeps_what_steers_a_terminal_out_of_a_line",
    ),
    Guard(
        against="on a terminal",
        file="flows/plain.py",
        function="plain",
        whole="    return Text(printable(text), style=style)\n",
        without="    return Text.from_markup(printable(text), style=style)\n",
        test="tests/flows/test_plain.py::test_plain_shows_rich_no_markup_and_no_escape_sequence",
    ),
    Guard(
        against="on a terminal",
        file="flows/logged.py",
        function="open_log",
        whole="    return None if named is None else EcsLog(named, tell)\n",
        without='    print(f"{named}")\n    return None if named is None else EcsLog(named, tell)\n',
        test="tests/flows/test_plain.py::test_no_command_prints_past_the_guard",
    ),
    Guard(
        against="in preflight's table",
        file="flows/findings_view.py",
        function="_told",
        whole="plain(finding.observed))\n",
        without="Text.from_markup(finding.observed))\n",
        test="tests/flows/test_findings_view.py::test_plain_lets_no_finding_be_markup_or_steer_a_terminal",
    ),
    Guard(
        against="in CSV, which runs no formula",
        file="pullbench/report/beside.py",
        function="_harmless",
        whole='return f"\'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value',
        without="return value",
        test="tests/report/test_beside.py::test_harmless_makes_no_formula_of_a_name",
    ),
    Guard(
        against="in JUnit XML",
        file="pullbench/preflight/junit.py",
        function="_text",
        whole='    return _NOT_TEXT.sub("\\ufffd", text)\n',
        without="    return text\n",
        test="tests/preflight/test_junit.py::test_the_text_of_junit_is_valid_xml_whatever_a_registry_says",
    ),
)

NAMES = (
    Guard(
        against="run_ids of users",
        file=_DATASET,
        function="check_run_id",
        whole="    if not _RUN_ID.fullmatch(run_id):\n        raise UsageError(f\"'{run_id[:80]}' is no run_id",
        without="    if run_id is None:\n        raise UsageError(f\"'{run_id[:80]}' is no run_id",
        test="tests/store/test_dataset.py::test_check_run_id_lets_no_run_id_become_another_path",
    ),
    Guard(
        against="run_ids that stand in results",
        file=_DATASET,
        function="ResultStore._run_of",
        whole='        if run.run_id != path.split("/")[1]:  # it names folders, of reports too\n',
        without="        if run is None:\n",
        test="tests/store/test_dataset.py::test_the_look_at_its_folder_lets_no_stored_run_id_become_another_path",
    ),
    Guard(
        against="names of benchmarks",
        file="pullbench/store/baselines.py",
        function="_path",
        whole='    return f"{_FOLDER}/{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"\n',
        without='    return f"{_FOLDER}/{name}.json"\n',
        test="tests/store/test_baselines.py::test_the_hash_of_a_name_lets_no_baseline_become_a_path",
    ),
    Guard(
        against="digests of a registry",
        file="pullbench/model/manifest.py",
        function="Descriptor",
        whole="        if not is_digest(self.digest):\n",
        without="        if not self.digest:\n",
        test="tests/model/test_manifest.py::test_is_digest_lets_no_digest_of_a_manifest_be_a_path",
    ),
    Guard(
        against="digests that the lab is asked for",
        file="pullbench/lab/handler.py",
        function="Handler._blob",
        whole="        if not is_digest(digest):\n",
        without="        if not digest:\n",
        test="tests/lab/test_registry.py::test_is_digest_lets_the_lab_be_asked_for_no_path",
    ),
    Guard(
        against="what `wire` writes to a disk is numbered",
        file="pullbench/engines/wire.py",
        function="WireEngine.pull",
        whole="new_path=(lambda: trial.folder / str(next(self._numbers)))",
        without="new_path=(lambda: trial.folder / f\"{next(self._numbers)}-{request.image.rpartition('/')[2]}\")",
        test="tests/engines/test_wire.py::test_numbers_name_the_files_of_the_disk_sink_and_nothing_of_a_registry_does",
    ),
)

LISTENING = (
    Guard(
        against="the lab listens on loopback only",
        file="pullbench/lab/registry.py",
        function="listen",
        whole='_LOOPBACK = "127.0.0.1"',
        without='_LOOPBACK = "0.0.0.0"',
        test="tests/lab/test_registry.py::test_listen_is_on_loopback_and_nothing_else_of_the_lab_opens_a_socket_for_others",
    ),
    Guard(
        against="what is served listens on loopback, unless an address is given",
        file="flows/serve_cli.py",
        function="serve",
        whole='    ] = "127.0.0.1",\n',
        without='    ] = "0.0.0.0",\n',
        test="tests/flows/test_serving.py::test_the_default_addresses_of_what_is_served_are_loopback",
    ),
    Guard(
        against="what is served listens on loopback, unless an address is given",
        file="flows/metrics_cli.py",
        function="serve",
        whole='    ] = "127.0.0.1:9464",\n',
        without='    ] = ":9464",\n',
        test="tests/flows/test_serving.py::test_the_default_addresses_of_what_is_served_are_loopback",
    ),
)

SECURITY = (*SECRETS, *HOSTS, *CLEAR, *TEXTS, *NAMES, *LISTENING)
