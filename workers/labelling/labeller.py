"""Labels objects from an open vocabulary: the nearest of a list of texts, with probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from schemas.errors import UsageError
from schemas.ids import fingerprint
from schemas.labels import Label, LabelEntry, Naming, parse_labels
from schemas.options import EmbedderOptions, LabelOptions
from schemas.records import VECTOR_NAME, EmbeddedImage, Float32Matrix, ObjectRecord
from workers.durable_files import replace_file
from workers.embedders.numpy_text_encoder import weights_state
from workers.labelling.calibration import Calibration, calibration_of
from workers.models.catalog import DEMO_EMBEDDER, bundled_file
from workers.models.weights import cache_folder
from workers.registry import build_text_embedder

_PROMPT = "a photo of {}"
_DEMO_PROMPT = "{}"
_BUNDLED = {"general": "labels_general.txt", "emoji": "labels_emoji.txt"}
_BATCH_OBJECTS = 4096  # whose probabilities are in memory at a time


class Labeller:
    """Gives objects the labels whose texts their vectors are nearest to.

    The probability of a label is the softmax over the whole list of `scale` times the cosine
    similarity (A. Radford et al., "Learning transferable visual models from natural language
    supervision", 2021), with a calibrated `scale`; see `workers/labelling/calibration.py`.
    Labels with a score of at least `word_score` are sure enough for their words to be searched.
    `calibration`, None: what is known of the embedder. `vectors` float32 (len(entries), dim) are
    unit.
    """

    def __init__(
        self,
        entries: Sequence[LabelEntry],
        vectors: Float32Matrix,
        options: LabelOptions,
        embedder_name: str,
        calibration: Calibration | None = None,
    ) -> None:
        if len(entries) != len(vectors):
            raise ValueError(f"expected a vector for each label, got {len(vectors)}")
        self.entries = tuple(entries)
        self._vectors = vectors
        self.calibration = calibration or calibration_of(embedder_name)
        self._scale = self.calibration.label_scale
        self.word_score = self.calibration.label_score(options.min_word_probability)
        self._top_k = min(options.top_k, len(entries))
        self._min_score = options.min_score
        self.fingerprint = fingerprint(
            {
                "labels": [[entry.name, *entry.keywords] for entry in entries],
                "embedder": embedder_name,
                "scale": self._scale,
                "top_k": options.top_k,
                "min_score": options.min_score,
                "words": ["unicode", self.word_score],
            }
        )

    def name(self, objects: Float32Matrix) -> list[Naming]:
        """At most `top_k` labels for each unit vector of float32 (n, dim)."""
        names: list[Naming] = []
        for start in range(0, len(objects), _BATCH_OBJECTS):
            logits = self._scale * (objects[start : start + _BATCH_OBJECTS] @ self._vectors.T)
            sums = _logsumexp(logits)
            shares = np.exp(logits - sums[:, None])
            nearest = np.argsort(-shares, axis=1, kind="stable")[:, : self._top_k]
            for row, chosen, total in zip(shares, nearest, sums.tolist(), strict=True):
                labels = (Label(self.entries[entry], round(float(row[entry]), 4))
                          for entry in chosen)  # fmt: skip
                likely = tuple(label for label in labels if label.score >= self._min_score)
                names.append(Naming(likely, round(total, 4)))
        return names


def _logsumexp(logits: Float32Matrix) -> npt.NDArray[np.float32]:
    highest = logits.max(axis=1)
    total: npt.NDArray[np.float32] = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    return total


def label_image(image: EmbeddedImage, labeller: Labeller | None) -> EmbeddedImage:
    """`image` with the labels of its objects; as it is without a labeller."""
    if labeller is None:
        return image
    return replace(
        image,
        objects=_name_objects(image.objects, labeller),
        added=_name_objects(image.added, labeller),
        labelled_by=labeller.fingerprint,
        word_score=labeller.word_score,
    )


def _name_objects(records: Sequence[ObjectRecord], labeller: Labeller) -> tuple[ObjectRecord, ...]:
    if not records:
        return ()
    vectors = np.array([record.vectors[VECTOR_NAME] for record in records], np.float32)
    namings = labeller.name(vectors)
    return tuple(
        replace(record, naming=naming) for record, naming in zip(records, namings, strict=True)
    )


def build_labeller(
    options: LabelOptions,
    embedder: EmbedderOptions,
    cache_dir: Path | None = None,
    calibration: Calibration | None = None,
) -> Labeller | None:
    """The labeller that `options` name, None for none, in the vector space of `embedder`.

    `calibration` is the embedder's; None: what is known of it. The labels' vectors are cached in
    `cache_dir`: a large model takes long for thousands of texts.
    Raises UsageError for a list that cannot be read, and what `build_text_embedder` raises.
    """
    entries = entries_of(options, embedder.name)
    if entries is None:
        return None
    texts = texts_of(entries, embedder.name)
    cached = cache_folder(cache_dir).parent / "labels" / f"{_key(texts, embedder.name)}.npy"
    vectors = _read_vectors(cached, len(entries))
    if vectors is None:
        vectors = build_text_embedder(embedder).embed_texts(texts)
        _cache_vectors(cached, vectors)
    return Labeller(entries, vectors, options, embedder.name, calibration)


def texts_of(entries: Sequence[LabelEntry], embedder_name: str) -> list[str]:
    """What is embedded of each label."""
    prompt = _DEMO_PROMPT if embedder_name == DEMO_EMBEDDER else _PROMPT
    return [prompt.format(entry.name) for entry in entries]


def entries_of(options: LabelOptions, embedder_name: str) -> tuple[LabelEntry, ...] | None:
    """The list that `options` name, None for none. Raises UsageError if it cannot be read."""
    names = options.names
    if names == "none":
        return None
    if names == "auto":
        names = "emoji" if embedder_name == DEMO_EMBEDDER else "general"
    path = bundled_file(_BUNDLED[names]) if names in _BUNDLED else Path(names).expanduser()
    try:
        return parse_labels(path.read_text(encoding="utf-8").splitlines())
    except OSError as exc:
        raise UsageError(f"the list of labels {path} cannot be read: {exc.strerror}") from exc
    except (UnicodeDecodeError, ValueError) as exc:
        raise UsageError(f"the list of labels {path} is not valid: {exc}") from exc


def _key(texts: Sequence[str], embedder_name: str) -> str:
    return fingerprint(
        {"texts": list(texts), "embedder": embedder_name, "weights": weights_state(embedder_name)}
    )


def _read_vectors(path: Path, count: int) -> Float32Matrix | None:
    try:
        vectors = np.load(path)
    except (OSError, ValueError):
        return None
    whole = vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == count
    return vectors if whole else None


def _cache_vectors(path: Path, vectors: Float32Matrix) -> None:
    # The cache only saves time: it is no error if it cannot be written.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path, private=True) as file:
            np.save(file, vectors)
