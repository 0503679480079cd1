"""Channels in a real S3: of writers at once one wins, and nobody writes over what they have not read."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from springboard.deploy.channel import Channel, ChannelError, Channels
from tests.stands.seaweedfs import ObjectStore

pytestmark = pytest.mark.xdist_group("releases")


def named(release: str) -> Channel:
    return Channel.model_validate({"release": release})


def test_of_writers_at_once_exactly_one_wins(object_store: ObjectStore) -> None:
    channels, endpoint = Channels("s3://models", object_store.client), "race"
    assert channels.read(endpoint) is None
    version: str | None = None
    for round_ in range(3):  # none is there, then one is
        releases = [f"1.{round_}.{n}" for n in range(6)]

        def write(release: str, version: str | None = version) -> bool:
            with suppress(ChannelError):
                channels.write(endpoint, named(release), version)
                return True
            return False

        with ThreadPoolExecutor(len(releases)) as threads:
            won = list(threads.map(write, releases))
        assert won.count(True) == 1
        found = channels.read(endpoint)
        assert found
        assert found[0] == named(releases[won.index(True)])
        assert found[1] != version
        version = found[1]


def test_a_channel_that_went_is_not_made_anew_by_who_read_it(object_store: ObjectStore) -> None:
    channels = Channels("s3://models", object_store.client)
    channels.write("gone", named("1.0.0"), None)
    found = channels.read("gone")
    assert found
    object_store.client.delete_object(Bucket="models", Key="channels/gone.json")
    with pytest.raises(ChannelError, match="somebody else was quicker"):
        channels.write("gone", named("1.1.0"), found[1])
    assert channels.read("gone") is None
