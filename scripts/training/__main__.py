"""Entry point of scripts/train."""

import argparse

if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="scripts/train", description="Train models/digits again. There are no options."
    ).parse_args()
    # imported late: the child processes that make training items do not need it
    from training.run import main

    raise SystemExit(main())
