"""run.py NAME [--seconds N] [--seed N]: runs a fuzzer over its corpus and then on from there. The corpus that is kept
is tests/fuzz/corpus/NAME; what was found new goes to build/release/fuzz/NAME, inputs that fail to build/release/fuzz/failed.

    run.py NAME --once      what is found new is forgotten: each such run begins with the same
    run.py NAME --keep      the kept corpus anew, from itself and from what was found, as few files as cover the same
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
BIN_DIR = os.environ.get("MESH_BIN_DIR") or os.path.join(FOLDER, "..", "..", "build", "release", "bin")
BUILD_DIR = os.path.dirname(os.path.abspath(BIN_DIR))


def keep(program, kept, found):
    fresh = kept + ".new"
    os.makedirs(fresh)
    merged = subprocess.run([program, "-set_cover_merge=1", "-use_counters=0", "-max_len=2048", fresh, kept, found])
    if merged.returncode:
        shutil.rmtree(fresh)
        return merged.returncode
    shutil.rmtree(kept)
    os.rename(fresh, kept)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    program = os.path.join(BUILD_DIR, "tests", "mesh-fuzz-" + arguments.name)
    kept = os.path.join(FOLDER, "corpus", arguments.name)
    found = os.path.join(BUILD_DIR, "fuzz", arguments.name)
    failed = os.path.join(BUILD_DIR, "fuzz", "failed", arguments.name + "-")
    os.makedirs(os.path.dirname(failed), exist_ok=True)
    os.makedirs(found, exist_ok=True)
    if arguments.keep:
        sys.exit(keep(program, kept, found))
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as forgotten:
        run = subprocess.run([program, f"-max_total_time={arguments.seconds}", f"-seed={arguments.seed}", "-max_len=4096",
                              "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
                              "-error_exitcode=1", f"-artifact_prefix={failed}",
                              forgotten if arguments.once else found, kept])
    sys.exit(run.returncode)


main()
