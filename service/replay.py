"""`python -m service.replay`: play radar files into a watched folder as if they arrived now."""

import typer

from ingest.sources.replay import main

if __name__ == "__main__":
    typer.run(main)
