"""`quorate config`: is the inventory right, what does it say, what may it say."""

import json
import re
from typing import Any

import typer

from worker.cli.options import As, Output, given, say, say_json

app = typer.Typer(help="The inventory file.", no_args_is_help=True, rich_markup_mode=None)

USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


@app.command()
def validate(ctx: typer.Context, output: As = Output.TABLE) -> int:
    """Every mistake at once, each with its line; exit 2 if there is one."""
    settings = given(ctx).settings()
    clusters = sorted(settings.inventory.clusters)
    if output is Output.JSON:
        say_json({"config": str(settings.path), "clusters": clusters})
    else:
        say(f"{settings.path} is right; clusters: {', '.join(clusters)}")
    return 0


@app.command()
def schema() -> int:
    """The JSON schema of the file, for editors."""
    from quorate.inventory import Inventory

    say_json(Inventory.model_json_schema())
    return 0


@app.command()
def show(ctx: typer.Context, output: As = Output.TABLE) -> int:
    """The inventory with every default filled in; references are shown, secrets are not in it."""
    import yaml

    data = redacted(given(ctx).settings().inventory.model_dump(mode="json"))
    if output is Output.JSON:
        say_json(data)
    else:
        say(yaml.safe_dump(data, sort_keys=False, allow_unicode=True).rstrip())
    return 0


def redacted(data: dict[str, Any]) -> dict[str, Any]:
    """A password within a URL is the one place where a secret could have been written."""
    out: dict[str, Any] = json.loads(USERINFO.sub("***@", json.dumps(data)))
    return out
