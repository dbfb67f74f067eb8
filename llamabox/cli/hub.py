"""-hf: a model from Hugging Face, through the cache of huggingface_hub, which shows progress on a terminal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from llamabox.cli.hub_files import choose_files, is_model, quant_of
from llamabox.cli.options import OptionError, Options
from llamabox.cli.options.llama_server import INSTALL

ANSWER_S = 10.0  # how long the hub may take to list a repository
log = logging.getLogger(__name__)


def hub_model(options: Options) -> Path:
    """The file that -hf and -hff name, downloaded unless the cache has it.

    Errors:  OptionError when huggingface_hub is missing, the hub cannot be reached, or has no such model
    """
    hub = _huggingface_hub(options.source("hf_repo"))
    repo, _, quant = options.hf_repo.partition(":")
    with _told(hub, f"{options.source('hf_repo')} {options.hf_repo}"):
        names = _cached_names(hub, repo) if options.offline else _names(hub, repo, options.hf_token)
        files = choose_files(names, quant if quant else None, options.hf_file)
        paths = [
            hub.hf_hub_download(repo, name, token=options.hf_token, local_files_only=options.offline) for name in files
        ]
    log.info("%s: %s", options.hf_repo, files[0])
    return Path(paths[0])


def print_cached() -> None:
    """Print the models in the cache, owner/repo:QUANT, one a line."""
    hub = _huggingface_hub("--cache-list")
    try:
        repos = hub.scan_cache_dir().repos
    except hub.errors.CacheNotFound:
        repos = frozenset()
    found = set()
    for repo in repos:
        for file in (file for revision in repo.revisions for file in revision.files):
            quant = quant_of(file.file_name)
            if is_model(file.file_name) and quant is not None:
                found.add(f"{repo.repo_id}:{quant}")
    print(f"number of models in cache: {len(found)}")
    for i, name in enumerate(sorted(found), start=1):
        print(f"{i:4}. {name}")


def _huggingface_hub(flag: str) -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise OptionError(f"{flag}: the Python package huggingface_hub is not installed: {INSTALL}") from None
    return huggingface_hub


def _names(hub: ModuleType, repo: str, token: str | None) -> list[str]:
    """The files of a repository; those in the cache when the hub cannot be asked."""
    try:
        files = hub.HfApi(token=token).model_info(repo, timeout=ANSWER_S).siblings
        return [file.rfilename for file in files if file.rfilename is not None] if files is not None else []
    except hub.errors.HfHubHTTPError:
        raise
    except (OSError, *hub.errors.HfHubHTTPError.__bases__) as error:  # no answer at all
        try:
            names = _cached_names(hub, repo)
        except hub.errors.LocalEntryNotFoundError:
            raise error from None
        log.warning("%s: no answer from the hub (%s); the cached files are used", repo, error)
        return names


def _cached_names(hub: ModuleType, repo: str) -> list[str]:
    folder = Path(hub.snapshot_download(repo, local_files_only=True))
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


@contextmanager
def _told(hub: ModuleType, what: str) -> Iterator[None]:
    """What goes wrong with the hub, as one line that names the option."""
    errors = hub.errors
    try:
        yield
    except OptionError as error:
        raise OptionError(f"{what}: {error}") from None
    except errors.GatedRepoError:
        raise OptionError(f"{what}: its terms have to be accepted on the hub, and a token given (-hft)") from None
    except errors.RepositoryNotFoundError:
        raise OptionError(f"{what}: no such repository, or a private one that needs a token (-hft)") from None
    except errors.LocalEntryNotFoundError as error:
        reason = "it is not in the cache" if error.__cause__ is None else f"no answer from the hub ({error.__cause__})"
        raise OptionError(f"{what}: {reason}") from None
    except (OSError, errors.EntryNotFoundError, ValueError, *errors.HfHubHTTPError.__bases__) as error:
        raise OptionError(f"{what}: {str(error) or type(error).__name__}") from None
