"""Serving images of a bucket to viewers, through each client: the bytes as they are stored, and no part too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from served_images import ask, put_image, scene
from stores.servers import SECRET, upload

from scalesr.images import Files, open_image
from scalesr.images.stores import traffic
from scalesr.viewer import view

if TYPE_CHECKING:
    from pathlib import Path

    from stores.servers import Server

SHARD = "0/c/0/0"


def test_images_of_a_bucket_are_served(server: Server, client: str, place: str, tmp_path: Path) -> None:
    image = put_image(tmp_path / "cells.ome.zarr", scene(300))
    options = server.options(client=client)
    upload(tmp_path / "cells.ome.zarr", place, options)
    stored = Files(image.url).get(SHARD) or b""
    with view(place, client="none", storage_options=options) as viewing:
        address = viewing.images[0].address
        before = traffic()
        head = ask(f"{address}/{SHARD}", "HEAD")
        assert (head.status, int(head.headers["content-length"])) == (200, len(stored))
        assert ask(f"{address}/{SHARD}", Range="bytes=-100").body == stored[-100:]
        assert ask(f"{address}/{SHARD}", Range="bytes=5-14").body == stored[5:15]
        spent = traffic() - before
        assert (spent.requests, spent.read) == (3, 110)
        assert ask(f"{address}/0/c/7/7").status == 404
        np.testing.assert_array_equal(open_image(address).array(0)[...], image.array(0)[...])
        told = str(viewing) + str(viewing.links) + viewing._repr_html_() + str(viewing._server.state)
        assert SECRET not in told
