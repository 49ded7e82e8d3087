"""A machine that runs PTX on a CPU, so that CUDA kernels can be tested without a GPU.

All threads of all blocks run side by side, as numpy vectors. Where they part ways, those that
are furthest behind in the program go on first (min-PC), which brings them together again.
Written from the PTX ISA's description of each instruction; only those that our kernels come to
are there, and any other raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tests.support.cuda.ptx_memory import Array, GlobalMemory, PtxError, SharedMemory
from tests.support.cuda.ptx_program import Instruction, Program

_KINDS: dict[str, type[np.generic]] = {
    "pred": np.bool_, "f32": np.float32, "b32": np.uint32, "u32": np.uint32, "s32": np.int32,
    "b16": np.uint16, "u16": np.uint16, "s16": np.int16, "f16": np.float16,
    "b64": np.uint64, "u64": np.uint64, "s64": np.int64,
}  # fmt: skip


def _quotient(a: Array, b: Array) -> Array:
    """Towards zero, which numpy's is not. (Threads that are elsewhere may divide by 0.)"""
    return np.trunc(a.astype(np.float64) / np.where(b == 0, 1, b)).astype(a.dtype)


def _insert(a: Array, b: Array, start: Array, length: Array) -> Array:
    field = (((1 << length.astype(np.uint64)) - 1) << start.astype(np.uint64)).astype(a.dtype)
    made: Array = (b & ~field) | ((a << start) & field)
    return made


_OPERATORS: dict[str, Callable[..., Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "mul.lo": np.multiply,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert,
    "min": np.minimum, "max": np.maximum, "shl": np.left_shift, "shr": np.right_shift,
    "mad.lo": lambda a, b, c: a * b + c, "mov": lambda a: a,
    "div": _quotient, "rem": lambda a, b: a - b * _quotient(a, b),
    "neg": np.negative, "abs": np.absolute, "add.rn": np.add, "mul.rn": np.multiply,
}  # fmt: skip
_WHOLE: dict[str, Callable[..., Array]] = {  # by their whole name
    "bfi.b32": _insert,
    "bfi.b64": _insert,
    # A product of two fp32 is exact in fp64.
    "fma.rn.f32": lambda a, b, c: (a.astype(np.float64) * b + c).astype(np.float32),
    "div.rn.f32": np.divide,
    "mul.hi.s32": lambda a, b: (a.astype(np.int64) * b >> 32).astype(np.int32),
    "mul.hi.u32": lambda a, b: (a.astype(np.uint64) * b >> np.uint64(32)).astype(np.uint32),
}
_COMPARISONS: dict[str, Callable[[Array, Array], Array]] = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip


def _unit(program: Program) -> int:
    """Bytes of an access to shared memory; one size for all of a kernel."""
    sizes = {
        {"v4": 16, "v2": 8}.get(one.op.split(".")[2], 4)
        for one in program.body
        if one.op.startswith(("ld.shared", "st.shared"))
    }
    if len(sizes) > 1:
        raise PtxError("shared memory is used in several sizes")
    return sizes.pop() if sizes else 16


class Machine:
    """Runs one launch of one kernel."""

    def __init__(
        self, program: Program, memory: GlobalMemory, *, blocks: int, threads: int, dynamic: int
    ) -> None:
        """`dynamic`: bytes of dynamic shared memory of a block."""
        if program.threads not in (0, threads):
            raise PtxError(f"built for {program.threads} threads, launched with {threads}")
        self._program, self._memory, self._blocks = program, memory, blocks
        self._count = blocks * threads
        self._symbols, size = {"shared": 0}, dynamic
        for name, own in program.static.items():
            self._symbols[name] = size
            size += own
        self.shared = SharedMemory(blocks, threads, size, _unit(program))
        self._block = np.repeat(np.arange(blocks), threads)
        every = np.arange(self._count)
        self._special = {
            "%tid.x": (every % threads).astype(np.uint32),
            "%ctaid.x": self._block.astype(np.uint32),
            "%nctaid.x": np.full(self._count, blocks, np.uint32),
            "%ntid.x": np.full(self._count, threads, np.uint32),
        }
        self._registers: dict[str, Array] = {}
        self._parameters: dict[str, int | float] = {}
        self._parts: dict[int, Array] = {}  # where threads are -> which
        self._waiting: dict[int, Array] = {}  # at a barrier
        self._live = np.ones(self._count, bool)
        self._whole = True  # whether the instruction is for all that live
        self._numbers: dict[tuple[str, str], Array] = {}
        self._operands: dict[tuple[int, ...], tuple[tuple[Array, ...], Array]] = {}
        self.executed = 0

    def run(self, arguments: Sequence[int | float]) -> None:
        """Until every thread has returned. Raises PtxError for what must not happen."""
        self._parameters = dict(zip(self._program.parameters, arguments, strict=True))
        self._parts = {0: self._live.copy()}
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            while self._parts:
                self._advance()
        if self._waiting:
            raise PtxError("threads wait at a barrier for ever")
        self.shared.end()

    def _advance(self) -> None:
        """The threads that are furthest behind, until they branch or meet others."""
        at = min(self._parts)
        mask = self._parts.pop(at)
        limit = min(self._parts, default=len(self._program.body))
        whole = bool((mask | ~self._live).all())
        while at < limit:
            instruction = self._program.body[at]
            self.executed += 1
            op = instruction.op.split(".")[0]
            if op in ("bra", "ret", "bar"):
                active = self._guarded(instruction, mask)
                self._join(at + 1, mask & ~active)
                if op == "bra":
                    self._join(self._program.labels[instruction.operands[0]], active)
                elif op == "ret":
                    self._live &= ~active
                    self._release()
                elif instruction.op == "bar.warp.sync":
                    self.shared.warp_barrier(np.unique(np.flatnonzero(active) // 32))
                    self._join(at + 1, active)
                else:
                    self._waiting[at] = self._waiting.get(at, np.zeros_like(active)) | active
                    self._release()
                return
            active = self._guarded(instruction, mask)
            self._whole = whole and active is mask
            if active is mask or active.any():
                self._execute(instruction, active)
            at += 1
        self._join(at, mask)

    def _guarded(self, instruction: Instruction, mask: Array) -> Array:
        if not instruction.guard:
            return mask
        guard = self._registers[instruction.guard]
        return mask & (~guard if instruction.negated else guard)

    def _join(self, at: int, mask: Array) -> None:
        if mask.any():
            self._parts[at] = self._parts[at] | mask if at in self._parts else mask

    def _release(self) -> None:
        """Let blocks pass whose threads have all come to the barrier."""
        for at, waiting in list(self._waiting.items()):
            come = np.bincount(self._block[waiting], minlength=self._blocks)
            live = np.bincount(self._block[self._live], minlength=self._blocks)
            passes = (come == live) & (come > 0)
            for block in np.flatnonzero(passes):
                self.shared.barrier(int(block))
            go = waiting & passes[self._block]
            self._join(at + 1, go)
            self._waiting[at] = waiting & ~go
            if not self._waiting[at].any():
                del self._waiting[at]

    # --- operands ---

    def _kind(self, register: str) -> str:
        return self._program.registers[register.rstrip("0123456789")]

    def _value(self, operand: str, kind: str) -> Array:
        """(threads,) of the asked type: a register, a number or the place of a shared array."""
        dtype = _KINDS[kind]
        if operand in self._registers:  # of predicates too: their type is "pred"
            value = self._registers[operand]
            return value if value.dtype == dtype else value.view(dtype)
        if operand in self._special:
            return self._special[operand]
        if operand[0] == "%":
            raise PtxError(f"{operand} is read before it is written")
        if (operand, kind) not in self._numbers:
            self._numbers[operand, kind] = self._number(operand).astype(dtype)
        return self._numbers[operand, kind]

    def _number(self, operand: str) -> Array:
        if operand in self._symbols:
            return np.full(self._count, self._symbols[operand])
        if operand.startswith("0f"):
            return np.full(self._count, np.frombuffer(bytes.fromhex(operand[2:]), ">f4")[0], "f4")
        return np.full(self._count, int(operand, 0))

    def _set(self, register: str, value: Array, mask: Array) -> None:
        dtype = _KINDS[self._kind(register)]
        if value.dtype != dtype:
            value = value.view(dtype)
        if not self._whole:
            old = self._registers.get(register)
            if old is None:
                old = np.zeros(self._count, dtype)
            value = np.where(mask, value, old)
        self._registers[register] = value

    def _address(self, words: Sequence[str]) -> tuple[str, int]:
        base, _, offset = words[0].partition("+")
        return base, int(offset or 0)

    # --- instructions ---

    def _execute(self, instruction: Instruction, mask: Array) -> None:
        op, operands = instruction.op, instruction.operands
        name, _, rest = op.partition(".")
        kind = op.rsplit(".", 1)[-1]
        if name in ("ld", "st"):
            self._move(op, operands, mask)
        elif name == "cp":
            self._copy(op, operands, mask)
        elif name == "ldmatrix":
            self._load_matrices(op, operands, mask)
        elif name == "mma":
            self._multiply(op, operands, mask)
        elif name == "setp":
            self._set(operands[0], self._compare(op.split(".")[1], kind, operands), mask)
        elif op == "cvt.rn.f16x2.f32":
            high, low = (self._value(o, "f32").astype(np.float16) for o in operands[1:])
            both = np.stack([low, high], axis=1).reshape(-1).view(np.uint32)
            self._set(operands[0], both, mask)
        elif op == "mov.b32" and len(operands) == 3:
            halves = self._value(operands[2], "b32").view(np.uint16).reshape(-1, 2)
            for n in range(2):
                self._set(operands[n], np.ascontiguousarray(halves[:, n]), mask)
        elif op == "cvt.u16.u8":
            self._set(operands[0], self._value(operands[1], "u16") & np.uint16(0xFF), mask)
        elif op == "cvt.rni.s32.f32":  # ties go to the even one, for both
            self._set(operands[0], np.rint(self._value(operands[1], "f32")).astype(np.int32), mask)
        elif name == "cvt":
            to, source = rest.removeprefix("rn.").split(".")
            self._set(operands[0], self._value(operands[1], source).astype(_KINDS[to]), mask)
        elif name == "cvta":
            self._set(operands[0], self._value(operands[1], "u64"), mask)
        else:
            self._set(operands[0], self._compute(op, operands[1:], kind), mask)

    def _compute(self, op: str, operands: Sequence[str], kind: str) -> Array:
        """Arithmetic: the result of the operands behind the first."""
        name = op.partition(".")[0]
        if op.startswith("mul.wide"):
            wide = {"s32": "s64", "u32": "u64", "u16": "u32", "s16": "s32"}[kind]
            a, b = (self._value(o, kind).astype(_KINDS[wide]) for o in operands)
            return a * b
        if name in ("shr", "shl"):
            amount = self._value(operands[1], "u32").astype(_KINDS[kind])
            return _OPERATORS[name](self._value(operands[0], kind), amount)
        if name == "selp":
            a, b = (self._value(o, kind) for o in operands[:2])
            return np.where(self._registers[operands[2]], a, b)
        values = [self._value(o, kind) for o in operands]
        operator = _OPERATORS.get(op.removesuffix(f".{kind}")) or _WHOLE.get(op)
        if operator is None:
            raise PtxError(f"unknown instruction: {op}")
        return operator(*values)

    def _compare(self, how: str, kind: str, operands: Sequence[str]) -> Array:
        a, b = (self._value(o, kind) for o in operands[1:])
        return _COMPARISONS[how](a, b)

    def _move(self, op: str, operands: Sequence[str], mask: Array) -> None:
        """Loads and stores."""
        _, space, *rest = op.split(".")
        kind = rest[-1]
        if space == "param":
            value = np.full(self._count, self._parameters[operands[1]], _KINDS[kind])
            self._set(operands[0], value, mask)
            return
        words = 4 if "v4" in rest else 2 if "v2" in rest else 1
        threads = np.flatnonzero(mask)
        load = op.startswith("ld")
        registers = operands[:words] if load else operands[1:]
        base, offset = self._address(operands[words:] if load else operands)
        size = {"u8": 1, "u16": 2}.get(kind, 4)
        if space not in ("global", "shared") or (space, size) == ("shared", 1):
            raise PtxError(f"unknown instruction: {op}")
        wide = "u64" if space == "global" else "u32"
        address = self._value(base, wide)[threads] + _KINDS[wide](offset)
        if load:
            got = (
                self._memory.load(threads, address, words, size)
                if space == "global"
                else self.shared.load(threads, address, "load")
            )
            for n, register in enumerate(registers):
                value = np.zeros(self._count, np.uint32 if size == 4 else np.uint16)
                value[threads] = got[:, n]
                self._set(register, value, mask)
            return
        if size < 4:
            # The lower bits of a register, which may be wider.
            value = self._value(registers[0], self._kind(registers[0]))[threads, None]
            self._memory.store(threads, address, value.astype(np.uint8 if size == 1 else np.uint16))
            return
        given = np.stack([self._value(r, kind)[threads].view(np.uint32) for r in registers], axis=1)
        if space == "global":
            self._memory.store(threads, address, given)
        else:
            self.shared.store(threads, address, given)

    def _copy(self, op: str, operands: Sequence[str], mask: Array) -> None:
        threads = np.flatnonzero(mask)
        if op == "cp.async.commit_group":
            self.shared.commit(threads)
        elif op == "cp.async.wait_group":
            self.shared.wait(threads, int(operands[0]))
        elif op == "cp.async.cg.shared.global" and operands[2] == "16":
            to = self._value(operands[0], "u32")[threads]
            origin = self._value(operands[1], "u64")[threads]
            size = self._value(operands[3], "u32")[threads] if len(operands) > 3 else None
            if size is not None and not np.isin(size, (0, 16)).all():
                raise PtxError("cp.async of a part")
            reads = np.ones(threads.size, bool) if size is None else size == 16
            data = np.zeros((threads.size, 4), np.uint32)
            if reads.any():
                data[reads] = self._memory.load(threads[reads], origin[reads], 4)
            self.shared.copy(threads, to, data)
        else:
            raise PtxError(f"unknown instruction: {op}")

    def _warps(self, mask: Array, op: str) -> Array:
        """Which warps take part; all of a warp's threads have to."""
        whole = mask.reshape(-1, 32)
        if (whole.any(axis=1) != whole.all(axis=1)).any():
            raise PtxError(f"{op} by a part of a warp")
        return np.asarray(whole[:, 0])

    def _load_matrices(self, op: str, operands: Sequence[str], mask: Array) -> None:
        if op != "ldmatrix.sync.aligned.m8n8.x4.shared.b16":
            raise PtxError(f"unknown instruction: {op}")
        self._warps(mask, op)
        base, offset = self._address(operands[4:])
        threads = np.flatnonzero(mask)
        address = self._value(base, "u32")[threads] + np.uint32(offset)
        rows = self.shared.load(threads, address, "ldmatrix").reshape(-1, 4, 32)
        for n, register in enumerate(operands[:4]):
            # Thread t gets word t % 4 of row t / 4, which is how the words lie already.
            value = np.zeros(self._count, np.uint32)
            value[threads] = rows[:, n].reshape(-1)
            self._set(register, value, mask)

    def _multiply(self, op: str, operands: Sequence[str], mask: Array) -> None:
        """A product of 16 x 16 and 16 x 8 numbers, added to sums of fp32 or of fp16.

        How the tensor cores round on the way is not specified. Here products and their sums are
        of fp32, and those of fp16 are rounded once, at the end and to the nearest, as was found
        on Volta, Turing and Ampere (Valpey et al., arXiv:2502.15999).
        """
        kind = op.removeprefix("mma.sync.aligned.m16n8k16.row.col.")
        registers = {"f32.f16.f16.f32": 4, "f16.f16.f16.f16": 2}.get(kind)  # of the sums
        if registers is None:
            raise PtxError(f"unknown instruction: {op}")
        self._warps(mask, op)
        results, rest = operands[:registers], operands[registers:]
        a, b = self._matrix(rest[:4]), self._matrix(rest[4:6])
        product = a @ b.transpose(0, 2, 1)  # (warps, 16, 8) fp32
        for n, (register, before) in enumerate(zip(results, rest[6:], strict=True)):
            if registers == 2:  # a row's two neighbours in one
                own = product[:, n * 8 : n * 8 + 8].reshape(-1, 2)
                old = self._value(before, "b32").view(np.float16).reshape(-1, 2)
                total = (own + old).astype(np.float16).reshape(-1).view(np.uint32)
            else:
                own = product[:, n // 2 * 8 : n // 2 * 8 + 8].reshape(-1, 8, 4, 2)[..., n % 2]
                total = self._value(before, "f32") + own.reshape(-1)
            self._set(register, total, mask)

    def _matrix(self, registers: Sequence[str]) -> Array:
        """A (warps, 16, 16) or B (warps, 8 columns, 16), fp32, of the registers of all lanes."""
        own = tuple(self._value(register, "b32") for register in registers)
        key = tuple(id(one) for one in own)
        kept = self._operands.get(key)
        if kept is not None and all(a is b for a, b in zip(kept[0], own, strict=True)):
            return kept[1]
        parts = [one.view(np.float16).reshape(-1, 8, 8).astype(np.float32) for one in own]
        if len(parts) == 2:
            matrix = np.concatenate(parts, axis=2)
        else:
            left, right = (np.concatenate(parts[i : i + 2], axis=1) for i in (0, 2))
            matrix = np.concatenate((left, right), axis=2)
        if len(self._operands) > 64:
            self._operands.clear()
        self._operands[key] = (own, matrix)
        return matrix
