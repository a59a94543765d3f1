"""``python -m segsvc``."""

from segsvc.cli import process

if __name__ == "__main__":
    process()
