"""Progress of long work: a line after ten seconds and then a minute apart, a bar on a terminal."""

import io

from core.progress import Progress, followed, time_words


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_are_a_minute_apart_with_an_estimate():
    seconds, stream = [0.0], io.StringIO()
    with Progress(200, "window", stream=stream, clock=lambda: seconds[0]) as progress:
        for number in range(200):
            seconds[0] += 1.0
            progress.step(f"file {number}")
    assert stream.getvalue().splitlines() == [
        "window 10 of 200 (file 9), about 3 min left",
        "window 70 of 200 (file 69), about 2 min left",
        "window 130 of 200 (file 129), about 70 s left",
        "window 190 of 200 (file 189), about 10 s left",
        "window 200 of 200 (file 199), 3 min",
    ]


def test_parts_of_an_earlier_run_do_not_count_as_speed():
    seconds, stream = [0.0], io.StringIO()
    progress = Progress(100, "clip", before=90, stream=stream, clock=lambda: seconds[0])
    seconds[0] = 20.0
    progress.step()
    assert stream.getvalue() == "clip 91 of 100, about 3 min left\n"


def test_a_terminal_has_a_bar():
    stream = Terminal()
    with Progress(3, "window", stream=stream) as progress:
        progress.step("first", count=2)
    assert "2/3" in stream.getvalue()


def test_items_are_passed_on(capsys):
    assert list(followed([1, 2, 3], "item")) == [1, 2, 3]
    assert capsys.readouterr().err.startswith("item 3 of 3, ")
    assert list(followed(iter([1, 2]), "item")) == [1, 2]


def test_durations_in_words():
    assert [time_words(seconds) for seconds in (40, 720, 12600)] == ["40 s", "12 min", "3.5 h"]


def test_bytes_are_shown_in_megabytes():
    seconds, stream = [0.0], io.StringIO()
    work = Progress(300_000_000, "read, in MB:", scale=1_000_000, stream=stream, clock=lambda: seconds[0])
    seconds[0] = 20.0
    work.step("7 fields stored", count=100_400_000)
    assert stream.getvalue() == "read, in MB: 100 of 300 (7 fields stored), about 40 s left\n"
    bar = Terminal()
    with Progress(300_000_000, "read, in MB:", scale=1_000_000, stream=bar) as shown:
        shown.step(count=100_400_000)
    assert "100/300" in bar.getvalue()
