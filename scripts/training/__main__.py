"""Entry of scripts/train."""

if __name__ == "__main__":
    # here, so that the processes that make training items do not load it too
    from training.stages import main

    raise SystemExit(main())
