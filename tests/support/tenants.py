"""A Milvus that several namespaces share: those who run it, and two teams."""

from typing import Any

from support.operator import permit
from support.story import CONNECTION, Story


class Tenants:
    """Stories of one operator in three namespaces; the teams use the connection of the first one."""

    def __init__(self, platform: Story) -> None:
        self.platform = platform
        self.team_a = self._team("a")
        self.team_b = self._team("b")
        platform.operator.stop()
        served = (one.namespace for one in (platform, self.team_a, self.team_b))
        platform.release = permit(platform.cluster, platform.namespace, *served)
        self.start_operator()

    def start_operator(self, **settings: str) -> None:
        """Run the operator for all three."""
        self.platform.start_operator(**settings)

    def delegate(self, *entries: dict[str, Any]) -> None:
        """Say what the teams may have; without `namespaces`, an entry is about the first one."""
        named = {"namespaces": {"names": [self.team_a.namespace]}}
        spec = {"delegations": [named | entry for entry in entries]}
        self.platform.patch("MilvusConnection", CONNECTION, {"spec": spec})

    @property
    def connection(self) -> dict[str, Any]:
        """How a team names the connection."""
        return {"connectionRef": {"name": CONNECTION, "namespace": self.platform.namespace}}

    def close(self) -> None:
        """Let go of the teams' resources; the platform's story ends the operator."""
        for operator in self.platform.operators:
            operator.kill()
        for team in (self.team_a, self.team_b):
            team.operators = []
            team.close()

    def _team(self, suffix: str) -> Story:
        platform = self.platform
        namespace = f"{platform.namespace}-{suffix}"
        platform.cluster.create_namespace(namespace)
        team = Story(platform.cluster, namespace, platform.milvus, platform.api, platform.unique)
        team.operators = platform.operators
        return team
