"""Long runs: damaged files, kills, threads, very long graphs, very long training.

    make soak                       everything, about 15 minutes on two cores; ARGS="--quick" for the short form
    python -m tools.soak --only kills

Each check prints one line with how many runs there were and how many failed. Exit status 1 when one failed.
"""
