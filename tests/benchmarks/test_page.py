from benchmarks.page import Goal, Section, goals_text, number, section_text, table


def test_a_goal_is_reached_at_its_bound_on_its_side():
    assert Goal("speed", 4, 4, "times", True).reached
    assert not Goal("speed", 4, 3.9, "times", True).reached
    assert Goal("memory", 25, 25, "%", False).reached
    assert not Goal("memory", 25, 25.1, "%", False).reached


def test_a_missed_goal_is_marked():
    section = Section("a", "", [], [Goal("speed", 4, 3.9, "times", True), Goal("memory", 25, 20, "%", False)])
    lines = goals_text([section]).splitlines()
    assert "at least 4 times" in lines[-2]
    assert "**not reached**" in lines[-2]
    assert "at most 25 %" in lines[-1]
    assert "| reached" in lines[-1]
    assert goals_text([Section("none", "", [])]) == ""


def test_a_table_has_every_column_and_empty_cells_where_nothing_was_measured():
    text = table([{"name": "a", "s": 1.5}, {"name": "bb", "MB": 1234.5}])
    assert text.splitlines() == [
        "| name |    s |    MB |",
        "| ---- | ---: | ----: |",
        "| a    | 1.50 |       |",
        "| bb   |      | 1,234 |",
    ]


def test_numbers_keep_the_digits_that_count():
    assert [number(value) for value in (None, "x", 3, 0.01234, 0.5, 99.5, 1234.6)] == [
        *("", "x", "3", "0.0123", "0.50", "99.50", "1,235")
    ]


def test_a_section_shows_its_command_its_picture_and_what_was_left_out():
    text = section_text("speed", Section("Speed", "How.", [{"a": 1}], skipped=["dgmr: not here"]), "run", "p.png")
    assert "```\nrun --only speed\n```" in text
    assert "![Speed](p.png)" in text
    assert "- dgmr: not here" in text
