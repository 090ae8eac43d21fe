#!/usr/bin/env python3
"""What nvcc makes of the kernels: no spills, and rows move in accesses of 16 bytes, in PTX and, where there is a cuobjdump,
in the machine code.

Usage: kernels_ptx_test.py NVCC ARCHITECTURE SOURCE_DIR [CUOBJDUMP]
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

NVCC, ARCHITECTURE, ROOT = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
CUOBJDUMP = sys.argv[4] if len(sys.argv) > 4 else None
VECTOR_LOAD = re.compile(r"ld\.global(\.nc)?\.v4\.(u32|b32|f32)")
VECTOR_STORE = re.compile(r"st\.global\.v4\.(u32|b32|f32)")
ROW_KERNELS = ("pack", "pack_weighted", "quantise", "regroup", "reduce", "swiglu", "swiglu_grad")


def disassemble(cubin: pathlib.Path) -> str:
    path = os.path.dirname(CUOBJDUMP) + os.pathsep + os.environ["PATH"]  # it calls nvdisasm
    return subprocess.run([CUOBJDUMP, "-sass", str(cubin)], capture_output=True, text=True, check=True,
                          env=os.environ | {"PATH": path}).stdout


def compile_kernel(name: str, folder: str) -> tuple[str, str, str | None]:
    """PTX of one kernel file, what ptxas says of it, and its machine code."""
    cubin = pathlib.Path(folder) / f"{name}.cubin"
    command = [NVCC, "-std=c++20", "-O3", f"-arch=sm_{ARCHITECTURE}", f"-I{ROOT}", f"-I{ROOT / 'src'}", "-Xptxas", "-v",
               "--keep", "--keep-dir", folder, "-cubin", "-o", str(cubin), str(ROOT / "kernels" / f"{name}_cuda.cu")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name}: nvcc failed\n{done.stderr}")
    ptx = (pathlib.Path(folder) / f"{name}_cuda.ptx").read_text(encoding="utf-8")
    return ptx, done.stderr, disassemble(cubin) if CUOBJDUMP else None


def problems_of(name: str, ptx: str, ptxas: str, sass: str | None) -> list[str]:
    found = [f"{name}: {line.strip()}" for line in ptxas.splitlines()
             if re.search(r"[1-9]\d* bytes spill|[1-9]\d* bytes stack frame", line)]
    if "bytes spill stores" not in ptxas:
        found.append(f"{name}: ptxas reported nothing")
    if name in ROW_KERNELS:
        if not VECTOR_LOAD.search(ptx):
            found.append(f"{name}: no load of 16 bytes")
        if not VECTOR_STORE.search(ptx):
            found.append(f"{name}: no store of 16 bytes")
        if sass is not None:
            found += [f"{name}: no {access}.128 in the machine code" for access in ("LDG", "STG")
                      if not re.search(rf"{access}\.E(\.\w+)*\.128", sass)]
    return found


def main() -> int:
    problems = []
    names = sorted(path.name.removesuffix("_cuda.cu") for path in (ROOT / "kernels").glob("*_cuda.cu"))
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            problems += problems_of(name, *compile_kernel(name, folder))
    print(*problems, sep="\n")
    return 1 if problems or not names else 0


if __name__ == "__main__":
    sys.exit(main())
