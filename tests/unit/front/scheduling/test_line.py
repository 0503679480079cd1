from dataclasses import dataclass

from springboard.front.scheduling.line import Line


@dataclass(eq=False)
class One:
    caller: str
    number: int = 0
    low: bool = False


def test_callers_take_turns_however_much_one_of_them_asks() -> None:
    line = Line[One]()
    for number in range(4):
        line.append(One("flood", number))
    line.append(One("a"))
    line.append(One("b"))
    line.put_first(One("b", 9))
    assert len(line) == len(list(line)) == 7
    order = [line.pop() for _ in range(7)]
    assert [(one.caller, one.number) for one in order] == [
        ("b", 9),
        *[("flood", 0), ("a", 0), ("b", 0)],
        *[("flood", 1), ("flood", 2), ("flood", 3)],
    ]
    assert line.head() is None


def test_what_is_before_a_newcomer_is_what_then_comes_before_it() -> None:
    line = Line[One]()
    for number in range(3):
        line.append(One("flood", number))
    line.append(One("a"))
    for caller in ("flood", "a", "new"):
        expected = line.ahead_of(caller)
        trial = Line[One]()
        for one in list(line):
            trial.append(one)
        newcomer = One(caller, 99)
        trial.append(newcomer)
        before = 0
        while trial.pop() is not newcomer:
            before += 1
        assert before == expected


def test_others_who_come_one_by_one_count_for_who_always_waits() -> None:
    line = Line[One]()
    for number in range(10):
        line.append(One("flood", number))
    assert line.ahead_of("flood") == 10
    for number in range(30):  # every second turn is somebody else's
        line.append(One(f"other {number}"))
        line.append(One("flood", number))
        line.pop(), line.pop()
    waiting = sum(one.caller == "flood" for one in line)
    assert line.ahead_of("flood") >= 1.8 * waiting


def test_who_leaves_is_forgotten() -> None:
    line = Line[One]()
    one, first = One("a"), One("a")
    line.append(one)
    line.put_first(first)
    line.remove(one)
    line.remove(first)
    assert (len(line), line.ahead_of("a"), line.heads()) == (0, 0, [])


def test_what_is_before_one_that_waits_is_what_then_comes_before_it() -> None:
    line = Line[One]()
    for caller in ("flood", "flood", "a", "flood", "b", "a", "flood"):
        line.append(One(caller))
    line.put_first(One("b"))
    places = {id(one): line.before(one) for one in line}
    order = [line.pop() for _ in range(len(line))]
    assert [places[id(one)] for one in order] == list(range(len(order)))


def test_jobs_go_when_nobody_else_waits_and_count_for_nobody() -> None:
    line = Line[One]()
    line.append(One("worker", 1, low=True))
    line.append(One("worker", 2, low=True))
    line.append(One("a", 3))
    line.put_first(One("worker", 0, low=True))
    assert (len(line), line.low, line.ahead_of("b")) == (1, 3, 1)
    assert [line.before(one) for one in line] == [0, 1, 2, 3]
    assert [line.pop().number for _ in range(4)] == [3, 0, 1, 2]
    assert line.head() is None


def test_jobs_get_their_share_of_the_turns_however_many_others_wait() -> None:
    line = Line[One]()
    line.least_share = 0.125
    for number in range(20):
        line.append(One("worker", number, low=True))
    taken = []
    for number in range(90):
        line.append(One("a", number))
        line.append(One("b", number))
        assert line.head() is not None
        taken.append(line.pop())
    low = [one.number for one in taken if one.low]
    assert low == list(range(10))  # one after each eight of the others
    assert not taken[0].low


def test_a_job_that_leaves_the_line_is_gone() -> None:
    line = Line[One]()
    one = One("worker", low=True)
    line.append(one)
    line.remove(one)
    assert (line.low, line.head()) == (0, None)
