"""``python -m featuresharing`` is the ``featuresharing`` command."""

import sys

from featuresharing.cli import main

sys.exit(main())
