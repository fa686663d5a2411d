"""Colors of the figures, each readable on a light and on a dark page."""

INK = "#808080"  # the one grey that stands out from white and from black
OURS = ("#e8590c", "#c2255c", "#9c36b5")
THEIRS = "#1c7ed6"
