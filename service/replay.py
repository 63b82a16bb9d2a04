"""`python -m service.replay`: copy recorded radar files into a watched folder at their pace, with current times."""

import typer

from ingest.sources.replay import main

if __name__ == "__main__":
    typer.run(main)
