"""The command tree. Everything heavy is imported by the command that needs it, so `--help` answers at once."""

from pathlib import Path
from typing import Annotated

import typer

from quorate.errors import BadInput
from worker.cli import (
    adopt,
    audit,
    backup,
    clusters,
    config,
    daemon,
    doctor,
    drill,
    freeze,
    hosts,
    init,
    inspecting,
    keyring,
    kit,
    lay,
    operations,
    plan,
    replace_member,
    report,
    restore,
    schedule,
    snapshots,
    tidy,
)
from worker.cli.options import As, Output, given

app = typer.Typer(
    name="quorate",
    help="Disaster recovery for etcd and the Kubernetes control planes on it.",
    epilog="Without a command: every cluster, its quorum, its newest backup, what runs and what to do next.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def quorate(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="The inventory; QUORATE_CONFIG if left out."),
    ] = None,
    output: As = Output.TABLE,
) -> int:
    given(ctx).config = config
    if ctx.invoked_subcommand is None:
        return clusters.status(ctx, output)
    if output is not Output.TABLE:
        raise BadInput(f"put it behind the command: quorate {ctx.invoked_subcommand} … -o {output}")
    return 0


app.command()(init.init)
app.command()(inspecting.inspect)
app.command()(backup.backup)
app.command()(restore.restore)
app.add_typer(plan.app, name="plan")
app.command()(freeze.freeze)
app.command()(freeze.thaw)
app.command(replace_member.VERB)(replace_member.replace_member)
plan.app.command(replace_member.VERB)(replace_member.plan_replace_member)
app.command()(tidy.tidy)
app.command()(lay.lay)
app.command()(operations.approve)
app.command()(operations.watch)
app.command()(operations.retry)
app.command()(operations.skip)
app.command()(operations.rollback)
app.command()(operations.abort)
app.command()(operations.cancel)
app.command()(adopt.adopt)
app.add_typer(operations.app, name="operations")
app.add_typer(snapshots.app, name="snapshots")
app.add_typer(drill.app, name="drill")
app.add_typer(keyring.app, name="keys")
app.add_typer(kit.app, name="kit")
app.add_typer(schedule.app, name="schedule")
app.add_typer(audit.app, name="audit")
app.add_typer(report.app, name="report")
app.add_typer(hosts.app, name="hosts")
app.add_typer(config.app, name="config")
app.command()(doctor.doctor)
app.command()(daemon.up)
app.command()(daemon.down)
