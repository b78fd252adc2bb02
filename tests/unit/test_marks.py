"""Whose a Secret is that the operator made: known from what is written on it, and from nothing else."""

from typing import Any

import pytest

from milvus_rbac.controller.marks import (
    LABELS,
    Mark,
    annotations_for,
    is_for,
    owner_reference,
    read_mark,
)

from .resources import entry, user

APP = entry(user())
PROD = ("ns", "prod")


def secret(*, owner: Any = None, labels: Any = LABELS, **annotations: str) -> dict[str, Any]:
    """A Secret as the API server has it."""
    owners = [owner] if owner else []
    return {"metadata": {"labels": labels, "annotations": annotations, "ownerReferences": owners}}


@pytest.mark.parametrize(
    ("one", "expected", "reason"),
    [
        (secret(owner=owner_reference(APP)), True, "it goes with this resource"),
        (secret(**annotations_for(APP, PROD)), True, "it stayed, or came back from a backup"),
        (secret(owner={**owner_reference(APP), "uid": "gone"}), True, "of an earlier resource of the name"),
        (secret(owner={**owner_reference(APP), "uid": "x", "name": "other"}), False, "of another resource"),
        (secret(**annotations_for(APP, ("ns", "lab"))), False, "of a user on another Milvus"),
        (secret(labels={}, **annotations_for(APP, PROD)), False, "not made by the operator"),
        (secret(), False, "it does not say for whom"),
        (secret(owner={**owner_reference(APP), "kind": "Cluster"}), False, "another operator controls it"),
    ],
)
def test_a_secret_is_for_one_user(one: dict[str, Any], expected: bool, reason: str) -> None:
    assert is_for(one, APP, PROD) is expected, reason


def test_what_the_operator_did_not_make_has_no_mark() -> None:
    assert read_mark(secret(labels={"team": "a"})) is None
    assert read_mark(secret(**annotations_for(APP, PROD))) == Mark("", "app", "ns/prod")
    assert read_mark(secret(owner=owner_reference(APP))) == Mark("uid-app", "", "")
