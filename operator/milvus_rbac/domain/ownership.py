"""Which names may be claimed. The API server checks their syntax; this knows what is reserved."""

from milvus_rbac.domain import privileges
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.state import BUILTIN_ROLES, ROOT_USER, ZILLIZ_ADMIN


def check(kind: Kind, name: str, operator_account: str) -> Refusal | None:
    """Say why a name can't be claimed, None if it can. `operator_account` is the connection's own user."""
    if name != name.strip():
        return Refusal(Reason.INVALID_NAME, f"The name {name!r} has spaces around it: remove them.")
    match kind:
        case Kind.USER if name in {ROOT_USER, ZILLIZ_ADMIN, operator_account}:
            message = f"spec.userName: {name} is the operator's own account or the server's first user, which no resource can manage."
            return Refusal(Reason.RESERVED_NAME, message)
        case Kind.ROLE if name in BUILTIN_ROLES:
            message = f"spec.roleName: {name} is built into Milvus; choose another name."
            return Refusal(Reason.RESERVED_NAME, message)
        case Kind.GROUP if privileges.find(name) is not None:
            message = f"spec.groupName: {name} is a privilege or group that Milvus brings along; choose another name."
            return Refusal(Reason.RESERVED_NAME, message)
        case Kind.USER | Kind.ROLE | Kind.GROUP:
            return None
