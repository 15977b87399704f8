"""The labelling configuration: what an annotator sees, as XML, and what an answer may say.

Up to FEW classes stand beside the image, each with a key of its own. More of them do not fit: a
list of 247 runs off the screen, `layout="select"` is a list without a search, and `Filter` does not
work on `Choices` (HumanSignal/label-studio#2967, #7347). So the five likeliest stand there with the
keys 1 to 5, and a `Taxonomy` below has a search over all; what is chosen there counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from clipcache.errors import LabelStudioError

FEW = 20
"""Classes that are shown all at once; Label Studio gives the first 25 or so a key."""
BROKEN = "broken / not one of these"
"""What is chosen for an image that cannot be seen, or shows none of the classes."""
NO_GUESS = "no suggestion yet"
"""What stands in the place of suggestions; an empty text is shown as an error."""

DOLLAR = "\uff04"
"""A dollar sign, for people: Label Studio takes the word after "$" for the name of a variable."""

HOLDERS = {"Choices": "choices", "Taxonomy": "taxonomy"}
"""Tags that classes may stand in, and what their answers are called."""


@dataclass(frozen=True)
class Form:
    """What a labelling configuration has for us."""

    image: str
    """Name of the image."""
    image_key: str
    """Where its address stands in a task's data."""
    holder: str
    """Name of the tag that all classes stand in."""
    kind: str
    """What an answer of that tag is called: "choices" or "taxonomy"."""
    buttons: str | None
    """Name of the tag whose classes each task brings along, the likeliest ones."""
    buttons_key: str | None
    """Where they stand in a task's data."""
    says: dict[str, str] = field(repr=False)
    """What an answer may say -> the class it means."""

    @property
    def names(self) -> list[str]:
        """All classes, without what stands for none of them."""
        return [name for name in dict.fromkeys(self.says.values()) if name != BROKEN]

    def result(self, name: str) -> list[dict[str, Any]]:
        """Return an answer of this form that chooses a class, as predictions hold it."""
        tag, kind = (self.buttons, "choices") if self.buttons else (self.holder, self.kind)
        name = {folded(there): there for there in self.names}.get(folded(name), name)
        chosen: list[Any] = [name] if kind == "choices" else [[name]]
        return [{"from_name": tag, "to_name": self.image, "type": kind, "value": {kind: chosen}}]

    def choice(self, result: Any) -> str | None:
        """Return the class that an answer chooses; None where it chooses none, or several.

        A program may have written anything into an annotation: what is no name is no class. What
        was searched for counts more than a button, which the prediction had pressed.
        """
        found: dict[str, list[Any]] = {}
        for part in result if isinstance(result, list) else []:
            match part:
                case {"from_name": str(tag), "type": str(kind), "value": dict(value)}:
                    found.setdefault(tag, []).extend(_ends(kind, value))
        chosen = found.get(self.holder) or found.get(self.buttons or "", [])
        if len(chosen) != 1 or not isinstance(chosen[0], str) or not chosen[0].strip():
            return None
        return self.says.get(chosen[0], chosen[0])

    def options(self, names: Sequence[str]) -> list[dict[str, str]]:
        """Return what the buttons of a task are: the likeliest classes, and none of them."""
        keyed = [(str(place), name) for place, name in enumerate(names, start=1)]
        return [{**_choice(name), "hotkey": key} for key, name in [*keyed, ("0", BROKEN)]]


def folded(name: str) -> str:
    """Return what two spellings of one class have in common, as `Run.add_class` compares them."""
    return " ".join(name.split()).casefold()


def make(names: Sequence[str]) -> str:
    """Return a labelling configuration for these classes.

    The image stands on the left, what is to be chosen on the right, in sight without scrolling.
    """
    root = Element("View", style="display: flex; gap: 1em")
    left = SubElement(root, "View", style="flex: 1 1 55%")
    SubElement(left, "Image", name="image", value="$image")
    right = SubElement(root, "View", style="flex: 1 1 45%; max-height: 80vh; overflow-y: auto")
    SubElement(right, "Text", name="suggested", value="$likely")
    to_image = {"toName": "image"}
    if len(names) <= FEW:
        single = {"choice": "single", "required": "true"}
        holder = SubElement(right, "Choices", {"name": "class", **to_image, **single})
    else:
        likeliest = {"name": "class", **to_image, "choice": "single", "value": "$options"}
        SubElement(right, "Choices", likeliest)
        one = {"maxUsages": "1", "leafsOnly": "true", "placeholder": "another class"}
        holder = SubElement(right, "Taxonomy", {"name": "another", **to_image, **one})
    for name in (*names, BROKEN):
        SubElement(holder, "Choice", _choice(name))
    return ElementTree.tostring(root, encoding="unicode")


def read(config: str, project: str) -> Form:
    """Return what a configuration, ours or somebody's own, has for us.

    Raises LabelStudioError, naming the `project`, unless it shows one image and has one tag with
    classes for it.
    """
    root = _parse(config, project)
    images = [tag for tag in root.iter("Image") if tag.get("value", "").startswith("$")]
    image = images[0].get("name", "") if len(images) == 1 else None
    about = [tag for tag in root.iter() if tag.tag in HOLDERS and tag.get("toName") == image]
    holders = [tag for tag in about if tag.find(".//Choice") is not None]
    buttons = [tag for tag in about if tag.get("value", "").startswith("$") and tag not in holders]
    if image is None or len(holders) != 1 or len(buttons) > 1:
        raise LabelStudioError(
            f"{project} has a labelling configuration of another kind: expected one Image, and one "
            "Choices or Taxonomy with classes for it; name another project, a new title makes one"
        )
    holder = holders[0]
    return Form(
        image=image,
        image_key=images[0].get("value", "")[1:],
        holder=holder.get("name", ""),
        kind=HOLDERS[holder.tag],
        buttons=buttons[0].get("name") if buttons else None,
        buttons_key=buttons[0].get("value", "")[1:] if buttons else None,
        says={
            said: spellings[0]
            for spellings in map(_spellings, holder.iter("Choice"))
            for said in spellings
        },
    )


def extended(config: str, names: Iterable[str], project: str) -> str | None:
    """Return a configuration that has these classes as well; None where it has them already."""
    form = read(config, project)
    known = {folded(name) for name in form.says.values()}
    missing = [name for name in (*names, BROKEN) if folded(name) not in known]
    if not missing:
        return None
    root = _parse(config, project)
    holder = next(tag for tag in root.iter() if tag.get("name") == form.holder)
    for name in missing:
        SubElement(holder, "Choice", _choice(name))
    return ElementTree.tostring(root, encoding="unicode")


def _choice(name: str) -> dict[str, str]:
    """Return the attributes of one class; an answer holds the alias, where there is one."""
    return {"value": name.replace("$", DOLLAR), "alias": name} if "$" in name else {"value": name}


def _ends(kind: str, value: dict[str, Any]) -> list[Any]:
    """Return what an answer of this kind chooses; of a path through a taxonomy, where it ends."""
    chosen = value.get(kind) if kind in HOLDERS.values() else None
    paths = chosen if isinstance(chosen, list) else []
    return [path[-1] if isinstance(path, list) and path else path for path in paths]


def _spellings(tag: Element) -> list[str]:
    """Return what an answer may say where it chooses this one, the name of the class first."""
    return [said for name in ("alias", "value") if (said := tag.get(name, "")).strip()]


def _parse(config: str, project: str) -> Element:
    keeping = ElementTree.TreeBuilder(insert_comments=True)
    try:
        return ElementTree.fromstring(config, ElementTree.XMLParser(target=keeping))
    except ElementTree.ParseError as error:
        raise LabelStudioError(
            f"the labelling configuration of {project} is no XML: {error}"
        ) from error
