"""`python -m smoothcert`: the command line where its script is not on the path."""

from smoothcert.cli import main

if __name__ == "__main__":
    main()
