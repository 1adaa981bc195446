"""One S3 client for many looks, and another one when the keys are others."""

from dataclasses import dataclass, field

import pytest

from activities.adapters import s3
from activities.adapters.s3 import S3Stores
from quorate.settings.stores import S3

pytestmark = pytest.mark.slow


@dataclass
class Keys:
    known: dict[str, bytes] = field(default_factory=lambda: {"env:A": b"one", "env:S": b"secret"})

    def resolve(self, reference: str) -> bytes:
        return self.known[reference]


def settings(bucket: str = "backups") -> S3:
    return S3(bucket=bucket, endpoint="http://127.0.0.1:1", access_key="env:A", secret_key="env:S")


def test_a_client_is_used_again() -> None:
    stores = S3Stores(Keys())
    assert stores.at(settings()).client is stores.at(settings()).client
    assert stores.at(settings()).client is not stores.at(settings("others")).client


def test_keys_that_have_changed_are_found_at_once() -> None:
    keys = Keys()
    stores = S3Stores(keys)
    first = stores.at(settings()).client
    keys.known["env:S"] = b"another"
    assert stores.at(settings()).client is not first


def test_what_botocore_has_found_is_looked_for_again_after_a_while() -> None:
    stores = S3Stores(Keys())
    first = stores.at(settings()).client
    (name,) = stores.made
    stores.made[name] = s3.Made(first, stores.made[name].keys, stores.made[name].at - s3.KEPT_S - 1)
    assert stores.at(settings()).client is not first


def test_a_secret_is_not_in_what_is_printed_of_it() -> None:
    stores = S3Stores(Keys())
    stores.at(settings())
    assert "secret" not in str(stores.made).replace("secret_key", "")
