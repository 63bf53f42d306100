"""Entry of scripts/train."""

import argparse

if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="scripts/train", description="Make models/digits again; takes no options."
    ).parse_args()
    # here, so that the processes that make training items do not load it too
    from training.stages import main

    raise SystemExit(main())
