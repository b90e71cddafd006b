"""Images in a browser: a small server for the bytes of images, and neuroglancer over it, outputs beside inputs."""

from __future__ import annotations

from scalesr.viewer.viewing import Viewing, view

__all__ = ["Viewing", "view"]
