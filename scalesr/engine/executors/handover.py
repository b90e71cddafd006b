"""What workers must know and no task may hold: the secrets of stores."""

from __future__ import annotations

import os
import pickle
import socket
from secrets import token_bytes
from typing import TYPE_CHECKING, Any

from distributed import Future, WorkerPlugin
from distributed.protocol.pickle import dumps

from scalesr.images.stores import Traffic, traffic, trust_addresses
from scalesr.secrecy import forget, locked_away, named_in, take_over

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distributed import Client


class Handover(WorkerPlugin):
    """Tells each worker the secrets when it starts, over the connection that the cluster itself uses, and nothing else.

    A task names them by tokens; so does whatever logs or shows a task. Workers are told as well that the stores were
    reached before, so that one that starts while a store is away does not take its address for mistyped.

    Dask's scheduler and workers log whole messages at DEBUG, this plugin among them. The values are masked there, so
    that none can be read or found in a log; but the mask lies beside them, and this is no encryption.
    """

    def __init__(self, secrets: Mapping[str, Any], *, name: str) -> None:
        self.name = name
        self._secrets = dict(secrets)

    def __getstate__(self) -> dict[str, Any]:
        content = pickle.dumps(self._secrets)
        mask = token_bytes(len(content))
        return {"name": self.name, "mask": mask, "masked": _crossed(content, mask)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.name = state["name"]
        self._secrets = pickle.loads(_crossed(state["masked"], state["mask"]))  # noqa: S301 within a pickle

    def setup(self, worker: object) -> None:  # noqa: ARG002 the same for all
        """Take the secrets over."""
        take_over(self._secrets)
        trust_addresses()

    def teardown(self, worker: object) -> None:  # noqa: ARG002 the same for all
        """Forget them."""
        forget(self._secrets)

    def __repr__(self) -> str:
        return f"Handover({len(self._secrets)} secrets)"


class Telling:
    """Hands over the secrets that the tasks of a client name; other stores that this process opened stay its own.

    Parameters
    ----------
    client
        Of the cluster.
    name
        Of the plugin that tells workers.
    """

    def __init__(self, client: Client, *, name: str) -> None:
        self._client = client
        self._name = name
        self._secrets: dict[str, Any] = {}
        self._begun = False

    def tell(self, *given: Any) -> bool:
        """Tell the workers, and those that come later, what they need for what they are given; return if it is begun.

        It begins with the first call, whatever is given, and again after `begin_anew`.
        """
        fresh: dict[str, Any] = {}
        if locked_away().keys() - self._secrets.keys():
            fresh = named_in(dumps([one for one in given if not isinstance(one, Future)]))
        begins = not self._begun
        if begins or fresh.keys() - self._secrets.keys():
            self._secrets |= fresh
            self._client.register_plugin(Handover(self._secrets, name=self._name))
            self._begun = True
        return begins

    def begin_anew(self) -> None:
        """Take note that the scheduler was started again, and knows of nothing."""
        self._begun = False


def _crossed(content: bytes, mask: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(content, mask, strict=True))


def own_traffic() -> tuple[str, Traffic]:
    """Return which process this is, and what it has exchanged with stores."""
    return f"{socket.gethostname()}:{os.getpid()}", traffic()
