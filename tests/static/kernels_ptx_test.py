#!/usr/bin/env python3
"""What nvcc makes of the kernels: no spills, and each instantiation of a kernel that moves rows does so in accesses of
16 bytes, in PTX and, where there is a cuobjdump, in the machine code.

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
# Accesses of 16 bytes.
PTX = {"load": re.compile(r"ld\.global(\.nc)?\.v4\.(u32|b32|f32)"),
       "store": re.compile(r"st\.global\.v4\.(u32|b32|f32)")}
SASS = {"load": re.compile(r"LDG\.E(\.\w+)*\.128"), "store": re.compile(r"STG\.E(\.\w+)*\.128")}
ROW_KERNELS = ("pack", "pack_weighted", "quantise", "regroup", "reduce", "swiglu", "swiglu_grad")
# What has fewer: of two sides whose elements differ in width, a lane moves 16 bytes of the wider one.
NARROW = {
    "regroup_rows<E4m3, BFloat16>": "load",  # 8 bytes in
    "regroup_rows<E4m3, float>": "load",  # 4 bytes in
    "regroup_rows<BFloat16, float>": "load",  # 8 bytes in
    "regroup_rows<float, BFloat16>": "store",  # 8 bytes out
}


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


def readable(mangled: str) -> str:
    """A kernel's name and template arguments, without namespaces."""
    full = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout
    name = re.search(r"(\w+)(<[^<>]*>)?\(\w", full)
    return re.sub(r"\w+::", "", name[1] + (name[2] or "")) if name else mangled


def entries(text: str, head: str) -> dict[str, str]:
    """The code of each kernel, by readable name; `head` matches what a kernel begins with, and captures its name."""
    parts = re.split(head, text)[1:]
    return {readable(name): body for name, body in zip(parts[::2], parts[1::2])}


def narrow_accesses(found: dict[str, str], wide: dict[str, re.Pattern], code: str) -> list[str]:
    if not found:
        return [f"no kernel in the {code}"]
    return [f"{entry}: no {access} of 16 bytes in the {code}" for entry, body in found.items() for access in wide
            if NARROW.get(entry) != access and not wide[access].search(body)]


def problems_of(name: str, ptx: str, ptxas: str, sass: str | None) -> list[str]:
    found = [f"{name}: {line.strip()}" for line in ptxas.splitlines()
             if re.search(r"[1-9]\d* bytes spill|[1-9]\d* bytes stack frame", line)]
    if "bytes spill stores" not in ptxas:
        found.append(f"{name}: ptxas reported nothing")
    if name in ROW_KERNELS:
        kernels = entries(ptx, r"(?m)^.*\.entry\s+(\w+)")
        found += [f"{name}: {problem}" for problem in narrow_accesses(kernels, PTX, "PTX")]
        found += [f"{name}: {entry} is excepted for its {NARROW[entry]}, which has 16 bytes"
                  for entry, body in kernels.items() if entry in NARROW and PTX[NARROW[entry]].search(body)]
        if sass is not None:
            kernels = entries(sass, r"Function : (\w+)")
            found += [f"{name}: {problem}" for problem in narrow_accesses(kernels, SASS, "machine code")]
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
