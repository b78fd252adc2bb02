"""What is written on a Secret that the operator makes: for which user of which connection it is, and with what it goes."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from milvus_rbac.api.v1alpha1 import GROUP, VERSION
from milvus_rbac.controller.entry import Entry, Name
from milvus_rbac.domain.claims import Kind, SecretVersion

USER_ANNOTATION: Final = f"{GROUP}/user"
CONNECTION_ANNOTATION: Final = f"{GROUP}/connection"
"""As namespace/name."""
LABELS: Final = {"app.kubernetes.io/managed-by": "milvus-rbac-operator"}


class Mark(NamedTuple):
    """Whose a Secret is that the operator made."""

    owner: str
    """UID of the MilvusUser that it goes with; empty where it stays, or was restored from a backup."""
    user: str
    """Name in Milvus; empty where the Secret was made before this was written on it."""
    connection: str


def secret_version(body: Mapping[str, Any]) -> SecretVersion:
    """Return which version of a Secret this is; its metadata is enough."""
    return SecretVersion(body["metadata"]["uid"], body["metadata"]["resourceVersion"])


def read_mark(body: Mapping[str, Any]) -> Mark | None:
    """Return whose a Secret is, from its metadata; None if the operator did not make it."""
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    if not LABELS.items() <= labels.items():
        return None
    owner = controller_of(body)
    if owner is not None and owner["kind"] != Kind.USER:
        return None
    annotations = metadata.get("annotations") or {}
    return Mark(
        owner["uid"] if owner else "",
        annotations.get(USER_ANNOTATION, ""),
        annotations.get(CONNECTION_ANNOTATION, ""),
    )


def controller_of(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the ownerReference of an object's controller."""
    owners = body["metadata"].get("ownerReferences") or ()
    return next((one for one in owners if one.get("controller")), None)


def owner_reference(entry: Entry) -> dict[str, object]:
    """Return the reference with which a Secret goes when its MilvusUser does."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": entry.kind,
        "name": entry.name[1],
        "uid": entry.uid,
        "controller": True,
    }


def annotations_for(entry: Entry, connection: Name) -> dict[str, str]:
    """Return what says for whom a Secret is."""
    return {USER_ANNOTATION: entry.claimed_name, CONNECTION_ANNOTATION: "/".join(connection)}


def is_for(secret: Mapping[str, Any], entry: Entry, connection: Name) -> bool:
    """Return whether the operator made a Secret for this MilvusUser, or for one that is gone and had the same user.

    A Secret that came back from a backup has no controller, or one that is not there any more: of an earlier MilvusUser of
    the same name, if it has any.
    """
    mark, owner = read_mark(secret), controller_of(secret)
    if mark is None:
        return False
    if owner is not None:
        return owner["uid"] == entry.uid or bool(owner["name"] == entry.name[1])
    return (mark.user, mark.connection) == (entry.claimed_name, "/".join(connection))
