"""The options that say who does the work: threads, processes, or a cluster with its workers and certificates."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalesr.jobs.declaring import Natural, Place
from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalesr.engine.executors import Certificates, Cluster

_CLUSTER = "Clusters"
KINDS = ("cuda", "slurm", "kubernetes")
LOCAL = ("serial", "threads", "processes")
Scheduler = Annotated[
    str,
    typer.Option(
        metavar="NAME|ADDRESS",
        help="Who does the work. On this machine: serial, threads, processes. A cluster that is started for the run: "
        "cuda (a process for each GPU of this machine), slurm, kubernetes. Or the address of a Dask scheduler: "
        "tcp://host:8786, tls://host:8786.",
        rich_help_panel="Speed and memory",
    ),
]
Workers = Annotated[
    str | None,
    typer.Option(
        metavar="N|N-M",
        help="Threads or processes at work. Of a cluster, how many workers to start or to wait for; 4-64 lets it grow "
        "and shrink with the work.",
        show_default="one for each core",
        rich_help_panel="Speed and memory",
    ),
    Natural(int),
]
ClusterOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--cluster-options",
        metavar="NAME=VALUE|FILE",
        help="What LocalCUDACluster, SLURMCluster or KubeCluster is told, as often as needed: cores=8, memory=32GB; "
        "values are JSON, bare words are texts. Or a .yaml or .json file of such options. What comes later wins.",
        rich_help_panel=_CLUSTER,
    ),
    Natural(dict[str, Any]),
]
Wait = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="How long to wait until a cluster has its least number of workers.",
        show_default="600",
        rich_help_panel=_CLUSTER,
    ),
]
TlsCa = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Certificate of the authority that signed those of scheduler and workers, for tls:// and slurm.",
        show_default="as Dask's configuration says",
        rich_help_panel=_CLUSTER,
    ),
    Place(),
]
TlsCert = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Your own certificate.", show_default=False, rich_help_panel=_CLUSTER),
    Place(),
]
TlsKey = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Its key.", show_default=False, rich_help_panel=_CLUSTER),
    Place(),
]


def parse_crew(
    scheduler: str,
    *,
    workers: str | None,
    options: Sequence[str] | None,
    wait: float | None,
    authority: str | None,
    certificate: str | None,
    key: str | None,
) -> tuple[str | Cluster, int | None]:
    """Return who does the work, and how many threads or processes of this machine where it is these.

    Raises
    ------
    OptionError
        A text cannot be understood, or an option does not belong to the scheduler.
    """
    least, most = _parse_workers(workers)
    given = (authority, certificate, key)
    if scheduler in LOCAL:
        alien = {
            "--cluster-options": options,
            "--wait": wait,
            "--tls-ca": authority,
            "--tls-cert": certificate,
            "--tls-key": key,
        }
        named = [name for name, value in alien.items() if value is not None and value != []]
        if named:
            raise OptionError(
                f"{named[0]} is for clusters; --scheduler is {scheduler}.",
                remedy=f"Leave it out, or name a cluster: --scheduler {', '.join(KINDS)} or an address.",
            )
        if least != most:
            raise OptionError(
                f"--workers {workers} is a range; on this machine as many work as are asked for.",
                remedy="Give one number, or leave it out.",
            )
        return scheduler, least
    if scheduler not in KINDS and "://" not in scheduler and ":" not in scheduler:
        raise OptionError(
            f"--scheduler {scheduler!r} is nobody who works.",
            remedy=f"Give one of {', '.join((*LOCAL, *KINDS))}, or an address such as tcp://host:8786.",
        )
    if any(given) and not all(given):
        raise OptionError("TLS needs three files.", remedy="Give --tls-ca, --tls-cert and --tls-key, or none of them.")
    if wait is not None and not wait > 0:
        raise OptionError(f"--wait {wait:g} is no time to wait.", remedy="Give seconds, such as 600.")
    told = _parse_options(options or ())
    if told and scheduler not in KINDS:
        raise OptionError(
            f"The cluster at {scheduler} runs already, and takes no --cluster-options.",
            remedy=f"Leave them out, or name a kind of cluster: {', '.join(KINDS)}.",
        )
    from scalesr.engine.executors import Certificates, Cluster  # noqa: PLC0415 dask and torch take seconds

    shown: Certificates | None = None
    if authority and certificate and key:
        shown = Certificates(authority=authority, certificate=certificate, key=key)
    cluster = Cluster(
        where=scheduler,
        workers=None if least is None or most is None else (least, most),
        options=told,
        certificates=shown,
        **({} if wait is None else {"wait": wait}),
    )
    return cluster, None


def _parse_workers(text: str | None) -> tuple[int | None, int | None]:
    """Return the least and the largest number of workers: of ``4`` and of ``4-64``."""
    if text is None:
        return None, None
    found = re.fullmatch(r"([1-9][0-9]{0,5})(?:-([1-9][0-9]{0,5}))?", text.strip())
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if least > most:
        raise OptionError(
            f"--workers {text!r} is no number of workers.", remedy="Give one such as 8, or for a cluster 4-64."
        )
    return least, most


def _parse_options(texts: Sequence[str]) -> dict[str, Any]:
    """Return what the class of a cluster is told; what comes later wins."""
    told: dict[str, Any] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if equals and name.isidentifier() and value:
            try:
                told[name] = json.loads(value)
            except ValueError:
                told[name] = value
        elif not equals and Path(text).suffix in (".yaml", ".yml", ".json"):
            told |= _read_options(Path(text))
        else:
            raise OptionError(
                f"--cluster-options {text!r} sets nothing.",
                remedy="Give a name and a value, such as cores=8, or a .yaml or .json file.",
            )
    return told


def _read_options(path: Path) -> Mapping[str, Any]:
    """Return the options in a file; YAML holds JSON too."""
    import yaml  # noqa: PLC0415 comes with dask, and is rarely needed

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"--cluster-options {path} cannot be read: {error}.", remedy="Check the file.") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise OptionError(f"{path} holds no options.", remedy="Write one NAME: VALUE on each line, such as `cores: 8`.")
    return found
