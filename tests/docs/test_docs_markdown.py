"""The reader of Markdown behind the tests of the pages sees what a person sees."""

import pytest

from .markdown import Block, Command, anchors, blocks, commands, links, spans

TEXT = """# A title, and more

Text with `a span`, [a link](docs/a.md#part), ![a picture](<b.svg> "title") and <img src="c.svg" alt="">.

```sh
# a comment
smoothcert train --data a.npz#train \\
    --out "w/{sigma}.safetensors"  # why

make demo
```

## `code` in A heading

````text
```sh
inner
```
````
"""


def test_blocks_are_found_with_their_lines():
    found = blocks(TEXT)
    assert [(block.line, block.info) for block in found] == [(5, "sh"), (15, "text")]
    assert found[1].text == "```sh\ninner\n```\n"


def test_commands_are_joined_and_comments_left_out():
    found = commands(blocks(TEXT)[0])
    assert [command.line for command in found] == [7, 10]
    assert found[0].calls() == [["smoothcert", "train", "--data", "a.npz#train", "--out", "w/{sigma}.safetensors"]]
    assert found[1].text == "make demo"


@pytest.mark.parametrize(
    ("text", "programs"),
    [
        ("smoothcert table RUN | head -3", ["smoothcert", "head"]),
        ("cd a && smoothcert demo; rm -r b", ["cd", "smoothcert", "rm"]),
        ("for s in 0.25 0.5; do smoothcert train --sigma $s; done", ["smoothcert"]),
        ("for s in 0.25 0.5; do\n  smoothcert train --sigma $s\ndone", ["smoothcert"]),
        ("pip install '.[test]'  # smoothcert; rm", ["pip"]),
        ("smoothcert table RUN --format csv > table.csv", ["smoothcert"]),
    ],
)
def test_every_program_of_a_command_is_seen(text, programs):
    assert [call[0] for call in Command(1, text).calls()] == programs


def test_a_loop_over_lines_is_one_command():
    (loop,) = commands(Block(1, "sh", "for s in 1 2; do\n  smoothcert demo\ndone\n"))
    assert loop.calls() == [["smoothcert", "demo"]]


def test_code_that_goes_over_a_line_end_is_one_span():
    assert spans("`a\nb` and `` c`d ``; `e`") == ["a b", "c`d", "e"]


def test_links_spans_and_anchors():
    assert links(TEXT) == ["docs/a.md#part", "b.svg", "c.svg"]
    assert spans(TEXT) == ["a span", "code"]
    assert anchors(TEXT) == {"a-title-and-more", "code-in-a-heading"}


def test_a_comment_before_a_block_says_why_it_is_not_run():
    text = "<!-- not run: needs a GPU -->\n```sh\na\n```\n\n```sh\nb\n```\n"
    assert [block.not_run for block in blocks(text)] == ["needs a GPU", ""]
