"""The requirements, and the tests that prove them.

An id is TIED when a user can reach the behaviour now and the tests named here fail without it; else it is PLANNED. PLANNED
only shrinks. `test_requirements.py` holds both lists to this. Ids: DC, S0, S1, S2 come from the user's design card and
source texts; GW are our own, in `own_requirements.py`.
"""

from tests.own_requirements import OWN
from tests.planned_requirements import PLANNED
from tests.requirement_ids import ALL_IDS

__all__ = ["ALL_IDS", "PLANNED", "TIED"]

TIED: dict[str, tuple[str, ...]] = {
    "DC-01": (
        "tests/edge/test_both_eras.py::test_tools_are_listed_and_called_with_a_receipt_that_the_log_holds",
        "tests/docs/test_tutorial.py::test_a_reader_gets_what_the_page_says",
    ),
    "DC-04": (
        "tests/edge/test_both_eras.py::test_tools_are_listed_and_called_with_a_receipt_that_the_log_holds",
        "tests/edge/test_both_eras.py::test_an_error_of_the_tool_is_a_result_that_says_so",
        "tests/edge/test_bad_input.py::test_arguments_outside_the_schema_are_denied_with_a_receipt",
        "tests/edge/test_bad_input.py::test_an_unknown_tool_is_recorded_without_its_text",
    ),
    "DC-05": (
        "tests/docs/test_opa_page.py::test_a_gateway_with_engine_opa_is_decided_by_the_server_and_denies_without_it",
        "tests/policy/test_opa.py::test_both_engines_decide_alike",
    ),
    "DC-06": (
        "tests/edge/test_tiers.py::test_a_read_is_run_each_time",
        "tests/edge/test_tiers.py::test_a_host_off_the_allow_list_asks_a_person",
        "tests/edge/test_tiers.py::test_acting_for_somebody_without_a_delegation_is_denied",
        "tests/edge/test_tiers.py::test_what_cannot_be_undone_asks_a_person",
        "tests/edge/test_tiers.py::test_a_run_that_allows_itself_less_is_denied_more",
    ),
    "DC-07": (
        "tests/edge/test_duplicates.py::test_fifty_simultaneous_calls_of_both_eras_share_one_effect_and_one_result",
        "tests/store/test_many_duplicates.py::test_of_sixteen_thousand_calls_over_a_thousand_keys_each_key_has_one_effect",
        "tests/edge/test_tiers.py::test_a_write_made_twice_is_done_once_and_the_second_answer_says_so",
        "tests/edge/test_tiers.py::test_a_key_of_ones_own_makes_the_same_write_another_one",
        "tests/edge/test_tiers.py::test_a_key_used_with_other_arguments_is_a_conflict",
    ),
    "DC-08": (
        "tests/edge/test_both_eras.py::test_tools_are_listed_and_called_with_a_receipt_that_the_log_holds",
        "tests/core/test_dsse_and_entry.py::test_securesystemslib_verifies_an_entry_with_the_key_it_derived_itself",
    ),
    "DC-10": (
        "tests/node/test_npm_peers.py::test_the_inspector_lists_and_calls_tools_through_the_gateway",
        "tests/edge/test_both_eras.py::test_the_official_client_lists_and_calls",
    ),
    "DC-11": (
        "tests/node/test_npm_peers.py::test_server_filesystem_works_behind_the_gateway_and_a_repeated_write_happens_once",
        "tests/node/test_npm_peers.py::test_a_tool_that_nobody_classified_stays_hidden",
    ),
    "DC-12": (
        "tests/docs/test_tutorial.py::test_a_reader_gets_what_the_page_says",
        "tests/cli/test_commands.py::test_the_log_of_a_running_gateway_verifies",
        "tests/cli/test_commands.py::test_a_changed_log_ends_with_6_and_names_the_entry",
    ),
    "S1-31": (
        "tests/edge/test_tiers.py::test_a_write_made_twice_is_done_once_and_the_second_answer_says_so",
        "tests/edge/test_leaving.py::test_an_effect_is_finished_without_its_client_and_a_retry_gets_its_result",
        "tests/edge/test_both_eras.py::test_an_effect_whose_answer_is_unusable_is_in_doubt_and_never_run_again",
    ),
    "S0-43": (
        "tests/docs/test_threats.py::test_each_item_has_one_row_that_says_what_holds",
        "tests/docs/test_threats.py::test_each_test_it_names_exists_and_tests_something",
        "tests/docs/test_threats.py::test_each_control_names_a_test",
    ),
    "S1-22": (
        "tests/policy/test_embedded.py::test_what_always_needs_a_person_is_asked_about_in_every_mode_as_shipped",
        "tests/policy/test_embedded.py::test_the_list_of_what_always_needs_a_person_is_the_operators",
    ),
    "S2-11": (
        "tests/edge/test_both_eras.py::test_tools_are_listed_and_called_with_a_receipt_that_the_log_holds",
        "tests/edge/test_tiers.py::test_a_run_that_allows_itself_less_is_denied_more",
        "tests/edge/test_tiers.py::test_a_write_made_twice_is_done_once_and_the_second_answer_says_so",
    ),
    "S2-12": (
        "tests/docs/test_entries_page.py::test_an_effects_envelope_has_request_result_decision_mode_evidence_key_and_trace",
    ),
    "S2-13": (
        "tests/policy/test_embedded.py::test_each_tier_has_its_default",
        "tests/edge/test_tiers.py::test_what_cannot_be_undone_asks_a_person",
        "tests/docs/test_entries_page.py::test_an_effects_envelope_has_request_result_decision_mode_evidence_key_and_trace",
    ),
    "S2-21": (
        "tests/approvals/test_delegation.py::test_a_delegated_call_is_approved_by_that_principals_own_ssh_key",
        "tests/approvals/test_delegation.py::test_without_a_delegation_that_covers_the_tool_it_is_denied",
    ),
    "S2-29": (
        "tests/edge/test_tiers.py::test_a_run_that_allows_itself_less_is_denied_more",
        "tests/edge/test_changes.py::test_a_new_policy_decides_the_next_call_and_is_named_in_its_entry",
    ),
    **OWN,
}
