"""C, F, G, H: guards, engines, the log, the host. What stands elsewhere is named; what cannot be made here is said."""

from __future__ import annotations

from faults import hosts
from faults.entry import Deed, Entry, post

MATRIX = "tests/matrix/test_matrix.py::test_no_pair_of_ways_lets_it_pass_and_the_log_has_none_of_it"
CUTS = "tests/matrix/test_matrix.py::test_no_cut_lets_it_pass"
CHUNKING = "tests/matrix/test_chunking.py::test_nothing_that_a_rule_blocks_is_ever_delivered"
NEVER = "it reaches neither model nor client"
BY_POLICY = "a verdict by the policy's `on_error`, closed unless it says otherwise"

GUARDS = (
    Entry(67, "forbidden text in each role", NEVER, (), (MATRIX,)),
    Entry(
        68,
        "in each shape of content",
        NEVER,
        (),
        (MATRIX, "tests/wire/test_chat.py::test_text_is_found_wherever_a_request_has_a_string"),
    ),
    Entry(69, "in names, tools, calls, arguments", NEVER, (), (MATRIX,)),
    Entry(
        70,
        "in schemas, metadata, stop, suffix, prompts",
        NEVER,
        (),
        (MATRIX, "tests/wire/test_chat.py::test_a_word_of_the_api_in_an_unknown_place_is_text"),
    ),
    Entry(
        71,
        "in `/v1/responses` and `/v1/messages`",
        NEVER,
        (
            post({"model": "m", "input": "forbidden"}, 400, path=b"/v1/responses"),
            post({"model": "m", "instructions": "forbidden", "input": "a"}, 400, path=b"/v1/responses"),
            post(
                {"model": "m", "input": [{"type": "function_call_output", "call_id": "c", "output": "forbidden"}]},
                400,
                path=b"/v1/responses",
            ),
            post({"model": "m", "input": "a", "previous_response_id": "r"}, 400, path=b"/v1/responses"),
        ),
        (
            "tests/contract/test_other_wires.py::test_a_response_is_refused_as_a_completion_is",
            "tests/contract/test_other_wires.py::test_a_message_is_refused_as_a_completion_is",
        ),
    ),
    Entry(
        72,
        "at each endpoint, and at unknown ones",
        f"{NEVER}; 404",
        (
            post({"model": "m", "prompt": "forbidden"}, 400, path=b"/v1/completions"),
            post({"model": "m", "input": ["a", "forbidden"]}, 400, path=b"/v1/embeddings"),
            post({"model": "m", "input": [[1, 2]]}, 422, path=b"/v1/embeddings"),
            post({"model": "m"}, 404, path=b"/v1/audio/speech"),
            post({"model": "m"}, 404, path=b"/v1/x"),
        ),
        (MATRIX, "tests/matrix/test_switches.py::test_no_other_path_leads_to_the_upstream"),
    ),
    Entry(
        73,
        "in each field of an answer",
        NEVER,
        (),
        (MATRIX, "tests/wire/test_chat.py::test_text_is_found_wherever_an_answer_has_a_string"),
    ),
    Entry(74, "cut over deltas at each offset", NEVER, (), (CUTS, CHUNKING)),
    Entry(
        75,
        "over two messages, in the first of many turns",
        f"{NEVER}, unless it is one text for nobody",
        (),
        (MATRIX, "tests/policy/test_memory.py::test_a_hundred_turns_are_judged_once_each"),
    ),
    Entry(
        76,
        "disguised by what does not show, by other letters",
        NEVER,
        (),
        (MATRIX, "tests/policy/test_pattern.py::test_a_disguise_does_not_help"),
    ),
    Entry(
        77,
        "encoded: base64, hex, URL, escapes, HTML",
        NEVER,
        (),
        (MATRIX, "tests/policy/test_pattern.py::test_no_part_of_a_disguised_match_is_delivered"),
    ),
    Entry(
        78,
        "behind 512 tokens of something else",
        NEVER,
        (),
        (
            "tests/policy/test_pattern.py::test_hostile_texts_take_time_in_proportion",
            "tests/policy/test_nemo.py::test_hundreds_of_texts_in_one_call_are_all_judged",
        ),
    ),
    Entry(
        79,
        "switches in the client's hands",
        "none changes the verdict",
        (),
        ("tests/matrix/test_switches.py::test_no_switch_changes_the_verdict",),
    ),
    Entry(
        80,
        "a kept answer, another upstream",
        "judged like any other",
        (),
        (
            "tests/cache/test_keeping.py::test_another_policy_judges_the_answer_anew",
            "tests/test_faults.py::test_the_next_upstream_is_asked_where_the_first_did_not_begin",
        ),
    ),
    Entry(
        81,
        "redactions that overlap or change JSON",
        "one rewrite, and JSON stays JSON",
        (),
        (
            "tests/policy/test_policy.py::test_rewrites_are_made_in_declared_order",
            "tests/policy/test_window.py::test_a_stream_is_judged_and_rewritten_as_the_whole_answer_is",
        ),
    ),
)

ENGINES = (
    Entry(
        131,
        "a guard that sleeps past its deadline",
        BY_POLICY,
        (),
        ("tests/policy/test_policy.py::test_a_rail_that_takes_too_long_is_cancelled",),
    ),
    Entry(
        132,
        "one that raises anything",
        BY_POLICY,
        (),
        (
            "tests/policy/test_policy.py::test_a_failure_is_a_verdict_by_on_error",
            "tests/worker/test_worker_faults.py::test_a_call_that_ends_its_server_is_lost_and_the_next_is_answered",
        ),
    ),
    Entry(
        133,
        "one that answers nonsense",
        BY_POLICY,
        (),
        ("tests/policy/test_policy.py::test_an_answer_that_is_none_is_a_failure",),
    ),
    Entry(
        134,
        "one that blocks the loop",
        "its process is killed, others go on",
        (),
        (
            "tests/worker/test_worker_faults.py::test_a_blocking_call_is_killed_and_the_worker_is_back",
            "tests/worker/test_worker_faults.py::test_a_loop_that_stands_still_with_no_call_in_hand_is_killed",
        ),
    ),
    Entry(
        135,
        "an expression that backtracks",
        "linear time, or its process is killed",
        (),
        (
            "tests/policy/test_pattern.py::test_hostile_texts_take_time_in_proportion",
            "tests/worker/test_worker_faults.py::test_a_regular_expression_that_backtracks_is_killed_and_nobody_else_notices",
        ),
    ),
    Entry(
        136,
        "policy files missing, torn, bombs, with tags, too large",
        "refused with file and line; the old set stays",
        (),
        (
            "tests/config/test_document.py::test_a_file_that_is_not_plain_yaml_is_one_problem_with_a_line",
            "tests/config/test_document.py::test_a_billion_laughs_are_not_laughed",
            "tests/serve/test_reload.py::test_a_broken_file_is_refused_with_its_line_and_nothing_changes",
            "tests/serve/test_files.py::test_a_copy_is_never_of_two_sets",
        ),
    ),
    Entry(
        137,
        "reloads under load, during a stream",
        "each exchange is judged by one whole set",
        (),
        (
            "tests/serve/test_reload.py::test_every_exchange_is_judged_by_one_whole_set",
            "tests/serve/test_reload.py::test_a_stream_ends_under_the_policy_it_began_with",
        ),
    ),
    Entry(
        138,
        "a worker killed, stopped, garbled",
        BY_POLICY,
        (),
        (
            "tests/chaos/test_storm.py::test_nothing_passes_a_worker_that_is_gone_and_nobody_else_notices",
            "tests/worker/test_worker_faults.py::test_a_server_that_is_killed_or_stopped_from_outside_is_replaced",
            "tests/scoring/test_scorer_faults.py::test_where_the_scorer_hangs_an_inline_rail_ends_by_its_on_error_in_time",
        ),
    ),
    Entry(
        139,
        "a worker that never starts, or dies again and again",
        "not ready, and says why; back-off",
        (),
        (
            "tests/worker/test_supervisor.py::test_a_worker_that_never_opens_is_not_ready_and_goes_at_the_end",
            "tests/worker/test_worker_faults.py::test_poison_again_and_again_does_not_slow_the_restarts_down",
        ),
    ),
    Entry(
        140,
        "a worker's queue is full",
        BY_POLICY,
        (),
        ("tests/worker/test_worker_calls.py::test_calls_beyond_the_queue_are_refused_at_once",),
    ),
    Entry(
        141,
        "no GPU, or it is lost",
        "there is none in the path of traffic: the scorer falls back to the CPU",
        (),
        ("tests/kernels/test_dispatch.py::test_a_cpu_runs_the_references_and_a_gpu_the_kernels",),
    ),
    Entry(
        142,
        "input that kills its worker each time",
        f"{BY_POLICY}; each costs one restart and nobody else's call",
        (),
        (
            "tests/worker/test_worker_faults.py::test_under_a_hail_of_kills_each_call_ends_in_time_and_all_later_ones_succeed",
        ),
    ),
)

LOG = (
    Entry(
        143,
        "the disk is full: before, during; it recovers",
        "503, nobody is asked; then answered",
        (Deed(hosts.full_disk),),
        (
            "tests/serve/test_serve.py::test_what_cannot_be_recorded_is_not_begun",
            "tests/observe/test_log.py::test_a_full_disk_is_counted_and_said_once",
        ),
    ),
    Entry(
        144,
        "the file moved, deleted, its folder gone",
        "made anew",
        (),
        ("tests/observe/test_log.py::test_a_rotated_file_is_made_anew",),
    ),
    Entry(
        145,
        "`/dev/full`",
        "503, nobody is asked, no text on stderr",
        (Deed(hosts.dev_full),),
        ("tests/observe/test_stderr.py::test_a_stream_that_is_full_says_nothing_elsewhere",),
    ),
    Entry(
        146,
        "standard output closed, its reader asleep",
        "counted; costs its patience once",
        (),
        (
            "tests/observe/test_log.py::test_a_closed_pipe_is_not_an_exception",
            "tests/observe/test_log.py::test_a_sleeping_reader_costs_its_patience_once",
        ),
    ),
    Entry(
        147,
        "a sink that takes a second a line",
        "as 146: its patience, once",
        (),
        ("tests/observe/test_log.py::test_a_sleeping_reader_costs_its_patience_once",),
    ),
    Entry(
        148,
        "kill -9 at any byte; two writers; torn tails",
        "no acknowledged record lost, none torn",
        (),
        (
            "tests/observe/test_log.py::test_an_acknowledged_event_survives_kill_9",
            "tests/observe/test_log.py::test_after_half_a_line_the_next_one_stands_alone",
            "tests/observe/test_log.py::test_threads_and_logs_that_share_a_file_do_not_mix_lines",
        ),
    ),
    Entry(
        149,
        "a corrupt record, a tail of zeros",
        "passed over",
        (),
        ("tests/observe/test_spool.py::test_what_is_torn_is_passed_over",),
    ),
    Entry(
        150,
        "no inodes, no quota",
        "as a full disk: the same errno on the same call",
        (),
        ("tests/observe/test_log.py::test_a_full_disk_is_counted_and_said_once",),
    ),
)

HOSTS = (
    Entry(
        151,
        "the wall clock jumps",
        "deadlines and rates follow the monotonic clock",
        (),
        (
            "tests/faults/test_clocks.py::test_only_dates_are_taken_from_the_wall_clock",
            "tests/limits/test_account.py::test_a_wall_clock_that_goes_back_opens_nothing",
        ),
    ),
    Entry(
        152,
        "signals in any order, doubled, during the start",
        "it ends, drained, and in time",
        (),
        (
            "tests/serve/test_serve.py::test_a_second_signal_stops_at_once",
            "tests/serve/test_serve.py::test_ctrl_c_during_the_start_is_heard",
            "tests/serve/test_serve.py::test_a_stream_under_way_is_finished_and_nobody_new_let_in",
        ),
    ),
    Entry(153, "stopped for a second, then let go on", "answers go on", (Deed(hosts.paused),)),
    Entry(
        154,
        "the supervisor killed",
        "nothing outlives it",
        (),
        ("tests/serve/test_serve.py::test_nothing_survives_the_supervisors_violent_end",),
    ),
    Entry(
        155,
        "a worker killed in mid-stream",
        "nothing unjudged is delivered",
        (),
        ("tests/chaos/test_storm.py::test_nothing_passes_a_worker_that_is_gone_and_nobody_else_notices", CHUNKING),
    ),
    Entry(
        156,
        "little memory, large bodies",
        "413, whatever the memory",
        (Deed(hosts.little_memory),),
        ("tests/faults/test_bombs.py::test_a_body_costs_no_more_than_25_times_its_bytes",),
    ),
)
