# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast push`."""

from argparse import ArgumentParser, Namespace

SUMMARY = "push a saved checkpoint to the Hub"
DESCRIPTION = (
    "Pushes a saved model and its feature extractor to the Hub: safetensors, configurations, results, the code that "
    "loads them where this package is missing, and README.md or else a model card of what is known. Log in first (`hf "
    "auth login`)."
)
EPILOG = "Example: ssast push runs/birds me/birds --private --license cc-by-4.0"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="directory of a saved checkpoint")
    parser.add_argument("repository", metavar="ORG/NAME", help="repository; made if it is not there")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to push to; made if it is not there")
    parser.add_argument("--license", metavar="ID", help="the model's licence, such as cc-by-4.0, for the card")
    parser.add_argument("--dataset", metavar="ID", action="append", help="Hub dataset, for the card; may be repeated")
    parser.add_argument("--message", metavar="TEXT", help="commit message")


def run(arguments: Namespace) -> int:
    from ..checkpoints.hub import push_directory

    commit = push_directory(
        arguments.directory,
        arguments.repository,
        private=arguments.private or None,
        revision=arguments.revision,
        licence=arguments.license,
        datasets=arguments.dataset,
        commit_message=arguments.message,
    )
    print(commit.commit_url)
    return 0
