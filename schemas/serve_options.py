"""How the search service lets itself be reached, and the limits of what it is sent."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ServeOptions(BaseModel):
    """The search service. On loopback it needs no key, unless a file of `keys` is named.

    Limits are of one request: `request_timeout_s` for its answer, `body_timeout_s` until its body
    has come, `max_body_kb` and `max_upload_mb` (KiB, MiB) for that. A key, or a client without one,
    may ask `requests_per_minute` times. `cors_origins` are origins of other sites whose pages may
    ask; `allowed_hosts` are names that this service is called by, beside those of loopback.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65_535)
    keys: str | None = None
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    request_timeout_s: float = Field(default=30.0, gt=0)
    body_timeout_s: float = Field(default=15.0, gt=0)
    max_body_kb: int = Field(default=256, ge=1)
    max_upload_mb: int = Field(default=20, ge=1)
    max_upload_pixels: int = Field(default=40_000_000, ge=1)
    requests_per_minute: int = Field(default=6000, ge=1)
