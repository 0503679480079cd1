"""The dive-scoring model and its TorchServe handler."""
