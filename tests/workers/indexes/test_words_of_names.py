# ruff: noqa: RUF001
"""Names in every script and form are found by their own words; their keys stay as they are."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.index_cases import DIM, embedded, one_index, where

from schemas.labels import Label, LabelEntry
from schemas.points import IndexQuery
from workers.indexes.bm25 import query_words, uri_text, words_of
from workers.indexes.point_index import PointIndex
from workers.indexes.word_segmentation import (
    normalize_words,
    segment_document,
    segment_query,
    words_of_name,
)

pytestmark = pytest.mark.trials


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


# A name of a file, and what is typed to find it.
NAMES = [
    ("plain_zebrafish_01.jpg", "zebrafish"),
    (nfd("Äpfel im Korb.jpg"), "Äpfel"),
    ("Birnenkörbe.jpg", nfd("birnenkörbe")),
    (nfd("Übernachtung.heic"), "übernachtung"),
    (nfd("Jérôme à la plage.png"), "JÉRÔME"),
    ("straße_bei_nacht.jpg", "STRASSE"),
    ("GROSSSTADT.jpg", "großstadt"),
    (nfd("Tiếng Việt phở bò.jpg"), "phở"),
    (nfd("Žižkov-večer.jpg"), "večer"),
    ("żółw.webp", nfd("ŻÓŁW")),
    ("Ångström.tif", nfd("ångström")),
    ("İstanbul boğazı.jpg", "istanbul"),
    ("boğaziçi.jpg", "BOĞAZİÇİ"),
    ("ＦＵＬＬＷＩＤＴＨ.jpg", "fullwidth"),
    ("ﬁreﬂies.jpg", "fireflies"),
    ("soft\u00adhyphen\u00adated.jpg", "softhyphenated"),
    ("l’été-dernier.jpg", "été"),
    ("rock'n'roller.jpg", "roller"),
    ("Ελλάδα ΘΆΛΑΣΣΑ.jpg", "θάλασσα"),
    ("οδός.jpg", "ΟΔΌΣ"),
    ("закат_над_морем.jpg", "ЗАКАТ"),
    (nfd("йогурт.jpg"), "йогурт"),
    ("Україна_їжа.jpg", nfd("їжа")),
    ("ქართული_ღვინო.jpg", "ღვინო"),
    ("հայաստան.jpg", "ՀԱՅԱՍՏԱՆ"),
    ("שלום_עולם.jpg", "עולם"),
    ("غروب الشمس.jpg", "الشمس"),
    ("می\u200cخواهم.jpg", "میخواهم"),
    ("کتاب\u200cخانه.jpg", "کتاب\u200cخانه"),
    ("मैसूर पैलेस.jpg", "मैसूर"),
    ("पुराना_महल.jpg", "महल"),
    ("कर्नाटक.jpg", "कर्नाटक"),
    ("नाटक.jpg", "नाटक"),
    ("क्षत्रिय.png", "क्षत्रिय"),
    ("২০২৬_বৃষ্টি.jpg", "বৃষ্টি"),
    ("ਪੰਜਾਬ ਖੇਤ.jpg", "ਖੇਤ"),
    ("ગુજરાત-પતંગ.jpg", "પતંગ"),
    ("ଓଡ଼ିଶା.jpg", "ଓଡ଼ିଶା"),
    ("தமிழ்நாடு_கோயில்.jpg", "கோயில்"),
    ("తెలుగు_పూలు.jpg", "పూలు"),
    ("ಕನ್ನಡ ಹೂವು.jpg", "ಹೂವು"),
    ("മലയാളം_മഴ.jpg", "മഴ"),
    ("සිංහල_මල්.jpg", "මල්"),
    ("བཀྲ་ཤིས་བདེ་ལེགས.jpg", "ཤིས"),
    ("ภาพถ่ายทะเล.jpg", "ภาพถ่าย"),
    ("แมวน้ำ.jpg", "น้ำ"),
    ("เชียงใหม่.jpg", "เชียงใหม่"),
    ("ວຽງຈັນ.jpg", "ວຽງຈັນ"),
    ("ភ្នំពេញ.jpg", "ភ្នំពេញ"),
    ("ស្រី\u200bស្អាត.jpg", "ស្អាត"),
    ("ရန်ကုန်မြို့.jpg", "ရန်ကုန်"),
    ("東京タワー夜景.jpg", "東京"),
    ("夜の京都.jpg", "京都"),
    ("猫.jpg", "猫"),
    ("黒犬二匹.jpg", "犬"),
    ("ﾊﾟﾝｹｰｷ.jpg", "パンケーキ"),
    (nfd("ガラパゴス.jpg"), "ガラパゴス"),
    ("さくら咲く.jpg", "さくら"),
    ("佐々木さん.jpg", "佐々木"),
    ("二〇二六年.jpg", "二〇二六"),
    ("长城-2019.jpg", "长城"),
    ("萬里長城風景.jpg", "長城"),
    (nfd("서울여행사진.jpg"), "여행"),
    ("제주도에서.jpg", "제주도"),
    ("२०२५ मेला.jpg", "2025"),
    ("٢٠٢٤.jpg", "٢٠٢٤"),
    ("🐶 wauwau 🐾.jpg", "wauwau"),
    ("family👨\u200d👩\u200d👧reunion.jpg", "reunion"),
    ("no suffix. Mühlen am Bach", "mühlen"),
    ("trailing.dots...quince.jpg", "quince"),
    ("ordner äöü/unter ordner/Flöße.jpg", "flösse"),
    ("100%_orangensaft.jpg", "orangensaft"),
    ("name\nwith\tcontrols_kumquat.jpg", "kumquat"),
    ("z\u0307\u0323algo_c\u0327\u0301athedral.jpg", "ḉathedral"),
    ("n\u0308onprecomposed.jpg", "n\u0308onprecomposed"),
    ("x²_quadratic.jpg", "quadratic"),
    ("ⅷ_henry.jpg", "henry"),
    ("ⓒⓘⓡⓒⓛⓔⓓ.jpg", "circled"),
    ("ꓡꓲꓢꓴ.jpg", "ꓡꓲꓢꓴ"),
    ("ᏣᎳᎩ.jpg", "ꮳꮃꭹ"),
    ("አማርኛ_ቡና.jpg", "ቡና"),
    ("ߒߞߏ.jpg", "ߒߞߏ"),
    ("𝓯𝓪𝓷𝓬𝔂.jpg", "fancy"),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PointIndex]:
    """Every name's object is as far from the query's vector as can be; others are near it."""
    near, far = np.eye(DIM, dtype=np.float32)[:1], -np.eye(DIM, dtype=np.float32)[:1]
    with one_index("edge", tmp_path_factory.mktemp("names")) as made:
        images = [embedded(name, np.concatenate([far, far])) for name, _ in NAMES]
        images += [
            embedded(f"img_{number:04d}.jpg", np.concatenate([near, near])) for number in range(40)
        ]
        made.replace_images(images)
        yield made


@pytest.mark.parametrize(("name", "typed"), NAMES, ids=[f"{n}" for n in range(len(NAMES))])
def test_a_name_is_found_first_by_its_own_word(index: PointIndex, name: str, typed: str) -> None:
    query = IndexQuery(
        np.eye(DIM, dtype=np.float32)[0],
        100,  # so that ranks of all points are fused
        (where("kind", "=", "object"),),
        words=query_words([typed]),
    )
    assert index.search(query)[0].payload.key == name


def test_there_are_enough_names() -> None:
    assert len(NAMES) > 60
    assert len({name for name, _ in NAMES}) == len(NAMES)


@pytest.mark.parametrize(
    ("text", "document", "query"),
    [
        ("東京タワー", "東 京 東京 京タ タワ ワー", "東京 京タ タワ ワー"),
        ("猫", "猫", "猫"),
        ("ねこ", "ねこ", "ねこ"),
        ("ね", "ね", "ね"),
        ("iPhone写真", "iphone 写 真 写真", "iphone 写真"),
        ("T-shirt", "t-shirt", "t-shirt"),
        ("don't", "don't", "don't"),
        ("", "", ""),
        ("\u0301", "\u0301", "\u0301"),
        ("\u200b\u00ad", " ", " "),
    ],
)
def test_runs_without_blanks_become_pairs(text: str, document: str, query: str) -> None:
    assert segment_document(text) == document
    assert segment_query(text) == query


def test_what_says_nothing_is_no_word_of_a_name() -> None:
    assert words_of_name("a_1_23_456_x-7") == []
    assert words_of_name("IMG_20260131_ü.v2") == ["img", "20260131"]
    assert uri_text("s3://bucket/.jpg") == "jpg"
    assert uri_text("s3://bucket/a.b/c.tar.gz") == "tar"
    # Bytes that are no UTF-8 end a word and break nothing.
    assert uri_text("s3://bucket/caf%E9%20noir.jpg") == "caf noir"


@pytest.mark.parametrize("word", ["beach", "a red mug", "T-shirt", "café", "закат", "3d 2026"])
def test_words_of_before_are_still_the_same(word: str) -> None:
    """An index that is older has the numbers that Qdrant gives these words by itself."""
    import qdrant_edge

    older = qdrant_edge.Bm25(qdrant_edge.Bm25Config(language="english", avg_len=8))
    words = query_words([word])
    assert words is not None
    assert set(older.embed_query(word).indices) == set(words.indices.tolist())
    assert set(words.values.tolist()) == {1.0}
    document = words_of([Label(LabelEntry(word), 1.0)], "s3://b/")
    assert set(document.indices.tolist()) == set(words.indices.tolist())


@pytest.mark.parametrize("word", ["東京タワー", "ภาพถ่าย", "STRASSE", "कर्नाटक", "straße"])
def test_what_an_older_index_split_otherwise_is_still_found(word: str) -> None:
    import qdrant_edge

    older = qdrant_edge.Bm25(qdrant_edge.Bm25Config(language="english", avg_len=8))
    words = query_words([word])
    assert words is not None
    assert set(older.embed_query(word).indices) <= set(words.indices.tolist())


TEXTS = st.text(max_size=60)


@given(TEXTS)
def test_any_text_has_words_in_every_form(text: str) -> None:
    forms = {normalize_words(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert len(forms) == 1
    once = normalize_words(text)
    assert normalize_words(once) == once
    query_words([text])


@given(st.text(st.characters(categories=("L", "M", "Nd")), min_size=2, max_size=12))
def test_any_name_has_the_words_that_are_typed_for_it(name: str) -> None:
    document = words_of([], f"s3://bucket/{quote(name)}")
    typed = [query_words([word]) for word in words_of_name(name)]
    held = set(document.indices.tolist())
    exact = {
        int(index)
        for words in typed
        if words is not None
        for index, value in zip(words.indices, words.values, strict=True)
        if value == 1.0
    }
    assert exact <= held
