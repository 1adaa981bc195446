"""What this machine remembers of stores: little to load, so that a listing answers without everything else."""

from activities.adapters.sqlite_memory import SqliteMemory
from activities.clusters.catalogued import Catalogued
from quorate.ports import Memory
from worker.settings import Settings

FILE = "catalogue.db"  # in the state directory


def memory(settings: Settings) -> Memory:
    return SqliteMemory(settings.state / FILE)


def catalogued(settings: Settings, cluster: str, store: str = "") -> Catalogued:
    return Catalogued(memory(settings), settings.store(cluster, store).place, cluster)
