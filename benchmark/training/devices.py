"""The device of a training: whether it can be used, whether a cell has room there, and what it is."""

import os
import platform
import re
import shutil

import torch

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.training import peak_memory
from negbench.benchmark.training.peak_memory import peak_mb

USABLE = re.compile(r"cpu|(cuda|xpu)(:\d+)?")
"""What can train: it has random streams of its own, and numbers of 64 bits for the ranks."""

CONTEXT = 4 * 10**8
"""Bytes that a process takes of a GPU before it has anything there."""


def check(device: str) -> None:
    """``BenchError`` where torch cannot train on ``device``; call it before anything runs there."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic products on CUDA need it
    if not USABLE.fullmatch(device):
        raise BenchError(f"device '{device}' cannot be used for a training; use cpu, cuda or cuda:N")
    check_here(device)


def check_here(device: str) -> None:
    """``BenchError`` where torch has no such device."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise BenchError(f"device '{device}' cannot be used here; cpu always can") from None


def check_cell(config: RunConfig) -> None:
    """``BenchError`` where a device cannot be used, has no room for the memory alone, or nothing to compile with."""
    check(config.device)
    if config.compile and config.device == "cpu":
        check_compiler()
    room, pair = room_of(config.device), bytes_of_a_pair(config)
    if config.memory * pair > room:
        raise BenchError(
            f"memory: {config.memory:,} pairs of dim {config.dim:,} take {config.memory * pair / 1e9:,.1f} GB, and"
            f" {config.device} has {room / 1e9:,.1f}; use less than {room // pair:,}"
        )


def check_compiler() -> None:
    """``BenchError`` where torch would find no compiler of C++ for a graph on a CPU."""
    wanted = os.environ.get("CXX", "g++")
    if not shutil.which(wanted):
        raise BenchError(
            f"compile: there is no '{wanted}' to compile a graph with; install a compiler of C++, or leave compile out"
        )


def bytes_of_a_pair(config: RunConfig) -> int:
    """What a pair takes in the memory."""
    return 2 * config.dim * (4 if config.memory_precision == "float32" else 2)


def room_of(device: str) -> int:
    """Bytes of memory that a device has, in use or not."""
    if device == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(torch.get_device_module(device).get_device_properties(device).total_memory)


def peak(device: str) -> float:
    """Peak memory so far, of the device or of the process, in MiB."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.startswith("cuda") else peak_mb()


def begin_anew() -> None:
    """Let a process that trained before be as one that did not: its memory is free, and its peak forgotten.

    A GPU that an error left unusable ends the process: each later training would fail there.
    """
    if torch.cuda.is_initialized():
        try:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        except RuntimeError:
            os._exit(1)
    peak_memory.begin_anew()


def count() -> int:
    """GPUs of this machine that may be used."""
    return torch.cuda.device_count()


def check_shared(config: RunConfig, cells: int) -> None:
    """``BenchError`` where so many cells do not fit on one GPU, by their memories and torch's own needs alone."""
    need, room = cells * (config.memory * bytes_of_a_pair(config) + CONTEXT), room_of(config.device)
    if need > room:
        raise BenchError(
            f"--per-gpu {cells}: {cells} cells take {need / 1e9:,.1f} GB or more, and {config.device} has"
            f" {room / 1e9:,.1f}; use less than {cells}"
        )


def name(device: str) -> str:
    """Model of a GPU, or the machine's architecture."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine() or device
