"""Where the built client of neuroglancer lies, which its package on PyPI carries."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from scalesr.errors import PlanError


def client_folder() -> Path:
    """Return the folder of neuroglancer's client: pages and scripts that need nothing from elsewhere.

    Raises
    ------
    PlanError
        neuroglancer is not installed, or has no client in it.
    """
    found = find_spec("neuroglancer")
    remedy = 'Install it: pip install "scalesr[view]". Or ask for links alone, for viewers elsewhere: --links.'
    if found is None or not found.submodule_search_locations:
        raise PlanError("The viewer needs the package neuroglancer, which is not installed.", remedy=remedy)
    folder = Path(found.submodule_search_locations[0], "static", "client")
    if not (folder / "index.html").is_file():
        raise PlanError(f"The package neuroglancer has no built client in {folder}.", remedy=remedy)
    return folder
