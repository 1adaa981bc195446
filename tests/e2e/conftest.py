"""One lab a shape, kept for all tests of a module; every lab is removed at the end."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.lab import Lab, LabSpec, down, up
from tests.e2e.product import Product


def lab(name: str, **shape: object) -> Iterator[Lab]:
    whole = f"{name}{os.getpid()}"
    try:
        yield up(LabSpec(whole, **shape), print)  # type: ignore[arg-type]
    finally:
        down(whole, print)


def product(made: Lab) -> Iterator[Product]:
    quorate = Product(made, Path(made.config))
    try:
        quorate.up()
        yield quorate
    finally:
        quorate.down()


def backed_up(made: Lab) -> Iterator[Product]:
    """With a backup, so that no test needs another to have run before it."""
    for quorate in product(made):
        quorate.backup()
        yield quorate


@pytest.fixture(scope="module")
def bare_lab() -> Iterator[Lab]:
    """Three members of etcd 3.6, no control plane."""
    yield from lab("e", members=3, etcd="3.6", control_plane="none")


@pytest.fixture(scope="module")
def bare(bare_lab: Lab) -> Iterator[Product]:
    yield from backed_up(bare_lab)


@pytest.fixture(scope="module")
def alone_lab() -> Iterator[Lab]:
    """One member of etcd 3.6, no control plane."""
    yield from lab("c", members=1, etcd="3.6", control_plane="none")


@pytest.fixture(scope="module")
def whole_lab() -> Iterator[Lab]:
    """Three members of etcd 3.6 with a control plane on each node."""
    yield from lab("w", members=3, etcd="3.6", control_plane="systemd")


@pytest.fixture(scope="module")
def whole(whole_lab: Lab) -> Iterator[Product]:
    yield from backed_up(whole_lab)


@pytest.fixture(scope="module", params=["3.5", "3.4"])
def old(request: pytest.FixtureRequest) -> Iterator[Product]:
    for made in lab("o", members=3, etcd=request.param, control_plane="none"):
        yield from backed_up(made)
