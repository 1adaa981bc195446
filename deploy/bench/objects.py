"""`put FILE OBJECT` and `get OBJECT FILE`, in parallel parts as `aws s3 cp` does it."""

from __future__ import annotations

import sys

from deploy.lab import s3
from deploy.lab.lab import load_lab


def main(lab_name: str, verb: str, source: str, target: str) -> None:
    store = load_lab(lab_name).s3
    client = s3.client(store)
    if verb == "put":
        client.upload_file(source, store.bucket, target)
    else:
        client.download_file(store.bucket, source, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
