"""``python -m detection`` is the console command."""

from detection.cli.main import main

if __name__ == "__main__":
    main()
