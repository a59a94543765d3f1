"""The process: ``segsvc``, and ``python -m segsvc``."""

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run a command, and end. A stop is heeded from the first moment on."""
    # what follows takes a second to import, and until then there is nothing to be ended in order: the event loop's own
    # takes the place of this. Without one, a container's first process would not hear of it at all
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

    from segsvc.cli import process  # noqa: PLC0415

    process()


if __name__ == "__main__":
    main()
