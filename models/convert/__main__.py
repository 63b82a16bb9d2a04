"""`python -m models.convert`: convert a checkpoint of the reference implementation."""

from models.convert.command import app

if __name__ == "__main__":
    app()
