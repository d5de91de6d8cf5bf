"""``lithair-storage``: look into a store and look after it, from a terminal or a script."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; without the packages it stands on, say which extra brings them."""
    try:
        from lithair_sqla.cli.app import cli  # noqa: PLC0415 - click and rich are an extra
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.exit(f"lithair-storage needs {error.name}: pip install 'lithair-sqla[cli]'")
    cli(prog_name="lithair-storage")
