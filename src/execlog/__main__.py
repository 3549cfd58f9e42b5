"""`python -m execlog` is `execlog`."""

import sys

from execlog.cli.main import main

sys.exit(main())
