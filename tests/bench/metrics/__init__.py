"""One file a metric: ID, and measure(bench) → rows. They are in no way dependent on each other."""
from metrics import (p01, p02, p03, p04, p05, p06, p07, p08, p09, p10, p11, p12, p13, p14, p15)

ALL = [p01, p02, p03, p04, p05, p06, p07, p08, p09, p10, p11, p12, p13, p14, p15]
