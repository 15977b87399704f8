"""The labelling configuration: any class name comes back as it went, in every form."""

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.errors import LabelStudioError
from clipcache.label_studio.labelling import BROKEN, FEW, extended, folded, make, read

ODD = ["<img src=x onerror=alert(1)>", 'say "hi"', "it's", "a & b", "$5 note", "1", "é ☂", "]]>"]
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda name: " ".join(name.split()) == name
)


def elements(config: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(config).iter(tag))


@given(st.lists(NAMES, min_size=1, max_size=2 * FEW, unique_by=folded))
def test_every_name_comes_back(names: list[str]) -> None:
    form = read(make(names), "it")
    assert form.names == names
    for name in (*names, BROKEN):
        assert form.choice(form.result(name)) == name


def test_few_classes_stand_in_one_list_and_many_have_buttons_and_a_search() -> None:
    few, many = (read(make([f"class {i}" for i in range(n)]), "it") for n in (FEW, FEW + 1))
    assert (few.kind, few.buttons) == ("choices", None)
    assert (many.kind, many.buttons) == ("taxonomy", "class")
    assert many.result("class 3")[0]["from_name"] == "class"
    assert [option["hotkey"] for option in many.options(["a", "b"])] == ["1", "2", "0"]


def test_no_name_is_markup_or_a_variable_of_label_studio() -> None:
    for count in (0, FEW):
        config = make([*ODD, *(f"class {i}" for i in range(count))])
        assert not elements(config, "img")
        for tag in elements(config, "Choice"):
            assert "$" not in tag.get("value", "")


def test_what_is_searched_for_counts_more_than_the_button_that_was_pressed_already() -> None:
    form = read(make([f"class {i}" for i in range(FEW + 1)]), "it")
    found = {"from_name": "another", "type": "taxonomy", "value": {"taxonomy": [["class 9"]]}}
    assert form.choice([*form.result("class 3"), found]) == "class 9"
    assert form.choice([found]) == "class 9"


@pytest.mark.parametrize(
    "result",
    [
        [],
        [{"from_name": "class", "type": "choices", "value": {"choices": []}}],
        [{"from_name": "class", "type": "choices", "value": {"choices": ["a", "b"]}}],
        [{"from_name": "note", "type": "textarea", "value": {"text": ["a"]}}],
        [{"from_name": "class", "type": "choices", "value": {}}],
        [{"from_name": "class", "type": "choices", "value": None}],
        [{"from_name": "class", "type": ["choices"], "value": {"choices": ["a"]}}],
        *(
            [{"from_name": "class", "type": kind, "value": {kind: chosen}}]
            for kind in ("choices", "taxonomy")
            for chosen in (
                "a",
                5,
                None,
                [""],
                [" "],
                [None],
                [5],
                [["a", None]],
                [[]],
                [["a", " "]],
            )
        ),
        [{"type": "relation"}],
        [None],
        ["a"],
        {"a": "b"},
        "a",
        5,
        None,
    ],
)
def test_an_answer_without_one_class_is_none(result: Any) -> None:
    """Whatever a program wrote there: an export holds it just the same."""
    assert read(make(["a", "b"]), "it").choice(result) is None


def test_a_choice_without_a_name_is_no_class() -> None:
    choices = '<Choice value="a"/><Choice value=""/><Choice value=" "/><Choice/>'
    choices += '<Choice value="b" alias=" "/><Choice alias="c"/>'
    image = '<Image name="i" value="$i"/>'
    form = read(f'<View>{image}<Choices name="h" toName="i">{choices}</Choices></View>', "it")
    assert form.names == ["a", "b", "c"]
    assert form.choice([{"from_name": "h", "type": "choices", "value": {"choices": [""]}}]) is None


def test_a_configuration_of_somebody_else_is_read_and_only_added_to() -> None:
    theirs = (
        '<View><!-- ours --><Image name="photo" value="$url" zoom="true"/>'
        '<Choices name="what" toName="photo"><Choice value="Coat"/><Choice alias="hat" value="H"/>'
        '</Choices><TextArea name="note" toName="photo"/></View>'
    )
    form = read(theirs, "it")
    assert (form.image, form.image_key, form.holder) == ("photo", "url", "what")
    assert form.names == ["Coat", "hat"]
    assert form.says["H"] == "hat"
    assert form.result("coat")[0]["value"] == {"choices": ["Coat"]}
    more = extended(theirs, ["coat", "hat", "scarf"], "it")
    assert more is not None
    assert read(more, "it").names == ["Coat", "hat", "scarf"]
    assert BROKEN in read(more, "it").says
    assert "<!-- ours -->" in more
    assert 'zoom="true"' in more
    assert extended(more, ["scarf"], "it") is None


@pytest.mark.parametrize(
    "config",
    [
        "",
        "no xml",
        "<View/>",
        '<View><Image name="i" value="$image"/></View>',
        '<View><Image name="i" value="$image"/><Choices name="c" toName="i"/></View>',
        '<View><Text name="i" value="$t"/><Choices name="c" toName="i"><Choice value="a"/>'
        "</Choices></View>",
        '<View><Image name="i" value="$a"/><Image name="j" value="$b"/>'
        '<Choices name="c" toName="i"><Choice value="a"/></Choices></View>',
        '<View><Image name="i" value="$a"/>'
        '<Choices name="c" toName="i"><Choice value="a"/></Choices>'
        '<Choices name="d" toName="i"><Choice value="a"/></Choices></View>',
    ],
)
def test_a_configuration_of_another_kind_is_refused(config: str) -> None:
    with pytest.raises(LabelStudioError, match="project 3 at http://x"):
        read(config, "project 3 at http://x")
