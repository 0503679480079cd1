"""From bytes on a socket to one video in memory, within the limits."""
