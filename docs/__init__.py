"""The documentation: pages for readers, and what writes the reference and builds the site."""
