"""The web page: where a person scores a dive, and where whoever runs the server sees how it is.

    files     what browsers load, read once from static/; addresses with their contents' hash
    routes    `/`, `/status`, `/page/...`, and what the page has to know before anything is scored

What is in static/ goes out as it lies there: no build step. A document loads what is in its folder (score/,
status/), shared/ and vendor/; the libraries there come from npm (`make web-vendor`).
tools/web checks the rest.
"""
