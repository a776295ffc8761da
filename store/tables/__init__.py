"""Tables, one a file. Importing this package knows them all, which is what migrations compare with."""

from store.tables.alias import Alias
from store.tables.alias_change import AliasChange
from store.tables.api_key import ApiKey
from store.tables.base import Base, clock
from store.tables.checkpoint import Checkpoint
from store.tables.dataset import Dataset
from store.tables.event import Event
from store.tables.idempotent_answer import IdempotentAnswer
from store.tables.job import FINAL_STATES, Job
from store.tables.metric import MetricPoint
from store.tables.model import Model
from store.tables.upload import Upload
from store.tables.worker import Worker

__all__ = [
    "FINAL_STATES",
    "Alias",
    "AliasChange",
    "ApiKey",
    "Base",
    "Checkpoint",
    "Dataset",
    "Event",
    "IdempotentAnswer",
    "Job",
    "MetricPoint",
    "Model",
    "Upload",
    "Worker",
    "clock",
]
