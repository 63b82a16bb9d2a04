"""Contents in memory: the most recently used ones, up to a number of bytes, and none that nobody asks for any more."""

from service.forecasts.held import HeldContents


class World:
    """Contents of ten bytes each, and a clock that is set by hand."""

    def __init__(self, most_bytes: int = 30) -> None:
        self.now_s, self.loaded = 0.0, list[str]()
        self.held: HeldContents[str, bytes] = HeldContents(most_bytes, len, idle_s=600, clock=lambda: self.now_s)

    def ask(self, name: str) -> None:
        self.held.read(name, lambda: self.load(name))

    def load(self, name: str) -> bytes:
        self.loaded.append(name)
        return name.encode().ljust(10)

    def kept(self) -> set[str]:
        return {name for name in "abcdef" if self.held.find(name) is not None}


def test_the_least_recently_used_is_dropped_beyond_the_bytes():
    world = World()
    for name in "abcad":
        world.ask(name)
    assert world.loaded == ["a", "b", "c", "d"]
    assert world.kept() == {"a", "c", "d"}


def test_one_larger_than_the_bytes_stays_until_the_next():
    world = World(most_bytes=5)
    world.ask("a")
    assert world.kept() == {"a"}
    world.ask("b")
    assert world.kept() == {"b"}


def test_what_nobody_asks_for_is_dropped_when_another_comes():
    world = World(most_bytes=1000)
    for number, name in enumerate("abcd"):
        world.now_s = 300.0 * number
        world.ask(name)
    assert world.kept() == {"b", "c", "d"}, "a was last asked for 15 minutes before d"
    world.now_s += 599
    world.ask("d")
    world.now_s += 599
    world.ask("e")
    assert world.kept() == {"d", "e"}
