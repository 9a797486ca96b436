"""Compile LLVM source to machine code for this processor, through llvmlite."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache as once
from functools import cached_property
from types import ModuleType
from typing import Any

from . import cache
from .tracing import Unsupported

__all__ = ["Host", "compile_kernel", "host"]

_LOCK = threading.Lock()
_KEPT: list[object] = []  # machine code lives as long as the process


@dataclass(frozen=True)
class Host:
    """The processor that code is made for.

    Attributes
    ----------
    triple, name, features : str
        As LLVM names them.
    """

    triple: str
    name: str
    features: str

    def has(self, feature: str) -> bool:
        """Whether the processor has a feature, such as "avx512f"."""
        return f"+{feature}" in self.features.split(",")

    @cached_property
    def avx512(self) -> bool:
        """Whether there are 512-bit vectors with masks."""
        return self.has("avx512f") and self.has("avx512vl") and self.has("avx512dq")

    def width(self, itemsize: int) -> int:
        """Lanes of a vector for values of ``itemsize`` bytes.

        With AVX-512 it takes two registers: two chains of operations that don't wait for each
        other, written alternately, hide much of their latency. Others have too few registers.
        """
        size = 128 if self.avx512 else 32 if self.has("avx") else 16
        return size // itemsize


@once
def host() -> Host:
    """Return the processor of this machine."""
    import llvmlite.binding as llvm

    with _LOCK:
        _start(llvm)
    return Host(
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
    )


def _start(llvm: ModuleType) -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # a Python that is not linked against the mathematical library doesn't offer pow and its like
    for name in (ctypes.util.find_library("m"), "libm.so.6"):
        if name is not None:
            with contextlib.suppress(RuntimeError):  # on some systems the C library holds them
                llvm.load_library_permanently(name)
                return


def compile_kernel(
    name: str, target: Host, describe: Callable[[], Iterable[str]], source: Callable[[], str]
) -> Callable[..., None]:
    """Return a kernel as a callable of plain C arguments.

    Parameters
    ----------
    name : str
        Of the function.
    target : Host
        The processor to compile for.
    describe : callable
        Gives all texts that the code depends on: its name in the cache on disk.
    source : callable
        Gives LLVM source. Not called where the cache has the code.

    Raises
    ------
    Unsupported
        The C library of this machine lacks a function.
    """
    import llvmlite.binding as llvm

    entry = cache.digest((name, target.triple, target.name, target.features, *describe())) + ".o"
    code = cache.read(entry)
    if code is None:
        text = source()
        with _LOCK:
            code = _machine_code(llvm, text, target)
        cache.write(entry, code)
    with _LOCK:
        return _loaded(llvm, code, name, target)


def _machine_code(llvm: ModuleType, source: str, target: Host) -> bytes:
    machine = _machine(llvm, target)
    module = llvm.parse_assembly(f'target triple = "{target.triple}"\n{_without_triple(source)}')
    _check_symbols(llvm, module)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    # the source is in vectors already: unrolling only costs time and registers
    options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))


def _loaded(llvm: ModuleType, code: bytes, name: str, target: Host) -> Callable[..., None]:
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine(llvm, target))
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _KEPT.append(engine)
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    kind = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, integer, integer)
    return kind(engine.get_function_address(name))


def _machine(llvm: ModuleType, target: Host) -> Any:
    features = target.features + (",-prefer-256-bit" if target.avx512 else "")
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.name, features=features, opt=2, jit=True
    )


def _without_triple(source: str) -> str:
    return "\n".join(s for s in source.splitlines() if not s.startswith("target triple"))


def _check_symbols(llvm: ModuleType, module: Any) -> None:
    for function in module.functions:
        if function.is_declaration and not function.name.startswith("llvm."):
            if llvm.address_of_symbol(function.name) is None:
                raise Unsupported(f"{function.name}, which the C library lacks")
