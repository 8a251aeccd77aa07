"""What is promised of texts and names of strangers, and of what listens, and what keeps it."""

from tests.guards import Guard

_HTML = "pullbench/report/render/html.py"
_DATASET = "pullbench/store/dataset.py"

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
        file="pullbench/report/site/build.py",
        function="site_page",
        whole='            Html(f\'<meta http-equiv="Content-Security-Policy" content="{policy}">\'),\n',
        without="",
        test="tests/report/test_site.py::test_the_policy_of_the_site_runs_one_script_and_a_hostile_name_is_text",
    ),
    Guard(
        against="in Markdown artifacts and summaries",
        file="pullbench/report/run/markdown.py",
        function="escape_markdown",
        whole='    return _MARKUP.sub(r"\\\\\\1", printable[:limit])\n',
        without="    return printable[:limit]\n",
        test="tests/report/test_markdown.py::test_escape_markdown_makes_no_markup_and_calls_nobody",
    ),
    Guard(
        against="in Markdown artifacts and summaries",
        file="tasks/artifacts.py",
        function="_finding_row",
        whole='        "observed": escape_markdown(finding.observed),\n',
        without='        "observed": finding.observed,\n',
        test="tests/tasks/test_artifacts.py::test_escape_markdown_keeps_the_text_of_a_finding_text_in_its_artifact",
    ),
    Guard(
        against="on a terminal",
        file="pullbench/model/text.py",
        function="printable",
        whole='    return "".join(character if character.isprintable() else mark for character in str(text))\n',
        without="    return str(text)\n",
        test="tests/cli/test_safe_text.py::test_printable_keeps_what_steers_a_terminal_out_of_a_line",
    ),
    Guard(
        against="on a terminal",
        file="pullbench/cli/terminal/safe_text.py",
        function="plain",
        whole="    return Text(printable(text), style=style)\n",
        without="    return Text.from_markup(printable(text), style=style)\n",
        test="tests/cli/test_safe_text.py::test_plain_shows_rich_no_markup_and_no_escape_sequence",
    ),
    Guard(
        against="on a terminal",
        file="pullbench/app/run_log.py",
        function="open_log",
        whole="    return None if named is None else EcsLog(named, tell)\n",
        without='    print(f"{named}")\n    return None if named is None else EcsLog(named, tell)\n',
        test="tests/cli/test_safe_text.py::test_no_command_prints_past_the_guard",
    ),
    Guard(
        against="in preflight's table",
        file="pullbench/cli/terminal/findings.py",
        function="_told",
        whole="plain(finding.observed))\n",
        without="Text.from_markup(finding.observed))\n",
        test="tests/cli/test_findings.py::test_plain_lets_no_finding_be_markup_or_steer_a_terminal",
    ),
    Guard(
        against="in CSV, which runs no formula",
        file="pullbench/report/render/data_files.py",
        function="_harmless",
        whole='return f"\'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value',
        without="return value",
        test="tests/report/test_data_files.py::test_harmless_makes_no_formula_of_a_name",
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
        file="pullbench/engines/wire/engine.py",
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
        file="pullbench/cli/serve_cli.py",
        function="serve",
        whole='    ] = "127.0.0.1",\n',
        without='    ] = "0.0.0.0",\n',
        test="tests/serving/test_serving.py::test_the_default_addresses_of_what_is_served_are_loopback",
    ),
    Guard(
        against="what is served listens on loopback, unless an address is given",
        file="pullbench/cli/metrics_cli.py",
        function="serve",
        whole='    ] = "127.0.0.1:9464",\n',
        without='    ] = ":9464",\n',
        test="tests/serving/test_serving.py::test_the_default_addresses_of_what_is_served_are_loopback",
    ),
)
