"""The one exception a user is meant to read."""


class LabanError(ValueError):
    """Bad input or a missing resource: one line that names the file or option, what was found and what is accepted.

    The command line prints the message and exits with status 2.
    """
