"""The part of a daemon's configuration that puts its volumes on a test's server."""

import secrets
from pathlib import Path

from support.ceph import S3Server

_S3 = """
[storage]
url = "s3://{bucket}/{prefix}"
endpoint_url = "{url}"
region = "us-east-1"
credentials_file = "{file}"
profile = "hutch"
retry_s = 0.5
"""


def s3_config(server: S3Server, folder: Path, url: str = "", prefix: str = "") -> str:
    """A part of the server's bucket, reached at `url`; the keys are put into `folder`."""
    file = folder / "keys"
    file.write_text(
        f"[hutch]\naws_access_key_id = {server.access_key}\naws_secret_access_key = {server.secret_key}\n"
    )
    prefix = prefix or f"test/{secrets.token_hex(8)}"
    return _S3.format(bucket=server.bucket, prefix=prefix, url=url or server.url, file=file)
