"""What a caller is told of a request that it waits for."""

from springboard.front.scheduling.lane import Ticket
from springboard.front.scheduling.line import Line
from springboard.front.scheduling.places import Places


def test_a_request_is_found_by_its_callers_id_while_it_is_here() -> None:
    places, line, ticket = Places(), Line[Ticket](), Ticket(caller="me")
    line.append(Ticket(caller="other"))
    line.append(ticket)
    ticket.line = line
    assert places.find("me", "1") == ("absent", 0)
    with places.holding("me", "1", ticket), places.holding("me", None, Ticket()):
        assert places.find("me", "1") == ("waiting", 1)
        assert places.find("other", "1") == ("absent", 0), "nobody asks after another caller's"
        line.pop()
        assert places.find("me", "1") == ("waiting", 0)
        ticket.line, ticket.at_work = None, True
        assert places.find("me", "1") == ("at_work", 0)
    assert places.find("me", "1") == ("absent", 0)


def test_of_two_with_one_id_the_later_is_found() -> None:
    places, first, second = Places(), Ticket(), Ticket()
    with places.holding("me", "1", first):
        with places.holding("me", "1", second):
            pass
        assert places.find("me", "1") == ("absent", 0)
