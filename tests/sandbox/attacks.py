"""What a hostile submission tries: each function returns something true when it got through.

It is read as a submission, and run as a plain program for comparison. ``target`` says where the prizes are.
"""

# ruff: noqa: PTH101, PTH116, PTH123, ARG001, S103, S606, FURB122 - as an attacker would write

import ctypes
import fcntl
import os
import resource
import signal
import socket
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)


def write_a_file(target):
    with open(target["folder"] + "/written", "w") as file:
        file.write("x")
    return True


def read_a_secret(target):
    with open(target["secret"]) as file:
        return file.read() == target["token"]


def stat_a_secret(target):
    return os.stat(target["secret"]).st_size > 0


def chmod_a_secret(target):
    os.chmod(target["secret"], 0o666)
    return True


def truncate_a_secret(target):
    os.truncate(target["secret"], 0)
    return True


def find_a_token_in_the_environment(target):
    return target["token"] in os.environ.values()


def read_the_environment_of_the_grader(target):
    with open(f"/proc/{target['grader']}/environ", "rb") as file:
        return len(file.read()) > 0


def read_the_memory_of_the_grader(target):
    with open(f"/proc/{target['grader']}/mem", "rb", 0) as file:
        file.seek(target["address"])
        return file.read(len(target["token"])) == target["token"].encode()


def read_the_memory_of_the_grader_by_a_system_call(target):
    class Span(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    buffer = ctypes.create_string_buffer(len(target["token"]))
    here, there = Span(ctypes.addressof(buffer), len(buffer)), Span(target["address"], len(buffer))
    LIBC.process_vm_readv(target["grader"], ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return buffer.raw == target["token"].encode()


def connect_by_tcp(target):
    with socket.create_connection(("127.0.0.1", target["tcp"]), 1):
        return True


def send_by_udp(target):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.sendto(b"x", ("127.0.0.1", target["udp"]))
    return True


def connect_to_an_abstract_socket(target):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + target["abstract"])
    return True


def kill_a_process(target):
    os.kill(target["victim"], signal.SIGKILL)
    return True


def kill_a_thread(target):
    tgkill = {"x86_64": 234, "aarch64": 131}[os.uname().machine]
    return LIBC.syscall(tgkill, target["victim"], target["victim"], signal.SIGKILL) == 0


def kill_a_process_as_owner_of_a_pipe(target):
    reader, writer = os.pipe()
    fcntl.fcntl(reader, 10, signal.SIGKILL)  # F_SETSIG
    fcntl.fcntl(reader, fcntl.F_SETOWN, target["victim"])
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
    return os.write(writer, b"x") == 1


def limit_another_process(target):
    resource.prlimit(target["victim"], resource.RLIMIT_CORE, (0, 0))
    return True


def slow_another_process_down(target):
    os.setpriority(os.PRIO_PROCESS, target["victim"], 19)
    return True


def leave_a_daemon(target):
    if os.fork() == 0:
        os.setsid()
        os.closerange(0, 3)
        if os.fork() == 0:
            time.sleep(60)
        os._exit(0)
    os.wait()
    return True


def start_forty_processes(target):
    started = []
    try:
        for _ in range(40):
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
                os._exit(0)
            started.append(pid)
    except OSError:
        pass
    for pid in started:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return len(started) == 40


def execute_a_program(target):
    os.execv("/bin/sh", ["sh", "-c", "exit 42"])


def enter_a_user_namespace(target):
    return LIBC.unshare(0x10000000) == 0


def enter_a_mount_namespace_of_a_user_namespace(target):
    return LIBC.unshare(0x10020000) == 0


def fill_the_disk(target):
    with open(target["open_folder"] + "/large", "wb") as file:
        for _ in range(20):
            file.write(bytes(1 << 20))
    return True


def fill_the_memory_with_a_file(target):
    descriptor = os.memfd_create("large")
    for _ in range(20):
        os.write(descriptor, bytes(1 << 20))
    return True


def leave_a_shared_memory_segment(target):
    create = 0o1000
    return LIBC.shmget(target["key"], 4096, create | 0o666) >= 0


def import_a_package_that_was_not_granted(target):
    sys.path.insert(0, target["site"])
    import granted_to_nobody

    return granted_to_nobody.ANSWER == 42


def read_an_inherited_descriptor(target):
    os.lseek(target["descriptor"], 0, 0)
    return os.read(target["descriptor"], 100) == target["token"].encode()


def outlive_the_parent(target):
    return LIBC.prctl(1, 0, 0, 0, 0) == 0


def open_an_io_ring(target):
    io_uring_setup = 425
    return LIBC.syscall(io_uring_setup, 1, ctypes.create_string_buffer(120)) >= 0
