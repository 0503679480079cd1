"""A release as a document, where releases are kept, and how one is built."""
