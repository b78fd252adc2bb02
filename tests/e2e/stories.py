"""The stories that are told end to end, from the files of the integration tests: of users, roles and passwords.

None of them looks at the calls that pass a forwarder, or restarts the operator. The name of this file has no `test_`, so that
only who names it runs it.
"""

from integration import test_passwords, test_roles, test_users

STORIES = (
    test_users.test_taking_a_row_out_ends_what_the_user_may_do,
    test_users.test_spec_roles_binds_and_unbinds,
    test_users.test_the_password_can_be_under_a_key_of_its_own,
    test_users.test_a_user_waits_for_its_secret_and_is_made_when_it_comes,
    test_users.test_a_user_waits_for_a_role_and_is_bound_when_the_role_is_made,
    test_users.test_a_user_keeps_its_other_roles_when_one_is_deleted,
    test_users.test_deleting_a_user_ends_its_login,
    test_roles.test_every_scope_is_granted_where_milvus_keeps_it,
    test_roles.test_an_invalid_row_holds_back_revocations_and_no_valid_row,
    test_roles.test_deleting_a_role_that_has_grants_and_members_drops_it,
    test_roles.test_a_privilege_and_its_companions_are_given_and_taken,
    test_passwords.test_a_password_changed_by_hand_is_put_back,
    test_passwords.test_two_users_can_share_a_secret,
)

globals().update({story.__name__: story for story in STORIES})
