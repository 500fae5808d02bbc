import sys

from minihf.cli import main

sys.exit(main())
