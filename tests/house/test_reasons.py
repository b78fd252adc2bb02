"""Every reason that a condition can have is produced by a story on real servers: the table says by which."""

import ast
from collections.abc import Iterator

import pytest

from milvus_rbac.controller.events import EventReason
from milvus_rbac.domain.conditions import Reason

from .repository import ROOT

BAD_PASSWORD = "a_secret_that_holds_no_password_is_named_and_heals"  # noqa: S105 - the name of a test

PRODUCED_BY: dict[Reason, tuple[str, str]] = {
    Reason.READY: ("serving", "a_working_operator_is_alive_ready_and_counts"),
    Reason.WAITING_FOR_SECRET: ("users", "a_user_waits_for_its_secret_and_is_made_when_it_comes"),
    Reason.WAITING_FOR_ROLE: ("users", "a_user_waits_for_a_role_and_is_bound_when_the_role_is_made"),
    Reason.WAITING_FOR_PRIVILEGE_GROUP: (
        "dresses",
        "a_role_waits_for_the_group_of_a_resource_that_can_not_be_made",
    ),
    Reason.WAITING_FOR_CONNECTION: (
        "connections",
        "resources_wait_for_their_connection_and_are_served_when_it_comes",
    ),
    Reason.SECRET_KEY_MISSING: ("bad_input", BAD_PASSWORD),
    Reason.SECRET_EMPTY: ("bad_input", BAD_PASSWORD),
    Reason.SECRET_NOT_UTF8: ("bad_input", BAD_PASSWORD),
    Reason.SECRET_TRAILING_NEWLINE: ("bad_input", BAD_PASSWORD),
    Reason.PASSWORD_TOO_SHORT: ("bad_input", BAD_PASSWORD),
    Reason.PASSWORD_TOO_LONG: ("bad_input", BAD_PASSWORD),
    Reason.UNKNOWN_PRIVILEGE: ("roles", "an_invalid_row_holds_back_revocations_and_no_valid_row"),
    Reason.INVALID_SCOPE: ("roles", "a_privilege_in_a_place_where_it_means_something_else_is_refused"),
    Reason.INVALID_NAME: ("users", "a_name_that_this_server_does_not_take_is_said"),
    Reason.INVALID_SPEC: ("mistakes", "a_stored_role_without_grants_keeps_what_it_has"),
    Reason.RESERVED_NAME: ("bad_input", "the_account_that_the_operator_works_with_is_reserved"),
    Reason.CONFLICT: (
        "ownership",
        "a_role_with_more_grants_than_wanted_is_a_conflict_until_adoption_is_always",
    ),
    Reason.CONTESTED: ("drift", "who_keeps_undoing_a_change_is_given_in_to_until_somebody_asks"),
    Reason.NOT_PERMITTED: ("connections", "a_connection_of_another_namespace_is_not_permitted"),
    Reason.UNSUPPORTED_BY_SERVER: ("roles", "what_this_server_does_not_have_is_said_and_not_expanded"),
    Reason.LIMIT_REACHED: (
        "connections",
        "a_ninth_role_says_which_limit_to_raise_and_is_made_when_there_is_room",
    ),
    Reason.PASSWORD_TOO_WEAK: ("zilliz", "users_have_what_the_cloud_gives_and_are_told_what_it_does_not"),
    Reason.OLD_PASSWORD_UNKNOWN: (
        "passwords",
        "with_in_place_a_user_whose_old_password_is_unknown_is_left_alone",
    ),
    Reason.CREDENTIALS_REJECTED: ("connections", "without_bootstrap_roots_password_is_left_alone"),
    Reason.UNREACHABLE: (
        "status",
        "trouble_of_the_connection_is_its_event_and_not_that_of_all_its_resources",
    ),
    Reason.TLS_MISMATCH: ("connections", "the_servers_certificate_may_be_for_the_name_in_the_spec"),
    Reason.AUTHORIZATION_OFF: ("connections", "with_authorization_off_no_account_is_ready_and_roles_are"),
    Reason.MISSING_PRIVILEGES: (
        "connections",
        "what_the_account_lacks_is_still_all_named_when_resources_wait_for_it",
    ),
    Reason.KNOWN_WEAKNESS: ("dresses", "what_is_known_to_be_wrong_with_a_version_is_a_warning"),
    Reason.NO_DEFAULT_CONNECTION: (
        "connections",
        "without_a_connection_ref_and_without_a_default_nothing_is_done",
    ),
    Reason.IN_USE: ("dresses", "a_group_in_use_is_neither_dropped_nor_moved_to_another_level"),
    Reason.EXPIRED: ("dresses", "a_user_is_gone_when_it_expires_and_back_when_it_does_not"),
    Reason.SUSPENDED: ("modes", "a_suspended_resource_is_left_alone_until_it_is_resumed"),
    Reason.OBSERVED: ("modes", "observe_plans_and_writes_nothing_until_it_is_switched_to_enforce"),
    Reason.DELETING: ("reports", "a_deleted_connection_goes_after_its_claims_and_leaves_nothing_in_milvus"),
    Reason.DELETION_BLOCKED: ("deletion", "while_milvus_is_down_a_deletion_is_blocked_and_then_goes_on"),
    Reason.PENDING: ("reports", "a_big_role_says_how_far_it_is"),
    Reason.INTERNAL_ERROR: (
        "strange_server",
        "an_answer_that_nobody_expected_is_shown_and_stops_nobody_else",
    ),
}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_produced_by_a_story(reason: Reason) -> None:
    subject, promise = PRODUCED_BY[reason]
    folders = (ROOT / "tests" / folder for folder in ("integration", "controller"))
    (path,) = (found for folder in folders if (found := folder / f"test_{subject}.py").exists())
    text = path.read_text()
    assert f'"{reason}"' in "".join(_told_by(ast.parse(text), f"test_{promise}"))


def _told_by(module: ast.Module, name: str) -> Iterator[str]:
    """The source of a test, with its decorators, and of the module's constants that it names."""
    functions = (one for one in module.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    (story,) = (node for node in functions if node.name == name)
    yield from (ast.unparse(part).replace("'", '"') for part in (story, *story.decorator_list))
    named = {node.id for node in ast.walk(story) if isinstance(node, ast.Name)}
    for node in module.body:
        if isinstance(node, ast.Assign) and {ast.unparse(target) for target in node.targets} & named:
            yield ast.unparse(node).replace("'", '"')


@pytest.mark.parametrize("reason", EventReason)
def test_every_reason_of_an_event_is_documented(reason: EventReason) -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    table = page.partition("## Events\n")[2].partition("\n## ")[0]
    assert f"| `{reason}` " in table
