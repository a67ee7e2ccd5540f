"""A drawn SVG as a part of a page: it scales, its styles are its own, and it says what it shows."""

from html import escape
from xml.etree import ElementTree as Tree

_SVG = "http://www.w3.org/2000/svg"


def figure(name: str, title: str, caption: str, drawing: str) -> str:
    """`drawing` as the figure `name`; its ids are on no other figure."""
    Tree.register_namespace("", _SVG)
    Tree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = Tree.fromstring(drawing)
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-caption")
    known: set[str] = set()
    for element in root.iter():
        if (own := element.get("id")) in known:
            del element.attrib["id"]  # matplotlib names equal images alike
        elif own is not None:
            known.add(own)
    for style in root.iter(f"{{{_SVG}}}style"):
        style.text = f"#{name} svg {{ {style.text} }}"  # nested: its rules hold in this figure alone
    return (
        f'<figure id="{name}">\n{Tree.tostring(root, encoding="unicode")}\n'
        f'<figcaption id="{name}-caption"><b>{escape(title)}</b> {escape(caption)}</figcaption>\n</figure>'
    )
