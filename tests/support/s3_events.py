"""Messages as S3 sends them."""

from __future__ import annotations

import json


def s3_event(*keys: str, source: str = "aws:s3", bucket: str = "photos") -> str:
    """As S3 sends it, with much of what else is in it."""
    return json.dumps(
        {
            "Records": [
                {
                    "eventVersion": "2.3",
                    "eventSource": source,
                    "awsRegion": "eu-west-1",
                    "eventTime": "2026-01-31T12:00:00.000Z",
                    "eventName": "ObjectCreated:Put",
                    "s3": {
                        "s3SchemaVersion": "1.0",
                        "configurationId": "all",
                        "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
                        "object": {"key": key, "size": 1024, "eTag": "d41d8cd9", "sequencer": "0"},
                    },
                }
                for key in keys
            ]
        }
    )
