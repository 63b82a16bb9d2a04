"""`python -m models.cost`: print what a model costs."""

from models.cost.report import app

if __name__ == "__main__":
    app()
