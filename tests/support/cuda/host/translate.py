"""CUDA C++ of ours as C++ for g++: inline assembly becomes calls of `device.h`, in its own order.

Everything else stays as it is. So an operand that stands in the wrong place of an instruction, or
an instruction in the wrong order, computes on the host what it would compute on a GPU.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ASM = re.compile(r"\basm\s*(?:volatile\s*)?\(")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_KERNEL = re.compile(
    r'extern "C" __global__ void\s*(?:__launch_bounds__\(([^)]*)\)\s*)?(\w+)\s*\(', re.DOTALL
)


class TranslationError(Exception):
    """Text that is not understood."""


def translate(text: str) -> str:
    """Return a whole file for g++, with what the driver asks a module for at its end."""
    text = re.sub(r"extern __shared__ uint4 shared\[\];", "extern uint4 shared[];", text)
    text = _sections(text)
    made, at = [], 0
    while (found := _ASM.search(text, at)) is not None:
        end = _closing(text, found.end() - 1)
        statement = _statement(text[found.end() : end], volatile="volatile" in found[0])
        made += [text[at : found.start()], statement]
        at = end + 1
    return '#include "device.h"\n' + "".join(made) + text[at:] + _table(text)


def _sections(text: str) -> str:
    """Give each kernel's static shared memory a section of its own."""
    found = list(_KERNEL.finditer(text))
    ends = [*(one.start() for one in found[1:]), len(text)]
    made = text[: found[0].start()] if found else text
    for one, end in zip(found, ends, strict=True):
        own = f'static __attribute__((used, section("{_section(one[2])}")))'
        made += text[one.start() : end].replace("__shared__", own)
    return made


def _section(kernel: str) -> str:
    return f"shared_of_{kernel}"


def _table(text: str) -> str:
    """Return the functions by which the driver finds and calls kernels."""
    lines, rows = [], []
    for bounds, name in _KERNEL.findall(text):
        threads = _split(bounds)[0] if bounds else "0"
        begin = end = "nullptr"
        if f'"{_section(name)}"' in text:
            begin, end = f"__start_{_section(name)}", f"__stop_{_section(name)}"
            lines.append(f'extern "C" char {begin}[], {end}[];')
        lines.append(f"static void run_{name}(void** given) {{ call({name}, given); }}")
        lines.append(f"typedef decltype(parameters_of({name})) of_{name};")
        own = f"of_{name}::count, of_{name}::sizes, (unsigned)({threads})"
        rows.append(f'{{"{name}", run_{name}, {own}, {begin}, {end}}}')
    return "\n".join((
        "", *lines, f"static const HostKernel all[] = {{{', '.join(rows)}}};",
        f'extern "C" HostImage host_image() {{ return {{all, {len(rows)}}}; }}', "",
    ))  # fmt: skip


def _statement(inside: str, *, volatile: bool) -> str:
    """Return what stands for one asm statement, whose parentheses are around `inside`."""
    template, *rest = _split(inside, ":")
    operands = [
        one for part in rest[:2] for one in _split(part) if one.strip()
    ]  # the third are clobbers
    words = "".join(_STRING.findall(template)).replace("\\n", " ").strip()
    if not words:
        return "do {} while (0)"  # only keeps a compiler from moving something
    # What touches memory must say so, or a compiler may move it over a barrier.
    if re.search(r"\[|cp\.async|ldmatrix", words) and not (
        volatile and any('"memory"' in part for part in rest[2:])
    ):
        raise TranslationError(f"not volatile, or without its clobber of memory: {words}")
    lines, behind = list[str](), list[str]()
    for n, operand in enumerate(operands):
        found = re.fullmatch(r'\s*"([^"]*)"\s*\((.*)\)\s*', operand, re.DOTALL)
        if found is None:
            raise TranslationError(operand)
        if found[1][0] == "=":  # holds nothing before it is written
            lines.append(f"auto& written{n} = ({found[2]}); auto operand{n} = nothing(written{n});")
            behind.append(f"written{n} = operand{n};")
            continue
        kind = "auto&" if found[1][0] == "+" else "const auto"
        lines.append(f"{kind} operand{n} = ({found[2]});")
    lines += [*_instructions(words), *behind]
    return "do { " + " ".join(lines) + " } while (0)"


def _instructions(words: str) -> Iterator[str]:
    if words.startswith("{"):  # registers of its own
        words = words[1 : words.rindex("}")]
    for one in filter(None, (part.strip() for part in words.split(";"))):
        if one.startswith(".reg"):
            yield f"u32 {one.split(None, 2)[2]};"
            continue
        guard = re.match(r"@(\w+)\s+", one)
        if guard:
            yield f"if ({guard[1]})"
        opcode, _, given = one[guard.end() if guard else 0 :].partition(" ")
        given = re.sub(r"[{}\[\]\s]", "", given)
        given = re.sub(r"%(\d+)", r"operand\1", given)
        yield f"ptx::{opcode.replace('.', '_')}({given});"


def _closing(text: str, at: int) -> int:
    """Return where the parenthesis that opens at `at` closes."""
    depth = 0
    for one in re.finditer(r'"(?:[^"\\]|\\.)*"|[()]', text[at:]):
        depth += {"(": 1, ")": -1}.get(one[0], 0)
        if depth == 0:
            return at + one.start()
    raise TranslationError("a parenthesis is not closed")


def _split(text: str, by: str = ",") -> list[str]:
    """Split at `by`, where it stands outside of strings, parentheses, brackets and `::`."""
    parts, depth, begin = [], 0, 0
    for one in re.finditer(r'"(?:[^"\\]|\\.)*"|[()\[\]{}]|::|.', text, re.DOTALL):
        token = one[0]
        if token in ("(", "[", "{"):
            depth += 1
        elif token in (")", "]", "}"):
            depth -= 1
        elif depth == 0 and (token == by or (token == "::" and by == ":")):
            parts.append(text[begin : one.start()])
            if token == "::":  # two empty ones beside each other
                parts.append("")
            begin = one.end()
    return [*parts, text[begin:]]
