"""All that knows TorchServe."""
