"""Ties the live store of the settings to the store of files that they name."""

from core.errors import UnavailableError
from core.filestore import Bucket, FileStore
from core.settings import Settings
from core.shared_files import SharedFolder, mount, mounted


def mount_files(settings: Settings) -> None:
    """Let the files of the live store come from the store of the settings; without one nothing changes.

    Raises:
        ConfigError: the store's URL or options do not fit.
    """
    home = settings.home.resolve()
    if settings.files_url is None or mounted(home) is not None:
        return
    bucket = Bucket(
        settings.files_endpoint,
        settings.files_region,
        settings.files_key_id.get_secret_value() if settings.files_key_id else None,
        settings.files_key.get_secret_value() if settings.files_key else None,
    )
    mount(SharedFolder(home, FileStore(settings.files_url, bucket), settings.files_cache_bytes))


def files_state(settings: Settings) -> str | None:
    """Return "ok", or why the store of files does not respond; None without a store."""
    folder = mounted(settings.home.resolve())
    if folder is None:
        return None
    try:
        folder.store.check()
    except UnavailableError as err:
        return err.public
    return "ok"
