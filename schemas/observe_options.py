"""How a run lets itself be observed: metrics, logs, traces."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.redaction import redact


class ObserveOptions(BaseModel):
    """Metrics, logs and traces; by default none leaves the process, and logs are for people.

    Metrics of a job are served at `metrics_host:metrics_port`, port 0 being any free one, and
    pushed to the `push_gateway` at this URL every `push_every_s` and at the end. With `log_format`
    json, events are JSON on standard error, a line each, and the counts of a run come every
    `progress_every_s`. With `traces` otlp, a share `trace_share` of images and searches is traced.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    metrics_port: int | None = Field(default=None, ge=0, le=65_535)
    metrics_host: str = "127.0.0.1"
    push_gateway: str | None = None
    push_every_s: float = Field(default=15.0, gt=0)
    log_format: Literal["text", "json"] = "text"
    progress_every_s: float = Field(default=30.0, gt=0)
    traces: Literal["none", "otlp"] = "none"
    trace_share: float = Field(default=0.01, ge=0, le=1)

    @field_validator("push_gateway")
    @classmethod
    def _check_gateway(cls, url: str | None) -> str | None:
        if url is not None and re.match(r"https?://[^\s/]", url) is None:
            raise ValueError(f"expected a URL such as http://pushgateway:9091, got {redact(url)!r}")
        return url
