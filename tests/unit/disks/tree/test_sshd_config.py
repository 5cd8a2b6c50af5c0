# SPDX-License-Identifier: Apache-2.0
"""Settings of an sshd as we read them, and as the sshd of this machine does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kadeploy.disks.tree.image import ImageTree
from kadeploy.disks.tree.sshd_config import Login, Reader

pytestmark = [pytest.mark.root, pytest.mark.needs("sshd", "ssh-keygen")]

LOGIN = Login("10.1.2.3", "10.0.0.7", "22", ["root"])
# Keywords, and what sshd has where no file says anything.
DEFAULTS = {
    "permitrootlogin": ["without-password"],
    "pubkeyauthentication": ["yes"],
    "authorizedkeysfile": [".ssh/authorized_keys", ".ssh/authorized_keys2"],
    "strictmodes": ["yes"],
    "usepam": ["no"],
    "authenticationmethods": ["any"],
}
LISTS = ("allowusers", "denyusers")

FILES = [
    {"": ""},
    {"": "PermitRootLogin yes\nPermitRootLogin no\n"},
    {"": 'permitrootlogin = no\n"UsePAM" yes # as ever\nStrictModes "no"\n'},
    {"": "Match User root\n\tPermitRootLogin no\nMatch all\n\tStrictModes no\n"},
    {"": "PermitRootLogin yes\nMatch User r*,!root\nPermitRootLogin no\n"},
    {"": "PermitRootLogin yes\nMatch User alice,root Address 10.0.0.0/8\nPermitRootLogin no\n"},
    {"": "Match Address 192.168.0.0/16,!10.1.2.3\nPubkeyAuthentication no\n"},
    {"": "Match Group root LocalPort 22\nAuthorizedKeysFile .ssh/a %h/b\n"},
    {"": "Match Host 10.1.*\nAuthorizedKeysFile none\nMatch User root\nAuthorizedKeysFile x\n"},
    {"": "Match LocalAddress 10.0.0.7\nAuthenticationMethods publickey,password publickey\n"},
    {"": "Include inc/*.conf\nPermitRootLogin yes\n", "inc/b.conf": "PermitRootLogin no\n"},
    {"": "Include inc/*.conf\n", "inc/b.conf": "StrictModes no\n", "inc/a.conf": "StrictModes yes\n"},
    {
        "": "Include inc/a.conf\nStrictModes no\n",
        "inc/a.conf": "Match User alice\nPubkeyAuthentication no\nPermitRootLogin no\n",
    },
    {"": "Match User alice\nInclude inc/a.conf\n", "inc/a.conf": "PermitRootLogin no\n"},
    {"": "Match User root\nInclude inc/a.conf\n", "inc/a.conf": "PermitRootLogin no\n"},
    {"": "AllowUsers alice\nAllowUsers root bob\nDenyUsers *@10.2.*\n"},
]


def ask_sshd(folder: Path, files: dict[str, str]) -> dict[str, list[str]]:
    """What the sshd of this machine makes of files of the same text."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    for name, text in files.items():
        path = folder / (name or "sshd_config")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("Include ", f"Include {folder}/"))
    login = f"user=root,host={LOGIN.client},addr={LOGIN.client},laddr={LOGIN.server},lport={LOGIN.port}"
    files_of_sshd = ("-f", str(folder / "sshd_config"), "-h", str(folder / "key"))
    argv = ["/usr/sbin/sshd", "-T", *files_of_sshd, "-C", login]
    Path("/run/sshd").mkdir(exist_ok=True)
    listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {}
    for keyword, *arguments in map(str.split, listed.splitlines()):
        found.setdefault(keyword, []).extend(arguments)
    return found


@pytest.mark.parametrize("files", FILES, ids=lambda files: files[""].replace("\n", "; "))
def test_settings_are_those_that_sshd_reads(tmp_path: Path, files: dict[str, str]) -> None:
    root = tmp_path / "root"
    for name, text in files.items():
        path = root / "etc/ssh" / (name or "sshd_config")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "sshd").mkdir()
    theirs = ask_sshd(tmp_path / "sshd", files)
    with ImageTree(str(root)) as tree:
        ours = Reader(tree, LOGIN).read()
    for keyword, default in DEFAULTS.items():
        assert ours.get(keyword, default) == theirs[keyword], keyword
    for keyword in LISTS:
        assert ours.get(keyword, []) == theirs.get(keyword, []), keyword
