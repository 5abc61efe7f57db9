"""Where the sandbox's configuration file is."""

from pathlib import Path

_APP = Path(__file__).resolve().parents[1]


def sandbox_config() -> Path:
    """The file: inside the package once installed, beside it in a checkout."""
    installed = _APP / "config" / "sandbox.yaml"
    return installed if installed.exists() else _APP.parent / "config" / "sandbox.yaml"
