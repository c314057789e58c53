"""Files of queries: what may stand in them, and what is said of what may not."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from pipeline.evaluation.search.query_file import (
    JudgedQuery,
    RightAnswers,
    read_queries,
    write_queries,
)
from pipeline.evaluation.search.query_result import QueryKind
from schemas.errors import DatasetError, UsageError
from schemas.search import Condition

ID = "11111111-2222-5333-8444-555555555555"


def test_each_kind_of_query_is_read(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(
        "\ufeff"
        f'{{"text": "a red mug", "right": {{"objects": ["{ID.upper()}", "{ID}"]}}}}\r\n'
        "\n"
        '{"image": "s3://b/1.jpg", "box_xyxy": [1, 2, 3.0, 4], "right": {"labels": ["mug"]}}\n'
        f'{{"object": "{ID}", "name": "mine", "filter": ["area_frac>0.1"], "right": {{}}}}'
    )
    text, image, item = read_queries(path)
    assert (text.number, image.number, item.number) == (1, 3, 4)
    assert text.query.right.objects == (ID,)
    assert [one.query.kind for one in (text, image, item)] == list(QueryKind)
    assert image.query.box_xyxy == (1, 2, 3, 4)
    assert [one.name for one in (text, image, item)] == [
        "a red mug", "s3://b/1.jpg at 1,2,3,4", "mine",
    ]  # fmt: skip
    assert item.query.conditions == (Condition(field="area_frac", op=">", value=0.1),)
    assert not item.query.right.labels


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    queries = [
        JudgedQuery(text='a "süß" mug\n', right=RightAnswers(labels=("mug", "cup"))),
        JudgedQuery(text="gone", filter=("image_id!=x",), right=RightAnswers()),
        JudgedQuery(object=str(uuid.UUID(ID)), name="n", right=RightAnswers(objects=(ID,))),
        JudgedQuery(image="a b.jpg", box_xyxy=(0, 0, 1, 1), right=RightAnswers()),
    ]
    path = tmp_path / "q.jsonl"
    write_queries(path, queries)
    assert [line.query for line in read_queries(path)] == queries
    assert "süß" in path.read_text("utf-8")
    with pytest.raises(UsageError, match="the queries cannot be written to"):
        write_queries(tmp_path / "none" / "q.jsonl", queries)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "expected a JSON object, got '{'"),
        ("[1]", "expected a JSON object, got [1]"),
        ('{"text": "a"}', "expected right, an object with lists of objects or labels"),
        ('{"right": {}}', "expected one of text, image, object, got none"),
        ('{"text": " ", "right": {}}', "expected a text to search for, got a blank one"),
        ('{"text": 4, "right": {}}', "expected text to be a text of at most 1,000 characters, got"),
        (
            f'{{"text": "a", "object": "{ID}", "right": {{}}}}',
            "expected one of text, image, object, got text and object",
        ),
        (
            '{"object": "x", "right": {}}',
            "object: expected the id of an indexed object, as a search prints it, got 'x'",
        ),
        (
            '{"text": "a", "right": {"objects": ["x"]}}',
            "objects: expected the id of an indexed object, as a search prints it, got 'x'",
        ),
        (
            '{"text": "a", "right": {}, "box": 3}',
            "expected one of name, text, image, box_xyxy, object, filter, right, got box",
        ),
        (
            '{"text": "a", "right": {"label": ["mug"]}}',
            "expected one of objects, labels, got right.label",
        ),
        ('{"text": "a", "right": {"labels": "mug"}}', "expected labels to be a list of labels"),
        ('{"image": "a.jpg", "right": {}}', "expected image and box_xyxy together, got no box"),
        ('{"text": "a", "box_xyxy": [1, 2, 3, 4], "right": {}}', "expected image and box_xyxy"),
        (
            '{"image": "a.jpg", "box_xyxy": [1, 2, 3], "right": {}}',
            "expected box_xyxy to be four whole numbers x0, y0, x1, y1, got [1, 2, 3]",
        ),
        (
            '{"image": "a.jpg", "box_xyxy": [5, 2, 3, 4], "right": {}}',
            "expected box_xyxy as x0, y0, x1, y1, got 5,2,3,4",
        ),
        ('{"text": "a", "filter": ["size>3"], "right": {}}', "filter: "),
        ('{"text": "a", "filter": "a=b", "right": {}}', "expected filter to be a list of at most"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_its_line(
    line: str, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(f'{{"text": "fine", "right": {{}}}}\n\n{line}\n')
    with pytest.raises(DatasetError) as caught:
        read_queries(path)
    assert str(caught.value).startswith(f"{path}, line 3: {sentence}")
    assert "\n" not in str(caught.value)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot be read: No such file"):
        read_queries(tmp_path / "none.jsonl")
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="expected queries in UTF-8"):
        read_queries(path)
    path.write_text("\n \n")
    with pytest.raises(DatasetError, match=r"expected a query a line in .*, it has none"):
        read_queries(path)
