"""What the front tells Prometheus: names.py declares, record.py counts, state.py shows what is now."""
