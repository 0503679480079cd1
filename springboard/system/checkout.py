"""Where this checkout is: what `make demo`, `springboard serve --weights` and tests run from it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
