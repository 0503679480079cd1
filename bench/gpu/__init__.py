"""The GPU check's stages; bench/gpu.sh lays out what a bare machine lacks and calls `python -m bench.gpu`."""
