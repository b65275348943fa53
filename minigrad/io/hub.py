"""Checkpoints by their names on Hugging Face's hub, fetched by ``huggingface_hub`` into its cache.

That package takes up again what breaks off, and keeps what is there; here it is chosen what a
checkpoint needs, large files are compared with their checksum, and errors say what can be done.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from minigrad.errors import DataError, MissingExtra
from minigrad.files import reason

__all__ = ["CONFIGS", "WEIGHTS", "fetch_from_hub", "is_hub_name"]

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)  # the first wins
CONFIGS = ("config.json", "preprocessor_config.json")  # beside them, where there are any

_NAME = re.compile(r"(?:hf-hub:)?([\w-][\w.-]*/[\w-][\w.-]*?)(?:@([\w./-]+))?")
_FILE = re.compile(r".*\.(safetensors|pth|pt|bin|h5|onnx|json|npz|ckpt|gz)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_hub_name(source: object) -> bool:
    """Say whether this is a name on the hub, ``owner/name`` or ``owner/name@revision``.

    What is here, or ends as files of weights do, is a path.

    Examples
    --------
    >>> is_hub_name("timm/convnext_atto.d2_in1k"), is_hub_name("runs/model.safetensors")
    (True, False)
    """
    return (
        isinstance(source, str)
        and bool(_NAME.fullmatch(source))
        and not _FILE.fullmatch(source)
        and not os.path.exists(source)
    )


def fetch_from_hub(name: str) -> Path:
    """Return the folder in the cache with the weights of this name, and their configuration.

    Parameters
    ----------
    name : str
        ``owner/name``, perhaps with ``@revision``: a branch, a tag or a commit.

    Raises
    ------
    MissingExtra
        If ``huggingface_hub`` is not installed.
    DataError
        If there is no such checkpoint, or it can be neither fetched nor found in the cache.
    """
    found = _NAME.fullmatch(name)
    assert found, name
    fetch = _Fetch(name, found[1], found[2])
    weights = next((path for file in WEIGHTS if (path := fetch(file))), None)
    if weights is None:
        raise fetch.nothing()
    for file in [*CONFIGS, *_shards(weights)]:
        fetch(file)
    return weights.parent


class _Fetch:
    """Fetches files of one commit of one repository."""

    def __init__(self, name: str, repository: str, revision: str | None) -> None:
        try:
            import huggingface_hub
            import huggingface_hub.errors
        except ImportError:
            raise MissingExtra(
                f"{name}: no such file or folder; if it is a name on the hub, it takes "
                "huggingface_hub, which is not installed; run: pip install 'minigrad[hub]'"
            ) from None
        self.hub: Any = huggingface_hub
        self.name, self.repository, self.revision = name, repository, revision
        self.offline: Exception | None = None

    def __call__(self, file: str) -> Path | None:
        """Return where a file is now, or None if there is none."""
        errors = self.hub.errors
        where = {"repo_id": self.repository, "filename": file, "revision": self.revision}
        cached = isinstance(self.hub.try_to_load_from_cache(**where), str)
        try:
            offline = self.offline is not None  # found so once, it is not tried again
            path = Path(self.hub.hf_hub_download(**where, local_files_only=offline))
        except errors.LocalEntryNotFoundError as error:  # neither reached nor in the cache
            self.offline = self.offline or error
            return None
        except errors.EntryNotFoundError:
            return None
        except errors.GatedRepoError:
            raise DataError(
                f"{self.name}: its owner asks for consent; accept the terms at {self.url()}, then "
                "log in with: hf auth login"
            ) from None
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            raise DataError(
                f"{self.name}: cannot be read: no such file or folder here, and no such name or "
                f"revision on the hub ({type(error).__name__}); a private one needs: hf auth login"
            ) from None
        except Exception as error:  # of the network, the disk, or the library beneath
            raise DataError(
                f"{self.name}: {file} cannot be fetched ({reason(error)}); run again, or "
                f"{self.by_hand(file)}"
            ) from None
        if not cached:
            self.check(path)
        self.revision = path.parent.name  # the commit: all files are of the same one
        return path

    def check(self, path: Path) -> None:
        """Compare a file with its checksum, after which the hub names large ones in the cache."""
        blob = path.resolve()
        if not _SHA256.fullmatch(blob.name):
            return
        with blob.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != blob.name:
            path.unlink()
            blob.unlink()
            raise DataError(
                f"{self.name}: {path.name} came damaged (SHA-256 {found}, expected {blob.name}); "
                "it was removed, fetch it again"
            )

    def nothing(self) -> DataError:
        """Return the error for a repository none of whose weights can be had."""
        if self.offline is None:
            return DataError(
                f"{self.name}: has none of {', '.join(WEIGHTS)}; fetch its weights from "
                f"{self.url()} and name the file"
            )
        cause = self.offline.__cause__ or self.offline
        return DataError(
            f"{self.name}: no such file or folder, not in the cache "
            f"({self.hub.constants.HF_HUB_CACHE}), and the hub cannot be reached "
            f"({reason(cause)}); {self.by_hand(WEIGHTS[0])}"
        )

    def by_hand(self, file: str) -> str:
        """Say how to do without the network."""
        at = f"{self.url()}/resolve/{self.revision or 'main'}/"
        return (
            f"fetch {at}{file} by other means, and {' and '.join(CONFIGS)} beside it, into a "
            "folder, and name that folder instead"
        )

    def url(self) -> str:
        return f"{self.hub.constants.ENDPOINT}/{self.repository}"


def _shards(weights: Path) -> list[str]:
    """Return the files that an index names; what else may be wrong with it, its reader says."""
    if weights.suffix != ".json":
        return []
    try:
        places = json.loads(weights.read_bytes())["weight_map"].values()
        return [file for file in dict.fromkeys(places) if re.fullmatch(r"\w[\w.-]{0,199}", file)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []
