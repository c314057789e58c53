"""Lists the commands of `objseek`, in groups, in the order of its help."""

from __future__ import annotations

from typing import NamedTuple


class ListedCommand(NamedTuple):
    """`file` is that in commands/, `summary` the first line of the command's help."""

    file: str
    summary: str
    group: str


_GROUPS = {
    "Begin": {
        "demo": (
            "demo",
            "Compose a bucket of scenes, ingest it with the bundled models, and search it.",
        ),
        "doctor": (
            "doctor",
            "Look at versions, devices, memory, room, models, source and index: what is wrong?",
        ),
        "plan": (
            "plan",
            "Say what an ingest will cost before it runs: time, money and storage, part by part.",
        ),
        "init": (
            "init",
            "Set up a collection of a Qdrant server for so many objects, and explain each choice.",
        ),
    },
    "Index": {
        "ingest": (
            "ingest",
            "Segment every image, embed every object, and write both to the index.",
        ),
        "sync": (
            "sync",
            "Ingest what is new or changed, and remove from the index what is gone from its "
            "source.",
        ),
        "watch": (
            "watch",
            "Keep an index in step with its source, as images are added, changed and deleted "
            "there.",
        ),
        "retry": ("retry", "Try the images that failed again, and no others; nothing is listed."),
        "label": (
            "label",
            "Give every object of an index its most likely labels, without embedding anything "
            "again.",
        ),
        "reembed": (
            "reembed",
            "Embed every object of an index with another embedder; nothing is segmented again.",
        ),
        "generations": (
            "reembed",
            "List the generations of an index; use another one, or drop one.",
        ),
    },
    "Search": {
        "search": (
            "search",
            "Search for objects by texts, an image, a region of it, other objects, or all of "
            "these.",
        ),
        "duplicates": (
            "duplicates",
            "List images that are nearly the same, or objects, in groups: what could be deleted.",
        ),
        "map": (
            "map",
            "Lay all objects out in a plane, near to what looks like them, for the page.",
        ),
        "tag": (
            "tag",
            "Tag objects of an index, take tags from them, or list the tags that there are.",
        ),
        "serve": ("serve", "Search an index from a browser, and over HTTP."),
        "keys": ("keys", "Manage the keys of a search service that others can reach."),
    },
    "Segment": {
        "segment": (
            "segment",
            "Segment images: everything, at points and boxes, by a text, or every pixel by labels.",
        ),
        "models": ("models", "List models, or fetch their weights."),
        "tune": (
            "tune",
            "Fit a scorer of points to a segmenter, or with --truth a calibration to an embedder.",
        ),
        "eval": (
            "eval",
            "Score an index against ground truth: are the objects found, and does search find "
            "them?",
        ),
    },
    "Move": {
        "export": ("export", "Write all objects of an index to files that other programs read."),
        "import": (
            "export",
            "Bring an export, masks, or vectors that you already have into an index.",
        ),
        "backup": (
            "backup",
            "Write an index and its manifest to a folder or bucket, from which they can be "
            "restored.",
        ),
        "restore": ("backup", "Restore a backup into an empty index."),
        "migrate": (
            "backup",
            "Copy an index to another place: from a folder to a Qdrant server or a bucket, or "
            "back.",
        ),
    },
    "Operate": {
        "status": (
            "status",
            "Show what an index holds: images by state, objects, models, size on disk.",
        ),
        "failures": ("failures", "List the images that are not in an index, each with the reason."),
        "verify": (
            "verify",
            "Report, image by image, where an index differs from what was written or from its "
            "source.",
        ),
        "optimize": (
            "optimize",
            "Put what was written to an index in order, for quick searches.",
        ),
    },
}
COMMANDS = {
    name: ListedCommand(file, summary, group)
    for group, commands in _GROUPS.items()
    for name, (file, summary) in commands.items()
}
"""Every command by its name."""
