"""The options of the commands that run the pipeline, declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from pipeline.settings import Settings

Load = Callable[..., "Settings"]
"""Makes the settings from what the command line gave; sections and values given to it are added."""

_STORE = "Object store"
_MODELS = "Models"
_RUN = "How it runs"

Sources = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE...", help="s3://bucket/prefix, a folder, a file or a glob."),
]
Index = Annotated[
    str | None,
    typer.Option(help="A folder, or http(s)://host:6333/collection.", show_default="objseek-index"),
]
Config = Annotated[
    Path | None,
    typer.Option(
        envvar="OBJSEEK_CONFIG",
        help="A TOML file of settings. Variables OBJSEEK_SECTION__KEY stand above it, options "
        "above both.",
    ),
]
StatePlace = Annotated[
    str | None,
    typer.Option(
        "--state",
        help="Where the record of each image is kept: a folder or s3://bucket/prefix, which jobs "
        "on several machines may share.",
        show_default="with the index",
    ),
]
EndpointUrl = Annotated[
    str | None, typer.Option(help="Of an S3 store that is not AWS.", rich_help_panel=_STORE)
]
Profile = Annotated[str | None, typer.Option(help="AWS profile.", rich_help_panel=_STORE)]
Anonymous = Annotated[
    bool | None,
    typer.Option("--anonymous/--signed", help="Without credentials.", rich_help_panel=_STORE),
]
RequesterPays = Annotated[
    bool | None,
    typer.Option(
        "--requester-pays/--owner-pays", help="Pay for the requests.", rich_help_panel=_STORE
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        help="Only images whose whole key (a file: absolute path) matches this pattern, such as "
        "'*/2026/*.jpg' (again for more).",
        rich_help_panel=_STORE,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(help="No keys that match this pattern (again for more).", rich_help_panel=_STORE),
]
SegmenterName = Annotated[
    str | None,
    typer.Option(
        "--segmenter",
        help="See `objseek models`.",
        show_default="sam_demo",
        rich_help_panel=_MODELS,
    ),
]
EmbedderName = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        help="clip_demo, architecture/pretrained of open_clip, or local-dir:FOLDER.",
        show_default="clip_demo",
        rich_help_panel=_MODELS,
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"] | None,
    typer.Option(help="For both models.", show_default="auto", rich_help_panel=_MODELS),
]
Preset = Annotated[
    Literal["fast", "balanced", "thorough"] | None,
    typer.Option(
        help="How closely to look: fast misses small objects, thorough takes some times as long.",
        show_default="balanced",
        rich_help_panel=_MODELS,
    ),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"] | None,
    typer.Option(
        help="For both models; auto: bf16 where it is faster.",
        show_default="auto",
        rich_help_panel=_MODELS,
    ),
]
RunnerName = Annotated[
    Literal["ray", "local"] | None,
    typer.Option(
        "--runner", help="local: all in one process.", show_default="ray", rich_help_panel=_RUN
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Processes that run the models.", show_default="1", rich_help_panel=_RUN),
]
BatchSize = Annotated[
    int | None, typer.Option(help="Images in a chunk.", show_default="8", rich_help_panel=_RUN)
]
RayAddress = Annotated[
    str | None,
    typer.Option(help="A Ray cluster that runs already; auto finds it.", rich_help_panel=_RUN),
]
StallTimeout = Annotated[
    float | None,
    typer.Option(
        help="Seconds after which a run that gets no further ends, and images that hang are found.",
        show_default="300",
        rich_help_panel=_RUN,
    ),
]
MaxDelete = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="The largest share of what is there that may be deleted; 1: all.",
        show_default="0.1",
    ),
]


def with_settings(command: Callable[..., None], *, models: bool = True) -> Callable[..., None]:
    """The command with an option for every setting that is worth one; it takes them as `load`.

    Settings are not made before the command asks for them, so that what is wrong with them is told
    as every other error is. Without `models` it gets no options for models and for how they run.
    """
    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own["load"]
    shared = dict(inspect.signature(_of_places, eval_str=True).parameters)
    if models:
        shared |= inspect.signature(_of_models, eval_str=True).parameters

    @wraps(command)
    def wrapped(**given: Any) -> None:
        options = {name: given.pop(name) for name in shared}
        command(load=partial(_load, options), **given)

    # Typer reads these, and they are evaluated already.
    signature = inspect.Signature([*own.values(), *shared.values()])
    wrapped.__signature__ = signature  # type: ignore[attr-defined]
    wrapped.__annotations__ = {}
    return wrapped


def _of_places(
    index: Index = None,
    state: StatePlace = None,
    config: Config = None,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    anonymous: Anonymous = None,
    requester_pays: RequesterPays = None,
    include: Include = None,
    exclude: Exclude = None,
) -> None:
    """Where images and their index are."""


def _of_models(
    segmenter: SegmenterName = None,
    embedder: EmbedderName = None,
    device: Device = None,
    preset: Preset = None,
    precision: Precision = None,
    runner: RunnerName = None,
    workers: Workers = None,
    batch_size: BatchSize = None,
    ray_address: RayAddress = None,
    stall_timeout: StallTimeout = None,
) -> None:
    """What is done to images, and how it runs."""


def _load(given: Mapping[str, Any], **more: Any) -> Settings:
    from pipeline.settings import load_settings

    def section(*names: str) -> dict[str, Any]:
        return {name: given.get(name) for name in names}

    both = section("device", "precision")
    overrides = {
        "store": {
            **section("endpoint_url", "profile", "anonymous", "requester_pays"),
            "include": given["include"] or None,
            "exclude": given["exclude"] or None,
        },
        "segmenter": {"name": given.get("segmenter"), **section("preset"), **both},
        "embedder": {"name": given.get("embedder"), **both},
        "index": {"location": given["index"], "state": given["state"]},
        "runner": {
            "name": given.get("runner"),
            "stall_timeout_s": given.get("stall_timeout"),
            **section("workers", "batch_size", "ray_address"),
        },
        **more,
    }
    return load_settings(given["config"], overrides)
