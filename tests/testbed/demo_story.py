"""The demo's story, from `kubectl apply` to a login that works and back to a Milvus that knows of nothing."""

import contextlib
import json
from typing import Any, Final

from testbed.build import KUBERNETES_VERSION, KubernetesBinaries, MilvusBinary
from testbed.chart import NAME as ACCOUNT
from testbed.chart import SYSTEM, install
from testbed.demo_application import COLLECTION, ROWS, Application, denial, fill
from testbed.demo_narrator import BrokenPromiseError, Narrator, expect, wait_until
from testbed.demo_samples import INTERVAL, Samples
from testbed.demo_stage import IDENTITY, Stage
from testbed.milvus_admin import ROOT_PASSWORD, MilvusAdmin

NEW_PASSWORD: Final = "example-rotated-2"  # noqa: S105 - of a server that lives for half a minute
_LEASE: Final = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/milvus-rbac-operator"
_PLURALS: Final = ("milvusconnections", "milvusprivilegegroups", "milvusroles", "milvususers")


class Story:
    """The steps, in the order in which they are told."""

    def __init__(self, stage: Stage, narrator: Narrator) -> None:
        self._stage = stage
        self._narrator = narrator
        self._before: dict[str, Any] = {}
        self.samples: Samples

    # --- what has to be there

    def start_kubernetes(self, binaries: KubernetesBinaries) -> None:
        """Starts the Kubernetes API."""
        with self._narrator.step(f"A Kubernetes API runs: {KUBERNETES_VERSION}, RBAC on") as details:
            self._stage.start_cluster(binaries)
            details.append(self._stage.cluster.url)

    def start_milvus(self, binary: MilvusBinary) -> None:
        """Starts Milvus, with data that somebody wants to read."""
        with self._narrator.step(
            "A new Milvus runs: root has the password that every Milvus comes with"
        ) as details:
            self._stage.start_milvus(binary)
            with self._stage.milvus.admin() as root:
                self._before = root.dump()
            fill(self._stage.milvus.uri, "root", ROOT_PASSWORD)
            details.append(f"{self._stage.milvus.uri}, collection {COLLECTION} with {ROWS} rows")

    def install(self) -> None:
        """Installs the chart."""
        with self._narrator.step(
            "helm install milvus-rbac-operator: four kinds, one ServiceAccount"
        ) as details:
            details.append(install(self._stage.cluster).partition("\n\n")[0])
            wait_until(self._may_read_secrets, f"{ACCOUNT} may read Secrets")

    def start_operator(self) -> None:
        """Runs the operator."""
        with self._narrator.step(
            "The operator runs with that ServiceAccount's token, is ready and holds the Lease"
        ):
            operator = self._stage.start_operator()
            wait_until(operator.is_ready, "the operator answers /readyz")
            wait_until(self._holds_lease, "the operator holds the Lease")

    # --- what a user does

    def apply(self, samples: Samples) -> None:
        """Applies the samples."""
        self.samples = samples
        with self._narrator.step(
            "kubectl apply -f manifests/samples: a connection, a role and a user"
        ) as details:
            # The namespace first: kubectl takes the files of a folder by their names.
            first = sorted(samples.folder.glob("namespace.yaml"))
            files = [part for path in (*first, samples.folder) for part in ("-f", path)]
            details.append(self._stage.cluster.kubectl("apply", *files))
        with self._narrator.step("Every resource becomes Ready") as details:
            wait_until(self._all_ready, "every resource is Ready")
            details.append(self._get())

    def check_root(self) -> None:
        """Is root's password the Secret's now?"""
        admin = self.samples.admin
        with self._narrator.step(
            f"bootstrap: {admin} has the Secret's password, the one that Milvus came with is refused"
        ):
            expect(
                self._logs_in(admin, self.samples.admin_password),
                f"{admin} can't log in with the Secret's password",
            )
            expect(not self._logs_in(admin, ROOT_PASSWORD), f"{admin} still logs in with the first password")

    def check_rights(self) -> None:
        """Logs in as the new user; one call is allowed, others are denied."""
        user = self.samples.user
        with self._narrator.step(f"{user} logs in with the password of Secret {self.samples.user_secret}"):
            expect(self._logs_in(user, self.samples.password), f"{user} can't log in")
        with contextlib.closing(self._application(self.samples.password)) as application:
            with self._narrator.step(f"Allowed: {user} queries {COLLECTION}") as details:
                # Milvus before 2.6 answers a grant a moment before its proxies know of it.
                wait_until(lambda: denial(application.query) is None, f"{user} may query {COLLECTION}", 5)
                rows = application.query()
                expect(rows == ROWS, f"{rows} rows instead of {ROWS}")
                details.append(f"{rows} rows")
            with self._narrator.step(
                f"Denied: {user} neither inserts into {COLLECTION} nor drops it"
            ) as details:
                for call in (application.insert, application.drop):
                    refusal = denial(call)
                    expect(refusal, f"{call.__name__} was permitted")
                    details.append(f"PERMISSION_DENIED {refusal}")

    def rotate(self) -> None:
        """Gives the user another password."""
        user, secret = self.samples.user, self.samples.user_secret
        with self._narrator.step(
            f"Rotation: Secret {secret} is changed, {user} logs in with the new password"
        ):
            patch = json.dumps({"stringData": {"password": NEW_PASSWORD}})
            self._kubectl("patch", "secret", secret, "--patch", patch)
            wait_until(lambda: self._logs_in(user, NEW_PASSWORD), "the new password works")
        with self._narrator.step("The old password is refused"):
            wait_until(
                lambda: not self._logs_in(user, self.samples.password), "the old password is refused", 5
            )

    def undo_by_hand(self) -> None:
        """Takes a grant away behind the operator's back."""
        role, user = self.samples.role, self.samples.user
        with self._root() as root, contextlib.closing(self._application(NEW_PASSWORD)) as application:
            with self._narrator.step(
                f"By hand: root revokes Query on {COLLECTION} from {role}, {user} is denied"
            ) as details:
                wait_until(lambda: self._take_away(root, application, details), f"{user} is denied")
            with self._narrator.step(
                f"Drift: it is put back (interval: {INTERVAL}), and an Event says so"
            ) as details:
                wait_until(lambda: denial(application.query) is None, f"{user} may query again")
                wait_until(lambda: self._told_of_repair(details), "an Event names the repair")
        with self._narrator.step("Every resource is Ready"):
            wait_until(self._all_ready, "every resource is Ready")

    def delete(self) -> None:
        """Deletes the samples, namespace and all."""
        with self._narrator.step(
            "kubectl delete -f manifests/samples: connection, Secrets and namespace at once"
        ) as details:
            self._stage.cluster.kubectl("delete", "-f", self.samples.folder, "--timeout=60s")
            left = self._stage.cluster.kubectl("get", "milvus-rbac", "--all-namespaces", check=False).strip()
            expect("No resources found" in left, left)
            details.append(left)
        with self._narrator.step(
            "Nothing is left in Milvus: users, roles, grants are those of the beginning"
        ) as details:
            with self._root() as root:
                after = root.dump()
            expect(after == self._before, f"before: {self._before}\nafter:  {after}")
            details.append(f"users: {', '.join(after['users'])}; roles: {', '.join(after['roles'])}")

    # --- what is looked at

    def _kubectl(self, *args: str, check: bool = True) -> str:
        return self._stage.cluster.kubectl("--namespace", self.samples.namespace, *args, check=check)

    def _get(self) -> str:
        return self._kubectl("get", "milvus-rbac")

    def _may_read_secrets(self) -> bool:
        account = f"--as=system:serviceaccount:{SYSTEM}:{ACCOUNT}"
        return "yes" in self._stage.cluster.kubectl(
            "auth", "can-i", "get", "secrets", "-A", account, check=False
        )

    def _holds_lease(self) -> bool:
        lease = self._stage.cluster.get(_LEASE)
        return lease is not None and lease["spec"].get("holderIdentity") == IDENTITY

    def _all_ready(self) -> bool:
        operator = self._stage.operator
        expect(operator is None or operator.process.alive, "the operator ended")
        conditions = [self._conditions(item) for item in self._resources()]
        for one in conditions:
            # What is stalled stays so until somebody acts: no use in waiting for it.
            if "Stalled" in one:
                raise BrokenPromiseError(f"{one['Stalled']['message']}\n{self._get()}")
        return bool(conditions) and all(one.get("Ready", {}).get("status") == "True" for one in conditions)

    def _resources(self) -> list[dict[str, Any]]:
        path = f"/apis/rbac.milvus.io/v1alpha1/namespaces/{self.samples.namespace}"
        return [item for plural in _PLURALS for item in self._stage.cluster.get(f"{path}/{plural}")["items"]]

    @staticmethod
    def _conditions(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The conditions by type, as far as they are about the present spec."""
        status = item.get("status", {})
        if status.get("observedGeneration") != item["metadata"]["generation"]:
            return {}
        return {one["type"]: one for one in status.get("conditions", ())}

    def _logs_in(self, user: str, password: str) -> bool:
        with self._root() as client:
            return client.login_works(user, password)

    def _root(self) -> MilvusAdmin:
        return self._stage.milvus.admin(self.samples.admin, self.samples.admin_password)

    def _application(self, password: str) -> Application:
        return Application(self._stage.milvus.uri, self.samples.user, password)

    def _take_away(self, root: MilvusAdmin, application: Application, details: list[str]) -> bool:
        """Revokes if need be: the operator may have been faster than this look at what happened."""
        object_type, name, database, privilege = grant = ("Collection", COLLECTION, "default", "Query")
        if grant in root.grants(self.samples.role):
            root.revoke(self.samples.role, object_type, name, privilege, database)
        refusal = denial(application.query)
        if refusal is None:
            return False
        details.append(f"PERMISSION_DENIED {refusal}")
        return True

    def _told_of_repair(self, details: list[str]) -> bool:
        path = f"/api/v1/namespaces/{self.samples.namespace}/events"
        told = [
            one["message"] for one in self._stage.cluster.get(path)["items"] if "Put back" in one["message"]
        ]
        details += told[-1:]
        return bool(told)
