"""What a wheel or its page cannot ask git for later: the commit, and where the project is at home.

Neither changes a build without git. The home is the checkout's remote ``origin``.
"""

import re
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))
from aucli import version  # noqa: E402

LINK = re.compile(r"""(\]\(|\bsrc=")(?!\w+:|#|/)([^)"\s]+)""")
PICTURES = (".png", ".jpg", ".svg")


def home(remote: str) -> str:
    """``https://host/owner/name`` of a git remote; empty where it is no address of the web.

    A name or token of the remote is left out.
    """
    url = r"(?:https?|ssh|git)://(?:[^@/]*@)?([\w.-]+)(?::\d+)?/(.+?)(?:\.git)?/?"
    short = r"(?:[^@/:]*@)?([\w-]+(?:\.[\w-]+)+):(.+?)(?:\.git)?/?"  # git@host.org:owner/name.git
    found = re.fullmatch(url, remote) or re.fullmatch(short, remote)
    return f"https://{found[1]}/{found[2]}" if found else ""


def absolute(text: str, address: str) -> str:
    """A page whose links and pictures also work away from its checkout."""

    def whole(match: re.Match[str]) -> str:
        kind = "raw" if match[2].endswith(PICTURES) else "blob"
        return f"{match[1]}{address}/{kind}/HEAD/{match[2]}"

    return LINK.sub(whole, text)


class Pages(MetadataHookInterface):
    """The page of the package, and its links."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (ROOT / "README.md").read_text("utf-8")
        address = home(version.ask_git("git remote get-url origin"))
        if address:
            text = absolute(text, address)
            metadata["urls"] = {
                "Source": address,
                "Changes": f"{address}/blob/HEAD/CHANGELOG.md",
                "Issues": f"{address}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


class Commit(BuildHookInterface):
    """The commit in a file of the package, which version() reads."""

    def initialize(self, version_of_target: str, build_data: dict[str, Any]) -> None:
        found = version.commit()
        if not found or version_of_target == "editable":  # which asks git each time
            return
        file = Path(self.directory) / version.RECORD.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{found}\n", "utf-8")
        build_data["force_include"][str(file)] = f"aucli/{version.RECORD.name}"

    def finalize(self, version_of_target: str, build_data: dict[str, Any], artifact: str) -> None:
        (Path(self.directory) / version.RECORD.name).unlink(missing_ok=True)
