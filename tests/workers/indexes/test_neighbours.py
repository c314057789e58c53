"""The nearest points to many vectors at once, in indexes of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from support.index_cases import embedded, unit, where

from schemas.records import VECTOR_NAME, EmbeddedImage
from workers.indexes.point_index import PointIndex

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


def objects(images: list[EmbeddedImage]) -> dict[str, np.ndarray]:
    return {
        str(record.object_id): record.vectors[VECTOR_NAME]
        for image in images
        for record in image.objects
    }


def test_they_are_those_that_numpy_finds(index: PointIndex) -> None:
    images = [embedded(f"{number}.jpg", unit(number, 4)) for number in range(12)]
    index.replace_images(images)
    vectors, queries = objects(images), unit(99, 5)
    found = index.neighbours(queries, [where("kind", "=", "object")], 7, 0.1)
    assert len(found) == 5
    for query, near in zip(queries, found, strict=True):
        cosines = {name: float(vector @ query) for name, vector in vectors.items()}
        best = sorted((name for name in cosines if cosines[name] > 0.1), key=lambda n: -cosines[n])
        assert [str(name) for name, _ in near] == best[:7]
        assert [score for _, score in near] == pytest.approx([cosines[n] for n in best[:7]], 1e-5)


def test_only_what_meets_the_conditions_and_is_near_enough(index: PointIndex) -> None:
    same = unit(5, 1)[0]
    near = same + 0.1 * unit(6, 1)[0]
    near /= np.linalg.norm(near)
    first, second = (
        embedded("a.jpg", np.stack([same, same])),
        embedded("b.jpg", np.stack([near] * 2)),
    )
    index.replace_images([first, second])
    own, other = str(first.objects[0].object_id), str(second.objects[0].object_id)
    of_objects = [where("kind", "=", "object")]
    (all_near,) = index.neighbours(same[None], of_objects, 5, 0.9)
    assert [str(name) for name, _ in all_near] == [own, other]
    (exact,) = index.neighbours(same[None], of_objects, 5, 0.99999)
    assert [str(name) for name, _ in exact] == [own]
    (elsewhere,) = index.neighbours(same[None], [*of_objects, where("uri", "=", "no")], 5, 0.5)
    assert elsewhere == []


def test_an_empty_index_has_none(index: PointIndex) -> None:
    assert index.neighbours(unit(1, 2), [], 3, 0.5) == [[], []]
