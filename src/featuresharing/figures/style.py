"""One look for all figures: matplotlib's own defaults, whatever the settings of a user or of a folder say."""

from matplotlib import rcParamsDefault

OTHERS = ("backend", "backend_fallback", "interactive", "toolbar")
"""Settings that are none of a figure's look; of some, matplotlib does not give back what they were."""

STYLE = {
    **{key: value for key, value in rcParamsDefault.items() if key not in OTHERS},
    "text.parse_math": False,  # names of units and tasks may hold dollar signs
    "svg.hashsalt": "featuresharing",  # else a figure's bytes differ from run to run
}
"""Settings in which figures are drawn and written."""
