"""The reference, written from the code: each module here makes the page of its name."""
