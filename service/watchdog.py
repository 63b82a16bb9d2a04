"""`python -m service.watchdog`: check that a worker completes a synthetic task; exit status 0 or 1."""

import typer

from service.tasks.watchdog import main

if __name__ == "__main__":
    typer.run(main)
