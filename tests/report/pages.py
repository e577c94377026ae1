"""A written report read back: its data, its columns and its visible words."""

import base64
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np

VOID = {"meta", "input", "br", "link", "img", "hr"}
UNSEEN = {"script", "style", "title"}


class Reader(HTMLParser):
    """What a browser would see: every tag with its attributes, the visible words, what is left open."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.words, self.raw, self.open, self.astray = [], [], {}, [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.astray.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] in UNSEEN:
            attributes = next(a for tag, a in reversed(self.tags) if tag == self.open[-1])
            name = attributes.get("id", self.open[-1])
            self.raw[name] = self.raw.get(name, "") + data
        elif data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def text(self):
        return " ".join(self.words)

    @property
    def data(self):
        """What the page's script is given."""
        return json.loads(self.raw["data"])


def unpack(column):
    """The numbers of a packed column, as the page's script reads them."""
    kind = f"<u{column['bytes']}"
    values = np.frombuffer(zlib.decompress(base64.b64decode(column["data"])), dtype=kind)
    return np.cumsum(values, dtype=kind) if column["steps"] else values


def sentences(text):
    return re.split(r"(?<=[.;])\s", text)
