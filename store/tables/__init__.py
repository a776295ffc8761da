"""Tables, one per file.

Importing this package loads all of them, so that migrations can compare.
"""

from store.tables.adaptation.feedback import Feedback
from store.tables.adaptation.request_record import RequestRecord
from store.tables.adaptation.watch import KEEP_MODES, Watch
from store.tables.alias import Alias
from store.tables.alias_change import AliasChange
from store.tables.api_key import SCOPES, ApiKey
from store.tables.base import Base, clock
from store.tables.checkpoint import Checkpoint
from store.tables.dataset import Dataset
from store.tables.event import Event
from store.tables.idempotent_answer import IdempotentAnswer
from store.tables.job import DATASET_KINDS, FINAL_STATES, PRIORITIES, Job, JobKind, Lane, Priority, lane_of
from store.tables.metric import MetricPoint
from store.tables.model import Model
from store.tables.retired_secret import RetiredSecret
from store.tables.traffic_split import TrafficSplit
from store.tables.upload import Upload
from store.tables.web_session import WebSession
from store.tables.webhooks.webhook import Webhook
from store.tables.webhooks.webhook_delivery import DELIVERY_STATES, WebhookDelivery
from store.tables.worker import Worker

__all__ = [
    "DATASET_KINDS",
    "DELIVERY_STATES",
    "FINAL_STATES",
    "KEEP_MODES",
    "PRIORITIES",
    "SCOPES",
    "Alias",
    "AliasChange",
    "ApiKey",
    "Base",
    "Checkpoint",
    "Dataset",
    "Event",
    "Feedback",
    "IdempotentAnswer",
    "Job",
    "JobKind",
    "Lane",
    "MetricPoint",
    "Model",
    "Priority",
    "RequestRecord",
    "RetiredSecret",
    "TrafficSplit",
    "Upload",
    "Watch",
    "WebSession",
    "Webhook",
    "WebhookDelivery",
    "Worker",
    "clock",
    "lane_of",
]
