"""PTX text as lists of instructions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.support.cuda.ptx_memory import PtxError

_WORD = re.compile(r"[^\s,{}\[\];]+")


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """`@!%p1 op a, b, {c, d}, [e+4]` with all its operands in a row."""

    op: str
    operands: tuple[str, ...]
    guard: str = ""
    negated: bool = False


@dataclass
class Program:
    """One kernel."""

    parameters: list[str] = field(default_factory=list)
    body: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    registers: dict[str, str] = field(default_factory=dict)  # prefix -> type
    static: dict[str, int] = field(default_factory=dict)  # shared arrays -> bytes
    threads: int = 0


def parse(text: str) -> dict[str, Program]:
    """The kernels of a PTX file."""
    programs: dict[str, Program] = {}
    text = re.sub(r"//[^\n]*", "", text)
    for match in re.finditer(r"\.entry\s+(\w+)\s*\((.*?)\)(.*?)\{(.*?)\n\}", text, re.DOTALL):
        name, parameters, settings, body = match.groups()
        program = Program(parameters=re.findall(r"\.param \.\w+ (\w+)", parameters))
        threads = re.search(r"\.maxntid (\d+)", settings)
        program.threads = int(threads[1]) if threads else 0
        for line in body.splitlines():
            # A block of inline assembly is one line, with a register of its own.
            block = re.fullmatch(r"\s*\{(\.reg.*)\}\s*", line)
            for part in block[1].split(";") if block else [line]:
                _parse_line(part.strip(), program)
        programs[name] = program
    return programs


def _parse_line(line: str, program: Program) -> None:
    if found := re.match(r"\.reg \.(\w+)\s+(.*)", line):
        for name in found[2].split(","):
            program.registers[name.split("<")[0].strip(" ;")] = found[1]
    elif found := re.match(r"\.shared \.align \d+ \.b8 (\w+)\[(\d+)\]", line):
        program.static[found[1]] = int(found[2])
    elif found := re.match(r"([$\w]+):", line):
        program.labels[found[1]] = len(program.body)
    elif line.startswith(".pragma"):
        pass  # advice to the assembler
    elif line.startswith("."):
        raise PtxError(f"unknown directive: {line}")
    elif line:
        guard = re.match(r"@(!?)([%\w]+)\s+", line)
        words = _WORD.findall(line[guard.end() if guard else 0 :])
        program.body.append(
            Instruction(
                op=words[0],
                operands=tuple(words[1:]),
                guard=guard[2] if guard else "",
                negated=bool(guard and guard[1]),
            )
        )
