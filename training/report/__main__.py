"""`python -m training.report --runs DIR --out DIR`: the paper's tables and figures from run folders and records."""

from training.report.command import app

if __name__ == "__main__":
    app()
