"""What may befall a run, and what holds against it."""

from tests.guards import Guard

_RUN = "tests/app/test_guards_of_a_run.py::"
_FILES = "pullbench/store/files.py"
_DATASET = "pullbench/store/dataset.py"
_CONDUCT = "pullbench/app/run.py"
_PUT = '        self._put("{0}", run_id, part, schema.to_table("{0}", {1}, shared))\n'
_TABLES = [("pulls", "result.pulls"), ("transfers", "result.transfers"), ("trials", "[result.record]")]
_STORED = "exit 3, one line with the file and what to do; what finished is stored"

ACCIDENTS = (
    Guard(
        against="`kill -9`, many times",
        so="every finished trial is stored and readable; the one under way is measured again",
        file=_FILES,
        function="put_on_disk",
        whole='    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_TEMPORARY}")\n',
        without="    temporary = path\n",
        test=f"{_RUN}test_the_temporary_name_keeps_a_part_that_was_killed_in_mid_write_out_of_the_results",
    ),
    Guard(
        against="`kill -9`, many times",
        so="a trial counts once all of its tables are there",
        file=_DATASET,
        function="ResultStore.write_trial",
        whole="".join(_PUT.format(*one) for one in _TABLES),
        without="".join(_PUT.format(*one) for one in reversed(_TABLES)),
        test="tests/store/test_crash.py::"
        "test_the_trials_part_comes_last_so_a_trial_that_is_killed_is_there_whole_or_not_at_all",
    ),
    Guard(
        against="disk full in the middle of a part; a folder that is read-only",
        so=_STORED,
        file=_FILES,
        function="Files.put",
        whole='        except Exception as error:\n            raise IncompleteError(f"{self.where(path)}: {_why_not_written(error)}")',
        without='        except ZeroDivisionError as error:\n            raise IncompleteError(f"{self.where(path)}: {_why_not_written(error)}")',
        test="tests/store/test_files.py::"
        "test_the_catch_of_put_makes_one_line_of_a_full_or_read_only_disk_and_leaves_no_litter",
    ),
    Guard(
        against="disk full in the middle of a part; a folder that is read-only",
        so="no half-written file stays",
        file=_FILES,
        function="put_on_disk",
        whole="        with suppress(OSError):\n            temporary.unlink()\n",
        without="",
        test="tests/store/test_files.py::"
        "test_the_catch_of_put_makes_one_line_of_a_full_or_read_only_disk_and_leaves_no_litter",
    ),
    Guard(
        against="the results folder removed",
        so="exit 3, says how many trials are gone; `--resume` measures them again",
        file=_CONDUCT,
        function="_check_all_is_there",
        whole='    if gone:\n        raise IncompleteError(\n            f"{session.store.files.where()}',
        without='    if not plan:\n        raise IncompleteError(\n            f"{session.store.files.where()}',
        test=f"{_RUN}test_the_look_at_what_is_stored_tells_of_a_folder_that_was_removed_and_a_resume_completes_it",
    ),
    Guard(
        against="the Docker daemon restarted",
        so="exit 3 with its words; `--resume` goes on when it is back",
        file="pullbench/bench/session.py",
        function="Session.run_trial",
        whole='        except RegistryError as error:\n            raise IncompleteError(f"trial',
        without='        except ZeroDivisionError as error:\n            raise IncompleteError(f"trial',
        test=f"{_RUN}test_the_catch_of_run_trial_makes_an_incomplete_run_of_a_daemon_that_is_gone",
    ),
    Guard(
        against="the Prefect server gone in mid-run",
        so="the run ends as it would have, with its own exit code, and a line that says so",
        file="pullbench/cli/flow_call.py",
        function="outcome_of",
        whole="        except httpx.HTTPError as error:\n            lost = error",
        without="        except ZeroDivisionError as error:\n            lost = error",
        test=f"{_RUN}test_outcome_of_tells_the_outcome_of_a_run_whose_prefect_server_is_gone",
    ),
    Guard(
        against="whoever reads what it prints is gone, such as `head`",
        so="the run goes on to its own end and exit code",
        file="pullbench/cli/terminal/streams.py",
        function="_Onward.write",
        whole="            except OSError as error:\n",
        without="            except ZeroDivisionError as error:\n",
        test="tests/cli/test_streams.py::test_onward_write_lets_no_reader_that_has_had_enough_end_anything",
    ),
    Guard(
        against="two runs at once on one results folder",
        so="each has a folder of its own",
        file=_DATASET,
        function="new_run_id",
        whole='%Y%m%dT%H%M%SZ}-{entropy[:2].hex()}"',
        without='%Y%m%dT%H%M%SZ}"',
        test=f"{_RUN}test_the_random_part_of_a_run_id_keeps_two_runs_of_one_second_apart",
    ),
    Guard(
        against="two runs at once on one results folder",
        so="two processes that resume the same run: the second ends with exit 3",
        file=_DATASET,
        function="ResultStore.write_trial",
        whole="        if trial.number in self.finished_trials(run_id):\n",
        without="        if trial.number < 0:\n",
        test="tests/store/test_dataset.py::test_write_trial_refuses_a_trial_that_another_process_has_stored",
    ),
    Guard(
        against="`--resume` completes",
        so="runs the rest, and nothing twice",
        file=_CONDUCT,
        function="_conduct",
        whole="left = [trial for trial in plan.trials if trial.number not in finished]",
        without="left = list(plan.trials)",
        test="tests/app/test_run.py::"
        "test_the_list_of_what_is_left_makes_a_resume_run_just_the_rest_and_keep_the_trials_that_are_there",
    ),
    Guard(
        against="exit code and message are right",
        so="the run is marked `incomplete`, whatever stopped it",
        file=_CONDUCT,
        function="_closing",
        whole='            session.finish(run, "incomplete", str(error) if isinstance(error, PullbenchError) else "interrupted")\n',
        without="            pass\n",
        test=f"{_RUN}test_the_closing_of_a_run_marks_it_incomplete_whatever_stops_it",
    ),
    Guard(
        against="exit code and message are right",
        so="exit 3, and the last line says how to go on",
        file="pullbench/cli/commands/measure.py",
        function="told",
        whole='        raise InterruptedRunError(_how_to_go_on(invocation.prepared, "interrupted")) from None\n',
        without='        raise InterruptedRunError("interrupted") from None\n',
        test=f"{_RUN}test_how_to_go_on_is_said_with_exit_3_to_who_interrupts",
    ),
    Guard(
        against="exit code and message are right",
        so="3 for what is incomplete",
        file="pullbench/errors.py",
        function="IncompleteError",
        whole='what was measured is stored."""\n\n    exit_code = 3\n',
        without='what was measured is stored."""\n\n    exit_code = 1\n',
        test=f"{_RUN}test_how_to_go_on_is_said_with_exit_3_to_who_interrupts",
    ),
)
