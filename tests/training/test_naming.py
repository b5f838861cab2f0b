from training.naming import named, one_line


def test_control_characters_are_escapes_and_other_signs_stay() -> None:
    assert one_line("bad\n## Warnings\r- x\t\x1b[2J\x85\u2028") == (
        r"bad\n## Warnings\r- x\t\x1b[2J\x85\u2028"
    )
    for name in ("画像 №1.png", "Zoë’s \U0001f469\u200d\U0001f680", r"a\n", ""):
        assert one_line(name) == name


def test_of_many_names_some_are_named_in_one_line() -> None:
    assert named(["a\nb", "c", "d", "e"]) == r"a\nb, c, d and 1 more"
