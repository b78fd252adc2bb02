"""Lets parallel test processes share one test bed: its owner starts the servers and tells the others how to reach them."""

import tempfile
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from threading import Thread
from typing import Final

from testbed.bed import TestBed
from testbed.cluster import Cluster, ClusterFacts
from testbed.milvus import MilvusFacts, Profile

_CONTROL_PLANE: Final = "control plane"
_END: Final = "end"

_Facts = ClusterFacts | MilvusFacts


class Host:
    """Answers the other processes of this test session, on a socket in a folder that only this user can enter."""

    def __init__(self, bed: TestBed) -> None:
        self._bed = bed
        self._folder = tempfile.TemporaryDirectory(prefix="test-bed.")
        self.address = str(Path(self._folder.name) / "socket")
        self._listener = Listener(self.address, family="AF_UNIX", backlog=64)
        self._thread = Thread(target=self._accept, name="test bed", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answers nobody any more; the servers are the bed's."""
        with Client(self.address, family="AF_UNIX") as connection:
            connection.send(_END)
        self._thread.join()
        self._listener.close()
        self._folder.cleanup()

    def _accept(self) -> None:
        # One after the other: whoever asks for a server that is being started has to wait anyway.
        while True:
            with self._listener.accept() as connection:
                question = connection.recv()
                if question == _END:
                    return
                self._answer(connection, question)

    def _answer(self, connection: Connection, question: str | Profile) -> None:
        try:
            connection.send(self._facts(question))
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who asked has to know
            connection.send(RuntimeError(f"the test bed could not start it: {error}"))

    def _facts(self, question: str | Profile) -> _Facts:
        if isinstance(question, Profile):
            return self._bed.milvus(question).facts
        return self._bed.control_plane().facts


class RemoteBed:
    """The servers of another process: they can be used, but not stopped or restarted."""

    def __init__(self, address: str) -> None:
        self._address = address

    def control_plane(self) -> Cluster:
        """The shared control plane."""
        facts = self._ask(_CONTROL_PLANE)
        assert isinstance(facts, ClusterFacts)
        return Cluster(facts)

    def milvus(self, profile: Profile) -> MilvusFacts:
        """The shared Milvus with these settings."""
        facts = self._ask(profile)
        assert isinstance(facts, MilvusFacts)
        return facts

    def close(self) -> None:
        """Nothing of it is ours to close."""

    def _ask(self, question: str | Profile) -> object:
        with Client(self._address, family="AF_UNIX") as connection:
            connection.send(question)
            answer = connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer
