"""Directories that outlive runs: leased, committed, read at any snapshot. Format: docs/volume-format.md."""

from hutch.volumes.failures import (
    ConflictError,
    DamagedError,
    LeaseHeldError,
    LeaseLostError,
    NotFoundError,
    StoreError,
)
from hutch.volumes.lease.leases import Lease
from hutch.volumes.log.quotas import Quotas
from hutch.volumes.names import VolumeName
from hutch.volumes.past.retention import RetentionRules
from hutch.volumes.records import (
    At,
    CacheUse,
    Change,
    CheckReport,
    Collected,
    FileRead,
    FolderList,
    Housekept,
    LeftOut,
    LinkTarget,
    Recovered,
    Snapshot,
    Tag,
    Thinned,
    TreeChange,
    TreeEntry,
    VolumeInfo,
    VolumeQuota,
    VolumeStat,
)
from hutch.volumes.stores.directory import DirectoryStore
from hutch.volumes.stores.examining import examine_store
from hutch.volumes.stores.opening import open_store, prepare_store
from hutch.volumes.stores.options import StoreOptions
from hutch.volumes.stores.protocol import MemoryStore, ObjectInfo, ObjectStore
from hutch.volumes.stores.proven import ProvenStore
from hutch.volumes.stores.remembered import StoreMemory
from hutch.volumes.stores.wrappers import CountingStore, FaultyStore
from hutch.volumes.streaming.freezing import Freezer
from hutch.volumes.streaming.status import StreamStatus
from hutch.volumes.streaming.stream import Stream
from hutch.volumes.tree.contents import Contents
from hutch.volumes.volumes import Volumes

__all__ = [
    "At",
    "CacheUse",
    "Change",
    "CheckReport",
    "Collected",
    "ConflictError",
    "Contents",
    "CountingStore",
    "DamagedError",
    "DirectoryStore",
    "FaultyStore",
    "FileRead",
    "FolderList",
    "Freezer",
    "Housekept",
    "Lease",
    "LeaseHeldError",
    "LeaseLostError",
    "LeftOut",
    "LinkTarget",
    "MemoryStore",
    "NotFoundError",
    "ObjectInfo",
    "ObjectStore",
    "ProvenStore",
    "Quotas",
    "Recovered",
    "RetentionRules",
    "Snapshot",
    "StoreError",
    "StoreMemory",
    "StoreOptions",
    "Stream",
    "StreamStatus",
    "Tag",
    "Thinned",
    "TreeChange",
    "TreeEntry",
    "VolumeInfo",
    "VolumeName",
    "VolumeQuota",
    "VolumeStat",
    "Volumes",
    "examine_store",
    "open_store",
    "prepare_store",
]
