"""Access points of S3, whose ARNs stand for buckets."""

from __future__ import annotations

import pytest
from support.s3_server import made_up_credentials

from schemas.errors import UsageError
from schemas.images import ImageRef, split_s3_uri
from schemas.options import StoreOptions
from workers.stores.open import build_store
from workers.stores.s3_client import client_for

pytestmark = pytest.mark.trials

ACCOUNT = "123456789012"
ACCESS_POINT = f"arn:aws:s3:eu-west-1:{ACCOUNT}:accesspoint/photos-point"


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://photos/a/b.jpg", "photos", "a/b.jpg"),
        ("s3://photos", "photos", ""),
        ("s3://photos//a.jpg", "photos", "/a.jpg"),
        (f"s3://{ACCESS_POINT}", ACCESS_POINT, ""),
        (f"s3://{ACCESS_POINT}/", ACCESS_POINT, ""),
        (f"s3://{ACCESS_POINT}/a/b.jpg", ACCESS_POINT, "a/b.jpg"),
        (f"s3://arn:aws-cn:s3:cn-north-1:{ACCOUNT}:accesspoint:p/a.jpg",
         f"arn:aws-cn:s3:cn-north-1:{ACCOUNT}:accesspoint:p", "a.jpg"),
        (f"s3://arn:aws:s3::{ACCOUNT}:accesspoint/alias.mrap/a.jpg",
         f"arn:aws:s3::{ACCOUNT}:accesspoint/alias.mrap", "a.jpg"),
        (f"s3://arn:aws:s3-object-lambda:eu-west-1:{ACCOUNT}:accesspoint/p/a.jpg",
         f"arn:aws:s3-object-lambda:eu-west-1:{ACCOUNT}:accesspoint/p", "a.jpg"),
        (f"s3://arn:aws:s3-outposts:eu-west-1:{ACCOUNT}:outpost/op-1/accesspoint/p/a.jpg",
         f"arn:aws:s3-outposts:eu-west-1:{ACCOUNT}:outpost/op-1/accesspoint/p", "a.jpg"),
    ],
)  # fmt: skip
def test_an_access_point_stands_for_a_bucket(uri: str, bucket: str, key: str) -> None:
    assert split_s3_uri(uri) == (bucket, key)
    if key:
        ref = ImageRef.from_uri(uri, "v", 1)
        assert (ref.bucket, ref.key, ref.uri) == (bucket, key, uri)
        assert build_store(f"s3://{bucket}/", StoreOptions()).covers(ref)


def test_an_access_point_is_part_of_the_hosts_name() -> None:
    def url(endpoint: str | None, bucket: str) -> str:
        client = client_for(StoreOptions(endpoint_url=endpoint, anonymous=True), bucket)
        signed: str = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
        return signed

    with made_up_credentials():
        host = f"photos-point-{ACCOUNT}.s3-accesspoint.eu-west-1.amazonaws.com"
        assert url(None, ACCESS_POINT) == f"https://{host}/k"
        store = f"http://photos-point-{ACCOUNT}.store.local:9000/k"
        assert url("http://store.local:9000", ACCESS_POINT) == store


def test_what_is_no_arn_of_an_access_point_is_no_bucket() -> None:
    with made_up_credentials(), pytest.raises(UsageError) as caught:
        build_store("s3://arn:aws:s3:::photos/a", StoreOptions(anonymous=True)).list_images(
            lambda reason, uri: None
        )
    assert "\n" not in str(caught.value)
