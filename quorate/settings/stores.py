"""Where backups lie."""

from typing import Self

from pydantic import Field, model_validator

from quorate.settings.fields import Path, Reference, Strict


class S3(Strict):
    """`ca` is the file of an authority that the system does not know; `expected_owner` the account of the bucket.

    With a `role` the keys do no more than take that role on, at the `endpoint` if there is one.
    """

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: str = Field(default="quorate", pattern=r"^[A-Za-z0-9._/-]+$")
    endpoint: str | None = None
    region: str = "us-east-1"
    path_style: bool = False
    access_key: Reference | None = None
    secret_key: Reference | None = None
    ca: Path | None = None
    role: str | None = Field(default=None, pattern=r"^arn:[a-z0-9-]+:iam::[0-9]*:role/[A-Za-z0-9+=,.@_/-]+$")
    expected_owner: str | None = Field(default=None, pattern=r"^[0-9]{12}$")


class Store(Strict):
    """Where backups lie: one of `s3` and `directory`."""

    s3: S3 | None = None
    directory: Path | None = None

    @model_validator(mode="after")
    def check_one(self) -> Self:
        if (self.s3 is None) == (self.directory is None):
            raise ValueError("expected exactly one of s3, directory")
        return self

    @property
    def url(self) -> str:
        """As people write it, `s3://bucket/prefix` or `file:///directory`."""
        if self.s3:
            return f"s3://{self.s3.bucket}/{self.s3.prefix}"
        return f"file://{self.directory}"

    @property
    def place(self) -> str:
        """The one and only: what is remembered of it is true of no other."""
        return f"{self.url} at {self.s3.endpoint or self.s3.region}" if self.s3 else self.url
