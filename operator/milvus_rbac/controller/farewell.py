"""The end of resources that leave Milvus as it is, and of a connection whose claims must go before it.

Asks no Milvus: what is decided here holds whatever a server says.
"""

import logging
import math
import time
from collections.abc import Sequence

from milvus_rbac.api.v1alpha1 import MilvusConnection
from milvus_rbac.api.v1alpha1.milvusconnection import Mode
from milvus_rbac.controller.claiming import keeps_on_deletion
from milvus_rbac.controller.complaints import complain
from milvus_rbac.controller.dirty import Dirty
from milvus_rbac.controller.entry import CLASSES, Entry
from milvus_rbac.controller.together import together
from milvus_rbac.controller.tools import RETRY_LATER, Tools
from milvus_rbac.kube.client import ClusterRefused

LONGEST = 120.0
"""Seconds without progress after which a deleted connection stops waiting for its claims."""
LOOK_ROUND = 10.0
"""Seconds after which a deleted connection looks whether its claims are gone."""

logger = logging.getLogger(__name__)


class Farewell:
    """Of one connection."""

    def __init__(self, uid: str, tools: Tools, dirty: Dirty) -> None:
        self._uid = uid
        self._tools = tools
        self._dirty = dirty
        self._progress: tuple[int, float] | None = None
        """How many claims were left when their number last fell, and when that was."""

    @property
    def look_again_in(self) -> float:
        """Seconds until the end of the connection must be looked at again."""
        return math.inf if self._progress is None else LOOK_ROUND

    async def release_untouched(self, waiting: Sequence[Entry]) -> list[Entry]:
        """Let go of what is deleted and stays in Milvus: it says so, its connection does, or its CRD is on its way out.

        Gives the rest. A resource that goes with its CRD goes after it, so asking about the CRD of what is known to be
        deleted is sure; nothing may be dropped that was not asked about.
        """
        connection = self._tools.store.entries.get(self._uid)
        spec = connection.connection.spec if connection and connection.connection else None
        untouched = spec is not None and (spec.suspend or spec.mode is Mode.OBSERVE)
        leaving = [entry for entry in waiting if entry.deleting and entry.has_finalizer]
        tenancy = self._tools.store.tenancy(connection.name) if connection else None
        kinds = {entry.kind for entry in leaving}
        ends = await together(self._tools.cluster.is_crd_deleting(CLASSES[kind].plural) for kind in kinds)
        doomed = {kind for kind, is_ending in zip(kinds, ends, strict=True) if is_ending}
        permits = {entry.uid: tenancy.permit(entry) if tenancy else None for entry in leaving}
        unsure = {uid for uid, permit in permits.items() if permit is not None and not permit.is_known}
        released = {
            entry.uid
            for entry in leaving
            if untouched
            or entry.kind in doomed
            # What is delegated may have been narrowed: that is taken first, in a round.
            or ((entry.uid in unsure or permits[entry.uid] is None) and keeps_on_deletion(entry))
        }
        for uid in unsure - released:
            self._dirty.mark_later(uid, RETRY_LATER)  # nobody knows what becomes of it
        for entry in leaving:
            if entry.uid in released:
                await self._release(entry)
        return [entry for entry in waiting if entry.uid not in released | unsure]

    async def release_all(self) -> None:
        """Let go of everything that is deleted, and name it; nobody is left who could take it out of Milvus."""
        waiting = self._tools.store.known(self._dirty.uids())
        leaving = [entry for entry in waiting if entry.deleting and entry.has_finalizer]
        self._dirty.discard(self._dirty.uids() - {entry.uid for entry in leaving})
        for entry in leaving:
            await self._release(entry)

    async def say(self, claimants: Sequence[Entry]) -> None:
        """Let a deleted connection go when no claim needs it, or none gets on any more."""
        entry = self._tools.store.entries.get(self._uid)
        if entry is None or not entry.deleting or not entry.has_finalizer:
            return
        left = sum(one.has_finalizer for one in claimants)
        if self._progress is None or left < self._progress[0]:
            self._progress = (left, time.monotonic())
        is_late = time.monotonic() >= self._progress[1] + LONGEST
        if not left or is_late or await self._tools.cluster.is_crd_deleting(MilvusConnection.plural):
            await self._tools.ledger.let_go(entry)

    async def _release(self, entry: Entry) -> None:
        try:
            await self._tools.release(entry, left_behind="claim" in entry.status)
        except ClusterRefused as refusal:
            # What can't be let go must not keep the others from being served.
            complain(logger, entry, "let go", refusal)
            self._dirty.mark_later(entry.uid, RETRY_LATER)
        # Not before: where Kubernetes gave no answer, it is still to be done.
        self._dirty.discard({entry.uid})
