"""What a registry may do, and what holds against it."""

from tests.guards import Guard

_PULL = "tests/engines/test_guards_of_a_pull.py::"
_SESSION = "pullbench/engines/wire/session.py"
_BODY = "pullbench/engines/wire/body.py"
_ERRORS = "pullbench/errors.py"
_DEADLINE = {
    "file": _SESSION,
    "function": "Session._request",
    "whole": "timeout_s=max(0.001, attempt.deadline_s - self._clock.monotonic()),",
    "without": "timeout_s=3600.0,",
}


def _status(code: int, name: str, so: str) -> Guard:
    return Guard(
        against=f"{code}",
        so=so,
        file=_ERRORS,
        function="code_of_status",
        whole=f"        {code}: ErrorCode.{name},\n",
        without="",
        test=f"{_PULL}test_the_code_of_a_{code}_is_{name.lower()}",
    )


FAULTS = (
    Guard(
        against="latency",
        so="`timeout` when the pull's `timeout_s` is over",
        **_DEADLINE,
        test=f"{_PULL}test_the_deadline_of_a_pull_ends_an_answer_that_is_late",
    ),
    Guard(
        against="drip",
        so="`timeout`: bytes that come do not buy more time",
        **_DEADLINE,
        test=f"{_PULL}test_the_deadline_of_a_pull_ends_a_body_that_drips",
    ),
    Guard(
        against="stall",
        so="`stalled` after the engine's `stall_timeout_s` without a byte",
        file="pullbench/engines/wire/curl.py",
        function="Receiver.may_go_on",
        whole="elif now - self._seen_s >= self._request.stall_timeout_s:",
        without="elif now - self._seen_s < 0:",
        test=f"{_PULL}test_the_stall_timeout_ends_a_server_that_sends_no_more_byte",
    ),
    Guard(
        against="reset",
        so="`reset`, tried again where `retries` allow it",
        file="pullbench/engines/wire/curl.py",
        function="Handle._perform",
        whole="        except pycurl.error as error:\n",
        without="        except ZeroDivisionError as error:\n",
        test=f"{_PULL}test_the_handle_makes_a_row_with_a_code_of_a_reset",
    ),
    Guard(
        against="truncation",
        so="`truncated`, with the bytes that came",
        file=_BODY,
        function="verify",
        whole="if size_bytes is not None and received_bytes < size_bytes:",
        without="if size_bytes is not None and received_bytes < 0:",
        test=f"{_PULL}test_the_length_check_makes_truncated_of_a_body_that_ends_early",
    ),
    Guard(
        against="wrong digest",
        so="`digest_mismatch`, never tried again",
        file=_BODY,
        function="verify",
        whole="    if found != promised or (size_bytes",
        without="    if (size_bytes",
        test=f"{_PULL}test_the_digest_check_makes_a_failure_of_wrong_content",
    ),
    Guard(
        against="wrong length",
        so="`digest_mismatch`; the rest is not read",
        file=_BODY,
        function="BlobBody.update",
        whole="        if self.received_bytes > self._size_bytes:\n",
        without="        if self.received_bytes < 0:\n",
        test=f"{_PULL}test_the_length_bound_ends_a_body_that_is_longer_than_its_descriptor",
    ),
    _status(401, "UNAUTHORIZED", "`unauthorized` after one login"),
    _status(403, "FORBIDDEN", "`forbidden`, not tried again"),
    _status(404, "NOT_FOUND", "`not_found`, not tried again"),
    _status(429, "RATE_LIMITED", "`rate_limited`"),
    Guard(
        against="429 with Retry-After",
        so="waits as long as it says, and not at all where the pull's time would be over",
        file="pullbench/engines/wire/pull.py",
        function="Fetcher._wait_to_retry",
        whole="        if until_s >= self._deadline_s:\n            return False\n",
        without="",
        test=f"{_PULL}test_the_wait_before_a_retry_does_not_outlast_the_deadline_whatever_retry_after_says",
    ),
    Guard(
        against="5xx",
        so="`server_error`; budgets may end the run (`server_errors`)",
        file=_ERRORS,
        function="code_of_status",
        whole="return ErrorCode.SERVER_ERROR if status >= 500 else ErrorCode.NOT_A_REGISTRY",
        without="return ErrorCode.NOT_A_REGISTRY",
        test=f"{_PULL}test_the_code_of_a_5xx_is_server_error",
    ),
    Guard(
        against="HTML",
        so="`not_a_registry`",
        file=_SESSION,
        function="_verified",
        whole="code = ErrorCode.NOT_A_REGISTRY if is_page else refused.code",
        without="code = refused.code",
        test=f"{_PULL}test_the_look_at_the_content_type_makes_no_registry_of_a_page_in_html",
    ),
    Guard(
        against="bad JSON",
        so="`not_a_registry`",
        file="pullbench/engines/wire/pull.py",
        function="Fetcher._document",
        whole="        except ManifestError as error:\n            raise self.error(ErrorCode.NOT_A_REGISTRY, reference, str(error))",
        without="        except ZeroDivisionError as error:\n            raise self.error(ErrorCode.NOT_A_REGISTRY, reference, str(error))",
        test=f"{_PULL}test_the_catch_of_a_manifest_that_cannot_be_read_makes_a_row_of_it",
    ),
    Guard(
        against="bad JSON",
        so="`not_a_registry`, of a token service",
        file="pullbench/registry/auth.py",
        function="read_token",
        whole="        document = json.loads(body)\n    except (ValueError, RecursionError):\n        raise RegistryError(ErrorCode.NOT_A_REGISTRY, where",
        without="        document = json.loads(body)\n    except ZeroDivisionError:\n        raise RegistryError(ErrorCode.NOT_A_REGISTRY, where",
        test=f"{_PULL}test_the_catch_of_a_token_that_cannot_be_read_makes_a_row_of_it",
    ),
    Guard(
        against="slow TLS",
        so="`tls_timeout` after the engine's `connect_timeout_s`",
        file="pullbench/engines/wire/curl.py",
        function="Handle._set",
        whole="            pycurl.CONNECTTIMEOUT_MS: _milliseconds(request.connect_timeout_s),\n",
        without="",
        test=f"{_PULL}test_the_connect_timeout_ends_a_tls_handshake_that_is_slow",
    ),
    Guard(
        against="expired token in mid-pull",
        so="one exchange for a new one, and the pull goes on",
        file=_SESSION,
        function="Session.get",
        whole="            if self._login.can_answer(challenges, authorization):\n",
        without="            if authorization is None and self._login.can_answer(challenges, authorization):\n",
        test=f"{_PULL}test_the_renewal_answers_a_token_that_expires_in_mid_pull",
    ),
    Guard(
        against="redirect loops",
        so="`redirect_loop` after 10",
        file=_SESSION,
        function="Session._follow",
        whole="            if len(hops) > MAX_REDIRECTS:\n",
        without="            if len(hops) < 0:\n",
        test=f"{_PULL}test_the_count_of_redirects_ends_a_loop",
    ),
    Guard(
        against="wrong Content-Range",
        so="`digest_mismatch`; a range that is none: `not_a_registry`",
        file="pullbench/engines/wire/body.py",
        function="PartBody._check",
        whole="        if (int(found[1]), int(found[2])) != (self._first, self._end - 1) or found[3]",
        without="        if found[3]",
        test=f"{_PULL}test_the_check_of_content_range_makes_a_failure_of_another_range",
    ),
)

_TRIAL = "tests/bench/test_trial.py::"
_EVERYTHING = "tests/integration/test_whatever_a_registry_does.py::"
CONSEQUENCES = (
    Guard(
        against="a trial ends in bounded time",
        **_DEADLINE,
        test=f"{_PULL}test_the_deadline_of_a_pull_ends_an_answer_that_is_late",
    ),
    Guard(
        against="every pull has a row with a code of the closed list",
        file="pullbench/bench/trial.py",
        function="pull_once",
        whole="        outcome = engine.pull(request)\n    except Exception as error:",
        without="        outcome = engine.pull(request)\n    except ZeroDivisionError as error:",
        test=f"{_TRIAL}test_the_catch_of_pull_once_makes_a_row_with_a_code_of_whatever_an_engine_raises",
    ),
    Guard(
        against="no byte is counted twice",
        file="pullbench/engines/wire/pull.py",
        function="Fetcher.blobs",
        whole="            if blob.digest in self.fetched:\n                continue\n",
        without="",
        test="tests/engines/test_wire_staged.py::test_a_layer_of_both_is_fetched_once_and_every_byte_counts",
    ),
    Guard(
        against="no byte is counted twice",
        file="pullbench/engines/wire/body.py",
        function="ChunkedBlob.hash_so_far",
        whole="        return self._hash.copy()\n",
        without="        return self._hash\n",
        test="tests/engines/test_wire_chunks.py::test_a_part_that_breaks_off_is_tried_again_alone_and_leaves_nothing_in_the_hash",
    ),
    Guard(
        against="no file is left behind",
        file="pullbench/engines/wire/engine.py",
        function="WireEngine.close_trial",
        whole="        shutil.rmtree(trial.folder, ignore_errors=True)\n",
        without="",
        test=f"{_PULL}test_the_close_of_a_trial_leaves_no_file_no_thread_and_no_connection",
    ),
    Guard(
        against="no thread leaks",
        file="pullbench/engines/wire/engine.py",
        function="WireEngine.close_trial",
        whole="            trial.executor.shutdown()\n",
        without="            pass\n",
        test=f"{_PULL}test_the_close_of_a_trial_leaves_no_file_no_thread_and_no_connection",
    ),
    Guard(
        against="no descriptor leaks",
        file="pullbench/engines/wire/engine.py",
        function="WireEngine.close_trial",
        whole="        for session in trial.sessions.values():\n            session.close()\n",
        without="",
        test=f"{_PULL}test_the_close_of_a_trial_leaves_no_file_no_thread_and_no_connection",
    ),
    Guard(
        against="no descriptor leaks",
        file=_BODY,
        function="BlobBody.close",
        whole="            self._file.close()\n            self._file = None\n",
        without="            pass\n",
        test=f"{_PULL}test_the_close_of_a_body_gives_its_descriptor_back",
    ),
)
