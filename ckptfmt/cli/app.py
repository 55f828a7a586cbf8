"""The command group: imports the module of a verb when it is used, and turns failures into exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any

import click
from click.shell_completion import CompletionItem

from ckptfmt import __version__
from ckptfmt.cli.failures import FAILURES, ExitCode, report
from ckptfmt.cli.options import JSON
from ckptfmt.cli.render.output import discard_output, prepare_streams
from ckptfmt.cli.verb import write_description, write_section
from ckptfmt.filenames import INDEX_SUFFIX
from ckptfmt.storage.local import LOCAL
from ckptfmt.text.closest import closest_names, did_you_mean

VERBS = {
    "convert": "ckptfmt.cli.verbs.convert.command",
    "copy": "ckptfmt.cli.verbs.copy.command",
    "edit": "ckptfmt.cli.verbs.edit",
    "events": "ckptfmt.cli.verbs.events.command",
    "freeze": "ckptfmt.cli.verbs.freeze",
    "graph": "ckptfmt.cli.verbs.graph",
    "help": "ckptfmt.cli.verbs.help",
    "info": "ckptfmt.cli.verbs.info.command",
    "ls": "ckptfmt.cli.verbs.ls.command",
    "match": "ckptfmt.cli.verbs.match",
    "model": "ckptfmt.cli.verbs.model.command",
    "plan": "ckptfmt.cli.verbs.plan",
    "plans": "ckptfmt.cli.verbs.plans",
    "records": "ckptfmt.cli.verbs.records.command",
    "show": "ckptfmt.cli.verbs.show.command",
    "subgraph": "ckptfmt.cli.verbs.subgraph",
    "tree": "ckptfmt.cli.verbs.tree.command",
    "verify": "ckptfmt.cli.verbs.verify",
}
"""The module of each verb, imported when the verb is used; its ``command`` is the click command."""


HELP = """\
Inspect and change TensorFlow's checkpoints, graphs, logs and records without TensorFlow.

PATH leads to a checkpoint: its prefix (model.ckpt-1000), one of its files, a directory with a checkpoint in
it (the latest, if there are several), or a SavedModel. What is read is never changed: verbs that write make
new files.
"""

EXAMPLES = """\
ckptfmt training/                      what it is, on one screen
ckptfmt ls training/                   its tensors
ckptfmt show training/ dense/kernel    one of them, with statistics
ckptfmt verify training/               whether every byte is intact
"""

DETAILS = """\
A path alone stands for ckptfmt info PATH. The files of a checkpoint are .index, .data-00000-of-00002 and
.meta, or one file if it is in the V1 format. The file "checkpoint" of a directory names the latest.

Data goes to stdout, messages go to stderr. In names, control characters and other invisible characters are
escaped (\\x1b, \\u202e, a byte that is not UTF-8 as \\xff, a backslash as \\\\).

With --json each verb writes one JSON document, whose keys ckptfmt VERB --help-json explains; if the verb
fails, it is {"error": {"type", "message", "file", "offset", ...}}, and stderr still has the message.
"""

EXIT_CODES = """\
0    success
1    a finding: a difference (match), a plan with errors (plan), only warnings (verify)
2    wrong usage, a plan or names that do not fit the file, or a missing package
3    a file is damaged, or this version cannot read it
4    not found, or not readable
130  stopped with Ctrl-C
141  the reader of the output closed it (| head)
"""


GUESSES = {
    **dict.fromkeys(("list", "lst", "sl", "l", "ll", "la", "dir", "names", "keys", "vars"), ("ls",)),
    **dict.fromkeys(("variables", "weights", "params", "parameters", "tensors", "find", "grep"), ("ls",)),
    **dict.fromkeys(("dump", "cat", "print", "get", "read", "load", "values", "head", "stats"), ("show",)),
    **dict.fromkeys(("inspect", "summary", "describe", "stat", "file", "open", "metadata"), ("info",)),
    **dict.fromkeys(("count", "size", "du"), ("info", "tree")),
    **dict.fromkeys(("view",), ("info", "show")),
    **dict.fromkeys(("check", "fsck", "validate", "test", "checksum", "nan"), ("verify",)),
    **dict.fromkeys(("diff", "compare", "cmp"), ("match",)),
    **dict.fromkeys(("objects", "scopes", "structure"), ("tree",)),
    **dict.fromkeys(("cp", "save", "write", "rename", "merge", "shard", "reshard", "cast"), ("copy",)),
    **dict.fromkeys(("to", "export-weights", "safetensors", "torch", "npz", "h5", "hdf5"), ("convert",)),
    **dict.fromkeys(("migrate", "apply", "map"), ("convert", "plan")),
    **dict.fromkeys(("signature", "signatures", "saved_model", "savedmodel"), ("model", "edit")),
    **dict.fromkeys(("nodes", "ops", "pb", "draw", "dot", "functions"), ("graph",)),
    **dict.fromkeys(("scalars", "tags", "logs", "tensorboard", "plot", "export"), ("events",)),
    **dict.fromkeys(("tfrecord", "examples", "tfrecords"), ("records",)),
    **dict.fromkeys(("extract", "cut", "prune"), ("subgraph", "copy")),
    "frozen": ("freeze",),
    "layers": ("model",),
    "version": ("--version",),
}
"""What people type first, and the verbs or options that do it."""


class App(click.Group):
    """The group of all verbs."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command is for, and what a path may be."""
        write_description(formatter, HELP)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, and how to see more."""
        write_section(formatter, "Examples", EXAMPLES.splitlines())
        formatter.write("\nMore: ckptfmt VERB --help, ckptfmt help, ckptfmt help VERB\n")

    def full_help(self, context: click.Context) -> str:
        """Return the help of the whole command: streams, JSON and exit codes too."""
        formatter = context.make_formatter()
        self.format_usage(context, formatter)
        write_description(formatter, f"{HELP}\n{DETAILS}")
        self.format_options(context, formatter)
        write_section(formatter, "Examples", EXAMPLES.splitlines())
        write_section(formatter, "Exit codes", EXIT_CODES.splitlines())
        return formatter.getvalue()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each verb."""
        commands = [self.get_command(ctx, verb) for verb in VERBS]
        with formatter.section("Verbs"):
            formatter.write_dl([(each.name or "", each.short_help or "") for each in commands if each])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the verbs that begin as the user has typed; without any, the shell looks for files."""
        return super().shell_complete(ctx, incomplete) or [CompletionItem(incomplete, type="file")]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the help."""
        return list(VERBS)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; ``--json`` may also come before the verb."""
        if len(args) > 1 and args[0] == "--json" and "--" not in args:
            args = [*args[1:], "--json"]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb and its arguments; a path alone stands for ``info`` of it."""
        if args[0] not in VERBS and _is_path(args[0]):
            args = ["info", *args]
        elif args[0] not in VERBS and not args[0].startswith("-"):
            near = GUESSES.get(args[0].lower()) or closest_names(args[0], VERBS)
            hint = did_you_mean(near) or "; ckptfmt --help lists the verbs"
            ctx.fail(f"no verb and no file is called {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[cmd_name]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  (click's signature)
        """Run the verb and exit with its code; a failure is one line on stderr, never a traceback."""
        prepare_streams()
        try:
            code = self._run(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            discard_output()
            code = ExitCode.BROKEN_PIPE
        except OSError:
            # Writing the data failed, and a message has said so.
            discard_output()
            code = ExitCode.NOT_FOUND
        except KeyboardInterrupt:
            code = ExitCode.INTERRUPTED
        ctx.exit(code)

    def _run(self, ctx: click.Context) -> int:
        try:
            code: int = super().invoke(ctx)
            sys.stdout.flush()
        except click.exceptions.Exit as done:
            return done.exit_code
        except (click.ClickException, click.Abort, BrokenPipeError):
            raise
        except FAILURES as error:
            return report(error, as_json=ctx.meta.get(JSON, False))
        except Exception:
            # Not Python's own exit code 1, which means a finding here.
            traceback.print_exc()
            return ExitCode.INTERNAL
        return code


def _is_path(text: str) -> bool:
    """Whether the first argument is a path and not a verb: it has a file's form, or leads somewhere."""
    has_form = any(sign in text for sign in ("/", ".", "*", os.sep)) or text.startswith("~")
    return has_form or any(LOCAL.path_type(each) is not None for each in (text, text + INDEX_SUFFIX))


@click.group(
    cls=App,
    subcommand_metavar="PATH | VERB [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
def app() -> None:
    """Inspect and change TensorFlow's files without TensorFlow."""
