"""The command line: main.py and one file a command. Argparse and messages; what they do is in the api."""
