"""The command line of scripts/lab."""

import argparse
import os
import subprocess
import sys

from . import state, toolbox, verbs
from .errors import LabError

_EXAMPLES = """examples:
  scripts/lab up 3                          three hosts with meshd, one cluster
  scripts/lab exec node1 -- meshctl node ls
  scripts/lab exec client -- curl -s http://node2:8010/
  scripts/lab open node1 8010               the page in the machine's own browser
  scripts/lab cut node3; scripts/lab heal node3
  scripts/lab down
"""


def _parser():
    parser = argparse.ArgumentParser(prog="scripts/lab", description="Many hosts on one machine.", epilog=_EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs_parser = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    default_name = os.environ.get("MESHLAB_NAME", "default")

    def verb(name, text):
        one = verbs_parser.add_parser(name, help=text, description=text)
        one.add_argument("--name", default=default_name, help="which lab (default: %(default)s, or $MESHLAB_NAME)")
        return one

    def host_verb(name, text):
        one = verb(name, text)
        one.add_argument("host", metavar="HOST")
        return one

    up = verb("up", "boot N nodes, a client and a registry, and form one cluster")
    up.add_argument("nodes", type=int, metavar="N")
    less = up.add_mutually_exclusive_group()
    less.add_argument("--bare", action="store_true", help="meshd runs on every node, but they form no cluster")
    less.add_argument("--no-meshd", action="store_true", help="only boot: no meshd, no cluster")
    up.add_argument("--uplink-mode", choices=("xdp", "tc", "auto"), default="xdp", help="the hook on eth0 (default: xdp)")
    up.add_argument("--uplink", metavar="NAME[,NAME]", default="eth0",
                    help="interfaces that meshd is told of (default: eth0); empty: it finds them")
    up.add_argument("--build", metavar="DIR", default=os.path.join(toolbox.SOURCE_ROOT, "build", "release"),
                    help="build directory with bin/meshd (default: build/release)")
    execute = host_verb("exec", "run a command on a host; exit code and terminal are the command's")
    execute.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD")
    host_verb("cut", "lose all packets of a host, both ways")
    host_verb("heal", "end a cut")
    host_verb("kill", "kill -9 of everything on a host")
    host_verb("restart", "boot a host again with its disk")
    door = host_verb("open", "a port of the machine's 127.0.0.1 that leads to HOST:PORT")
    door.add_argument("port", type=int, metavar="PORT")
    door.add_argument("--listen", type=int, default=0, metavar="PORT", help="port on 127.0.0.1 (default: a free one)")
    door.add_argument("--background", action="store_true", help="return at once; ends with the lab")
    daemon = verb("meshd", "start, stop, kill or restart meshd alone")
    daemon.add_argument("action", choices=("start", "stop", "kill", "restart"))
    daemon.add_argument("host", metavar="HOST")
    verb("status", "the hosts and how they are")
    verb("list", "names of all labs")
    verb("down", "remove the lab and all it made")
    return parser


def _print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("   ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def _status(arguments):
    lab, rows = verbs.status(arguments.name)
    print(f"lab {lab.name}: {lab.nodes} nodes, uplink mode {lab.uplink_mode}, cgroup prefix {lab.cgroup}, "
          f"disks in {lab.directory}")
    _print_table(rows)


def _up(arguments):
    lab = verbs.up(arguments.name, arguments.nodes, arguments.uplink_mode, arguments.build, daemons=not arguments.no_meshd,
                   formed=not arguments.bare, uplink=arguments.uplink)
    print(f"lab {lab.name} is up: {' '.join(lab.hosts())}")


def _exec(arguments):
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise LabError("exec needs a command", f"scripts/lab exec {arguments.host} -- ip address")
    verbs.execute(arguments.name, arguments.host, command)


_ACTIONS = {
    "up": _up,
    "exec": _exec,
    "cut": lambda a: verbs.cut(a.name, a.host),
    "heal": lambda a: verbs.heal(a.name, a.host),
    "kill": lambda a: verbs.kill(a.name, a.host),
    "restart": lambda a: verbs.restart(a.name, a.host),
    "open": lambda a: verbs.open_door(a.name, a.host, a.port, a.listen, a.background),
    "meshd": lambda a: verbs.meshd(a.name, a.action, a.host),
    "status": _status,
    "list": lambda a: print("\n".join(state.names())) if state.names() else None,
    "down": lambda a: verbs.down(a.name),
}


def main(arguments):
    parsed = _parser().parse_args(arguments)
    try:
        verbs.require_root()
        _ACTIONS[parsed.verb](parsed)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"lab: {parsed.verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
