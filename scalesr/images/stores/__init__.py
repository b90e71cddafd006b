"""Stores that are not local folders: object stores, and whatever else fsspec knows."""

from scalesr.images.stores.blind import BlindStore
from scalesr.images.stores.failures import Kind, StoreError, kind_of
from scalesr.images.stores.line import trust_addresses
from scalesr.images.stores.opening import client_options, open_account, open_store
from scalesr.images.stores.options import Client, StoreOptions, StoreSettings
from scalesr.images.stores.steady import SteadyStore
from scalesr.images.stores.traffic import Traffic, traffic

__all__ = [
    "BlindStore",
    "Client",
    "Kind",
    "SteadyStore",
    "StoreError",
    "StoreOptions",
    "StoreSettings",
    "Traffic",
    "client_options",
    "kind_of",
    "open_account",
    "open_store",
    "traffic",
    "trust_addresses",
]
