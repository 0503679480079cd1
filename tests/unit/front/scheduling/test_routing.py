from collections import Counter

from springboard.front.scheduling.routing import Router

BOTH = {"stable", "canary"}


def test_shares_are_exact_over_every_ten_requests() -> None:
    router = Router({"stable": 90, "canary": 10})
    chosen = [router.choose(BOTH) for _ in range(1000)]
    for start in range(len(chosen) - 10):
        assert Counter(chosen[start : start + 10]) == {"stable": 9, "canary": 1}


def test_shares_are_not_bunched() -> None:
    router = Router({"a": 2, "b": 1, "c": 1})
    assert [router.choose({"a", "b", "c"}) for _ in range(4)] == ["a", "b", "c", "a"]


def test_a_dead_variants_share_goes_to_the_living() -> None:
    router = Router({"stable": 90, "canary": 10})
    assert {router.choose({"canary"}) for _ in range(20)} == {"canary"}


def test_weight_zero_is_never_chosen_even_when_it_alone_lives() -> None:
    assert Router({"stable": 1, "spare": 0}).choose({"spare"}) is None


def test_a_session_stays_on_one_variant_and_sessions_share_by_weight() -> None:
    router = Router({"stable": 90, "canary": 10})
    homes = {f"s{i}": router.choose(BOTH, f"s{i}") for i in range(2000)}
    assert all(router.choose(BOTH, session) == home for session, home in homes.items())
    assert 120 < Counter(homes.values())["canary"] < 280


def test_when_a_variant_dies_only_its_sessions_move() -> None:
    router = Router({"a": 1, "b": 1, "c": 1})
    before = {f"s{i}": router.choose({"a", "b", "c"}, f"s{i}") for i in range(300)}
    after = {session: router.choose({"a", "b"}, session) for session in before}
    assert all(after[s] == home for s, home in before.items() if home != "c")
