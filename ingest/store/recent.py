"""The window of a model of any scale, from stored scans: it is read when it is needed, and no file is kept ready.

Reading 25 scans of 900 x 900 cells takes 0.3 s, hardly more than a ready file of the same fields (decision 0065).
"""

from datetime import datetime, timedelta

from core.errors import NoDataError
from core.times import iso
from ingest.store.index import SUMS, Scan
from ingest.store.live import Store
from ingest.windows.choice import TOLERANCE_MINUTES
from ingest.windows.series import WINDOW_MINUTES, choose_series, series_window
from ingest.windows.window import Window

BACK = timedelta(minutes=WINDOW_MINUTES + TOLERANCE_MINUTES)


def recent_scans(store: Store, reference_time: datetime) -> list[Scan]:
    """Return the scans of the window that ends at a time; hourly and daily sums only where nothing else is stored."""
    found = store.scans(start=reference_time - BACK, end=reference_time + timedelta(minutes=TOLERANCE_MINUTES))
    rates = [scan for scan in found if scan.product not in SUMS]
    return choose_series(rates, reference_time) or choose_series(found, reference_time)


def recent_window(store: Store, reference_time: datetime) -> Window:
    """Return the window of stored scans that ends with the scan of a time, at the cadence of the scans.

    Raises:
        NoDataError: no scan is stored near the reference time.
        ConflictError: the scans do not form a window; the message names what was expected and what was found.
    """
    chosen = recent_scans(store, reference_time)
    if not chosen:
        raise NoDataError(f"no scan within {TOLERANCE_MINUTES} minutes of {iso(reference_time)}")
    return series_window(list(store.loadable(chosen)), reference_time)
