"""Whether a drill may be held on a cluster, and all that it will read of the inventory."""

from collections.abc import Iterable
from dataclasses import replace

from quorate.backups.catalogue import LATEST
from quorate.backups.request import BackupRequest
from quorate.backups.request import request as backup_request
from quorate.drill import DrillRequest
from quorate.drills.scenario import Scenario
from quorate.errors import BadInput, Refusal
from quorate.inventory import Cluster, Inventory
from quorate.operation import RestoreRequest
from quorate.prove import ProveRequest
from quorate.prove import request as prove_request
from quorate.settings.stores import Store

CHANGES = ("restore", "replace-member", "lay")  # what changes nodes, planned and approved as ever


def request(
    inventory: Inventory,
    cluster: str,
    scenario: Scenario,
    operation: str,
    actor: str,
    production: str = "",
    confirmed: str = "",
) -> DrillRequest:
    """Refusal where it may not be: nothing is begun. `production` names a cluster in so many words."""
    settings = inventory.cluster(cluster)
    allow(scenario, cluster, settings, inventory.stores[settings.backup.store], production)
    return DrillRequest(
        operation=operation,
        cluster=cluster,
        settings=settings,
        store=inventory.stores[settings.backup.store],
        scenario=scenario,
        actor=actor,
        prove=proving(inventory, cluster, scenario, actor),
        restore=restoring(inventory, cluster, scenario, operation, actor),
        backup=backing(inventory, cluster, scenario, actor),
        second=next((inventory.stores[name] for name in settings.backup.copies), None),
        confirmed=confirmed,
    )


def backing(inventory: Inventory, cluster: str, scenario: Scenario, actor: str) -> BackupRequest | None:
    if not any(stage.run == "backup" or stage.mistake for stage in scenario.stages):
        return None
    return backup_request(inventory, cluster, "", actor)


def restoring(
    inventory: Inventory, cluster: str, scenario: Scenario, operation: str, actor: str
) -> RestoreRequest | None:
    """The newest backup, as in an incident; who approves is what the inventory says, but for who is absent."""
    if not any(stage.run in CHANGES for stage in scenario.stages):
        return None
    settings = inventory.cluster(cluster)
    if scenario.absent:
        others = tuple(each for each in settings.approval.approvers if each.name != actor)
        approval = settings.approval.model_copy(update={"approvers": others, "people": 1})
        settings = settings.model_copy(update={"approval": approval})
    asked = RestoreRequest("", cluster, settings, inventory.stores[settings.backup.store], LATEST, actor)
    if not any(stage.mistake for stage in scenario.stages):
        return asked
    return replace(asked, overrides=("quorum-healthy",), reason=f"{operation}: keys were deleted on purpose")


def proving(inventory: Inventory, cluster: str, scenario: Scenario, actor: str) -> ProveRequest | None:
    if not any(stage.run == "prove" for stage in scenario.stages):
        return None
    return prove_request(inventory, cluster, "", actor)


def allow(scenario: Scenario, cluster: str, settings: Cluster, store: Store, production: str) -> None:
    """Faults only where the inventory allows them, and on production only where its name was given for that."""
    if production and production != cluster:
        raise BadInput(f"--in-production is {production!r}, the cluster is {cluster!r}; nothing was started")
    if scenario.faults and not (settings.drills and settings.drills.allowed):
        raise Refusal(
            f"{scenario.scenario} breaks things, and {cluster} is not marked `drills: allowed`; nothing was started",
            next=f"set clusters.{cluster}.drills to allowed in the inventory, if it may",
        )
    if scenario.needs.staging and settings.environment != "staging":
        raise Refusal(
            f"{scenario.scenario} is held on staging only, and {cluster} is production; nothing was started"
        )
    if scenario.faults and settings.environment == "production" and production != cluster:
        raise Refusal(
            f"{cluster} is production, and {scenario.scenario} breaks things; nothing was started",
            next=f"quorate drill start {scenario.scenario} {cluster} --in-production {cluster}  # if you mean that",
        )
    if lacking := tuple(lacks(scenario, settings, store)):
        raise Refusal(f"{scenario.scenario} needs {' and '.join(lacking)}; {cluster} has not; nothing was started")


def lacks(scenario: Scenario, settings: Cluster, store: Store) -> Iterable[str]:
    if len(settings.members) < scenario.needs.members:
        yield f"{scenario.needs.members} members"
    if scenario.needs.sandbox and settings.sandbox is None:
        yield "a sandbox"
    if scenario.needs.api_server and not (settings.sandbox and settings.sandbox.api_server):
        yield "an API server for the sandbox (sandbox.api_server)"
    if scenario.needs.copies and not settings.backup.copies:
        yield "a second store (backup.copies)"
    if any(stage.store == "away" for stage in scenario.stages) and not store.s3:
        yield "a store in S3"
    if scenario.needs.approvers and len(settings.approval.names) < 2:
        yield "two approvers by name"
    if scenario.needs.control_plane and not settings.control_plane:
        yield "a control plane"
    known = {"leader", "follower", "majority", *(member.name for member in settings.members)}
    unknown = {stage.fault.at for stage in scenario.stages if stage.fault} - known
    if unknown:
        yield f"a member {', '.join(sorted(unknown))}"
