# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Text on terminals: no control characters, no tokens."""

from hypothesis import given
from hypothesis import strategies as st

from ssast_hf.utils.text import cell, code, first_sentence, printable, reason_of, redacted


@given(st.text())
def test_printable_text_has_no_control_characters(text):
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_escapes_are_shown_as_such():
    assert printable("a\x1b[31mred\r\n\u202eevil caf\u00e9 \udce9") == r"a\x1b[31mred\r\n\u202eevil café " + "\udce9"


def test_tokens_are_redacted():
    for token in ("hf_" + "a" * 34, "ghp_" + "b" * 36, "github_pat_" + "c" * 30, "sk-" + "d" * 40):
        assert redacted(f"401 for {token} at x") == "401 for *** at x"
        assert token not in first_sentence(ValueError(f"bad\n token {token}.\n\nmore"))
    assert redacted("https://h/x?a=1&token=abc&b=2 Bearer xyz") == "https://h/x?a=1&token=***&b=2 Bearer ***"
    assert redacted("hf_hub and sk-learn, half_time") == "hf_hub and sk-learn, half_time"


def test_names_cannot_break_out_of_markdown():
    """By the rules of CommonMark: a code span ends at a run of as many backticks as began it."""
    assert code("bird") == "`bird`" and code("a`b") == "``a`b``" and code("`") == "`` ` ``"
    assert code("a``b\n# Title") == r"```a``b\n# Title```"
    assert cell("a|b <img src=x> [x](http://y)") == r"a\|b \<img src=x\> \[x](http://y)"
    assert cell("per_device_train_batch_size") == "per_device_train_batch_size" and cell([1, 2]) == "[1, 2]"


def test_first_sentence_is_one_line():
    assert first_sentence(ValueError("  one\n two\n\nthree")) == "one two"
    assert first_sentence(KeyError()) == "KeyError"


def test_a_reason_does_not_repeat_the_file():
    for message in ("a/x.wav is empty", "a/x.wav: is empty", "is empty"):
        for error in (message, ValueError(message)):
            assert reason_of(error, "a/x.wav") == reason_of(error, "a/x.wav#t=1,2") == "is empty"
    assert reason_of(PermissionError(13, "Permission denied", "a/x.wav"), "a/x.wav") == "Permission denied"
    assert reason_of(ValueError(), "a/x.wav") == "ValueError"
