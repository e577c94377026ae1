"""What the tests read out of a Markdown document: fenced blocks, commands, code spans, links, headings, the tree."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

FENCE = re.compile(r"^(`{3,})[ \t]*([^\n`]*)\n(.*?)^\1[ \t]*$", re.M | re.S)
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|\b(?:src|srcset|href)=\"([^\"]+)\"")
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
TREE_NAME = re.compile(r"(?<![\w./])[\w.-]+(?:/[\w.-]+)*(?:/|\.py|\.md)(?![\w/])")
OPERATORS = {"|", "||", "&", "&&", ";", "(", ")", "do", "then", "else", "{", "!"}
NOT_PROGRAMS = {"for", "done", "fi", "}", "if", "while", "set", ""}


@dataclass(frozen=True)
class Block:
    """One fenced block: where it begins, its info string, its text."""

    line: int
    info: str
    text: str


@dataclass(frozen=True)
class Command:
    """One command of a `sh` block: the line it begins on, and its text as a reader would paste it."""

    line: int
    text: str

    def calls(self) -> list[list[str]]:
        """The programs this command runs, each with its arguments; redirections are left in."""
        lexer = shlex.shlex(self.text.replace("\\\n", " ").replace("\n", ";"), posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, ""
        calls: list[list[str]] = [[]]
        for word in _without_comment(lexer):
            if word in OPERATORS:
                calls.append([])
            else:
                calls[-1].append(word)
        return [call for call in calls if call and call[0] not in NOT_PROGRAMS]


def _without_comment(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        if word.startswith("#"):
            return
        yield word


def blocks(text: str) -> list[Block]:
    """The fenced blocks, in order."""
    return [Block(text.count("\n", 0, m.start()) + 1, m[2].strip(), m[3]) for m in FENCE.finditer(text)]


def commands(block: Block) -> list[Command]:
    """The commands of a `sh` block: lines joined at a trailing backslash and up to `done`, without comment lines."""
    found, begun, first = [], "", 0
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        first = first if begun else number
        begun += line
        if line.endswith("\\") or (begun.startswith("for ") and not begun.rstrip().endswith("done")):
            begun += "\n"
            continue
        if begun.strip() and not begun.lstrip().startswith("#"):
            found.append(Command(first, begun))
        begun = ""
    return found


def prose(text: str) -> str:
    """The document without its fenced blocks."""
    return FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """Inline code, in order."""
    return SPAN.findall(prose(text))


def links(text: str) -> list[str]:
    """Targets of links and images, in order."""
    return [a or b for a, b in LINK.findall(prose(text))]


def anchors(text: str) -> set[str]:
    """The anchors GitHub gives the headings."""
    headings = re.findall(r"^#+ +(.+?) *#*$", prose(text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def tree_paths(block: Block) -> list[tuple[str, ...]]:
    """Paths a tree names: its entries, and the files and folders their descriptions speak of.

    One of each tuple must exist: an entry stands in one place only, a name in a description may be meant from the
    entry, from the folder it lies in, from the outermost folder or from the root of the project.
    """
    found: list[tuple[str, ...]] = []
    above: list[tuple[int, str]] = []
    for line in filter(str.strip, block.text.splitlines()):
        indent = len(line) - len(line.lstrip())
        names, _, told = line.strip().partition("  ")
        above = [(depth, path) for depth, path in above if depth < indent]
        parent = above[-1][1] if above else ""
        entries = [parent + name for name in names.split()]
        found += [(entry,) for entry in entries]
        inside = entries[0] if len(entries) == 1 and entries[0].endswith("/") else parent
        above += [(indent, inside)] if inside != parent else []
        places = dict.fromkeys([inside, parent, above[0][1] if above else "", ""])
        found += [tuple(place + name for place in places) for name in TREE_NAME.findall(told)]
    return found


def is_tree(block: Block) -> bool:
    """Whether a block is a tree of files: its first line is a folder."""
    return block.info in ("", "text") and bool(re.match(r"\S+/(\s|$)", block.text))
