"""Write the OpenAPI document without a running service: `python docs/make_openapi.py FILE`."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from service.app import create_app

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(create_app().openapi(), indent=1), "utf-8")
