"""What a claim says of itself: whose its object is, whether it goes with its resource, how much work it may be."""

from dataclasses import replace
from typing import Any

import pytest

from milvus_rbac.domain.claims import (
    Adoption,
    Claim,
    Kind,
    Origin,
    Ref,
    WantedGroup,
    WantedRole,
    WantedUser,
)

NOTHING = WantedRole(())


def claim(wanted: WantedRole | WantedUser | WantedGroup = NOTHING, **fields: Any) -> Claim:
    return replace(Claim(Ref(Kind.ROLE, "ns", "reader", "uid"), "reader", wanted, ""), **fields)


@pytest.mark.parametrize(
    ("fields", "ours", "drops", "reason"),
    [
        ({}, False, False, "nothing says that it is ours"),
        ({"adoption": Adoption.ALWAYS}, False, False, "it would be taken over, but never was"),
        ({"origin": Origin.CREATED}, True, True, "we made it"),
        ({"intended": True}, True, True, "we were about to, and it is there"),
        ({"origin": Origin.ADOPTED}, True, False, "it was there before"),
        ({"origin": Origin.ADOPTED, "adoption": Adoption.NEVER}, True, False, "it was there before"),
        (
            {"origin": Origin.ADOPTED, "adoption": Adoption.ALWAYS},
            True,
            True,
            "it was taken over, whatever that meant",
        ),
        ({"origin": Origin.CREATED, "retain": True}, True, False, "it is to stay"),
        ({"intended": True, "retain": True}, True, False, "it is to stay"),
        (
            {"origin": Origin.ADOPTED, "adoption": Adoption.ALWAYS, "retain": True},
            True,
            False,
            "it is to stay",
        ),
    ],
)
def test_only_what_we_made_or_took_over_with_always_goes_with_its_resource(
    fields: dict[str, Any], ours: bool, drops: bool, reason: str
) -> None:
    one = claim(**fields)
    assert (one.is_ours, one.may_drop) == (ours, drops), reason
