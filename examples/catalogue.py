"""What is in each example image."""

import glob
import os
import subprocess

from images import Image, Layer, health

# What every image carries: a shell with the usual commands, the C library and its resolver.
C_LIBRARY = ("ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libresolv.so.2")
LIBRARY_DIRECTORY = "lib/x86_64-linux-gnu"
INTERPRETER = "lib64/ld-linux-x86-64.so.2"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PASSWD = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUP = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"


def shared_libraries(program):
    """soname -> path of everything that `program` loads, the interpreter included."""
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    libraries = {}
    for line in listed.splitlines():
        words = line.split()
        path = next((word for word in words if word.startswith("/")), None)
        if "not found" in line:
            raise SystemExit(f"{program}: {line.strip()}; scripts/setup installs what it needs")
        if path:
            libraries[os.path.basename(words[0])] = path
    return libraries


def base_layer(busybox):
    layer = Layer()
    for path in ("dev", "etc", "proc", "root", "run", "sys", "usr/bin", "usr/sbin", "var/lib", "var/log"):
        layer.directory(path)
    layer.directory("tmp", 0o1777)
    layer.file("etc/passwd", PASSWD).file("etc/group", GROUP)
    layer.file("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    layer.copy("bin/busybox", busybox)
    for applet in subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if applet != "busybox":
            layer.link(f"bin/{applet}", "busybox")
    for name in C_LIBRARY:
        layer.copy(f"{LIBRARY_DIRECTORY}/{name}", f"/{LIBRARY_DIRECTORY}/{name}")
    layer.link(INTERPRETER, f"../{LIBRARY_DIRECTORY}/ld-linux-x86-64.so.2")
    return layer


def add_program(layer, path, source):
    """The program and the libraries that the base layer has not."""
    layer.copy(path, source)
    for name, library in shared_libraries(source).items():
        if name not in C_LIBRARY:
            layer.copy(f"{LIBRARY_DIRECTORY}/{name}", library)


def config(command, environment=(), port=None, **more):
    result = {"Env": [PATH, *environment], "Cmd": command, "WorkingDir": "/", **more}
    if port:
        result["ExposedPorts"] = {f"{port}/tcp": {}}
    return result


def program_layer(directory, *names):
    layer = Layer()
    for name in names:
        add_program(layer, f"usr/bin/{name}", os.path.join(directory, name))
    return layer


def nginx_layer(package, own):
    layer = Layer()
    add_program(layer, "usr/sbin/nginx", os.path.join(package, "usr/sbin/nginx"))
    layer.copy("etc/nginx/nginx.conf", os.path.join(own, "nginx/nginx.conf"))
    layer.copy("usr/share/nginx/html/index.html", os.path.join(own, "nginx/index.html"))
    layer.directory("var/lib/nginx").directory("var/log/nginx").directory("var/www")
    return layer


def tools_layer(directory, extra):
    """`extra`: more programs to carry, as files of the build."""
    layer = program_layer(directory, "resolve-glibc")
    # Static: nothing of glibc is in it.
    layer.copy("usr/bin/resolve-musl", os.path.join(directory, "resolve-musl"))
    for program in extra:
        add_program(layer, f"usr/bin/{os.path.basename(program)}", program)
    return layer


def probe(path="/healthz"):
    return health(["/bin/wget", "-q", "-O", "/dev/null", f"http://127.0.0.1{path}"])


# Process 1 gets no signal that it has not asked for, so a plain `sleep` would have to be killed.
WAIT = ["/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"]


def catalogue(source, build, nginx_package, busybox):
    """Every image. `source`: this folder. `build`: the CMake build directory. `nginx_package`: Debian's nginx unpacked."""
    programs = os.path.join(build, "examples/bin")
    base = base_layer(busybox)
    timecheck = program_layer(programs, "timecheck")

    def web(name, book_name):
        return Image(name, [base, program_layer(programs, name)],
                     config([f"/usr/bin/{name}"], port=80, Healthcheck=probe(), StopSignal="SIGTERM"),
                     [f"library/{name}:latest", f"diamol/{book_name}:latest"])

    def clock(version, *more):
        return Image(f"timecheck-{version}", [base, timecheck],
                     config(["/usr/bin/timecheck"], [f"APP_VERSION={version}", "APP_ENVIRONMENT=PROD"]),
                     [f"library/timecheck:{version}", f"diamol/ch12-timecheck:{version}", *more])

    return [
        web("iotd", "ch09-image-of-the-day"),
        web("accesslog", "ch09-access-log"),
        web("image-gallery", "ch09-image-gallery"),
        clock("1.0"),
        clock("2.0", "library/timecheck:latest"),
        Image("nginx", [base, nginx_layer(nginx_package, source)],
              config(["/usr/sbin/nginx"], port=80, StopSignal="SIGQUIT"), ["library/nginx:latest"]),
        Image("mesh-tools", [base, tools_layer(programs, sorted(glob.glob(os.path.join(build, "bin/mesh-echo"))))],
              config(WAIT), ["library/mesh-tools:latest"]),
    ]
