"""Where tasks run when this process and this machine's own workers are not enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from distributed import Security

from scalesr.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["cuda", "slurm", "kubernetes"]
"""Clusters that are started for a run: a process for each GPU of this machine, jobs of SLURM, pods of Kubernetes."""
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """What a client shows to a cluster that speaks TLS, and what it believes: three files in PEM format."""

    authority: str
    """Certificate of the authority that signed those of scheduler and workers."""
    certificate: str
    """Certificate of the client, and of scheduler and workers that it starts."""
    key: str
    """Its key."""

    def security(self) -> Security:
        """Return them as Dask takes them; nothing is sent or taken unencrypted.

        Raises
        ------
        PlanError
            A file is absent, or no certificate or key.
        """
        for file in (self.authority, self.certificate, self.key):
            if not Path(file).is_file():
                raise PlanError(
                    f"There is no file {file}, which is to hold a certificate or a key.",
                    remedy="Make them with deploy/certificates.sh, or ask who runs the cluster.",
                )
        roles = ("client", "scheduler", "worker")
        found = Security(
            require_encryption=True,
            tls_ca_file=self.authority,
            **{f"tls_{role}_cert": self.certificate for role in roles},
            **{f"tls_{role}_key": self.key for role in roles},
        )
        try:
            found.get_connection_args("client")
        except OSError as error:
            raise PlanError(
                f"{self.authority}, {self.certificate} and {self.key} are no certificates with their key ({error}).",
                remedy="Give files in PEM format: the authority's certificate, your own, and your key.",
            ) from error
        return found


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Dask cluster: one that runs, by its address, or one that is started for a run and ends with it.

    The result is the same bytes wherever it is made, as long as the workers are of one class; before the first block
    each is asked for its versions, its hardware, the model, memory, and its access to input and output.
    """

    where: str
    """``cuda``, ``slurm`` or ``kubernetes``, or the address of a scheduler: ``tls://host:8786``."""
    workers: tuple[int, int] | None = None
    """Workers at least and at most; a cluster that is started grows and shrinks between them with the work. When not
    given: of a running cluster those that are there, of ``cuda`` one for each GPU, otherwise one."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Handed to the class that starts the cluster: ``dask_cuda.LocalCUDACluster``, ``dask_jobqueue.SLURMCluster`` or
    ``dask_kubernetes.operator.KubeCluster``."""
    certificates: Certificates | None = None
    """For TLS; those that Dask's own configuration names when not given."""
    wait: float = 600.0
    """Seconds to wait for the least number of workers."""

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers[0] <= self.workers[1]:
            raise PlanError(
                f"{self.workers[0]} to {self.workers[1]} workers cannot be.",
                remedy="Give a number of workers of at least 1, or a range such as 4-64.",
            )
        if self.options and self.kind is None:
            raise PlanError(
                f"The cluster at {self.where} runs already, and takes no options.",
                remedy=f"Leave out --cluster-options, or name a kind of cluster: {', '.join(KINDS)}.",
            )

    @property
    def kind(self) -> Kind | None:
        """What is started; ``None`` where the cluster runs already."""
        return cast("Kind", self.where) if self.where in KINDS else None

    def security(self) -> Security:
        """Return what is shown and believed; from Dask's configuration (``distributed.comm.tls``) where none is given.

        Raises
        ------
        PlanError
            The address asks for TLS and there are no certificates, or files of them are absent.
        """
        found = Security() if self.certificates is None else self.certificates.security()
        encrypted = found.get_connection_args("client").get("ssl_context") is not None
        if self.where.startswith("tls://") and not encrypted:
            raise PlanError(
                f"The Dask scheduler at {self.where} lets in nobody without a certificate, and none is given.",
                remedy="Give --tls-ca, --tls-cert and --tls-key, or name them in Dask's configuration.",
            )
        return found

    def encrypted(self) -> bool:
        """Return whether certificates are named, here or in Dask's configuration."""
        return self.security().get_connection_args("client").get("ssl_context") is not None
