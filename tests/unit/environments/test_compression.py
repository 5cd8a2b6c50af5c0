# SPDX-License-Identifier: Apache-2.0
"""Facts of compressions, where another room has to know them, too."""

from __future__ import annotations

import gzip
from typing import get_args

from kadeploy.config.cluster import AdminArchive
from kadeploy.environments.compression import ARCHIVE_FORMATS, Compression, recognize


def test_a_clusters_file_may_name_the_formats_of_all_archives() -> None:
    assert get_args(AdminArchive.model_fields["format"].annotation) == tuple(ARCHIVE_FORMATS)


def test_what_begins_otherwise_is_not_recognized() -> None:
    assert recognize(gzip.compress(b"")) is Compression.GZIP
    assert recognize(b"\x1f") is None
    assert recognize(b"") is None
