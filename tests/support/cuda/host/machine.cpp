// Kernels on the host: a thread of a block is a fiber, and runs to its next barrier, or to the next
// instruction of its whole warp, before the next thread does.
//
// g++ compiles kernels with calls of the __tsan_ functions before each access to memory; these are
// here, and see what a GPU passes over: addresses that are nobody's, races, reads of what nobody
// wrote, banks that collide. Stacks of fibers are looked at no further.
#include "machine.h"

#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "device.h"
#include "shared.h"

Dimensions threadIdx, blockIdx, blockDim, gridDim;
alignas(1024) uint4 shared[MOST_DYNAMIC / 16];

namespace {

enum { MOST_THREADS = 1024, STACK = 128 << 10 };
enum State { READY, IN_WARP, AT_BARRIER, DONE };
enum Together { SYNC, LDMATRIX, MULTIPLY, MULTIPLY_HALVES };

struct Thread {
    void* stack_top;
    State state;
    Together together;  // what it waits with its warp for
    void* site;
    u32 *to[4], from, a[4], b[2];
    float* sums[4];
};

Thread threads[MOST_THREADS];
Thread* self;
void* scheduler_top;
char* stacks;
const HostKernel* kernel;
void** arguments;
std::string words = "nothing is wrong";
Fault fault;
std::mutex one_at_a_time;

int number() { return (int)(self - threads); }

}  // namespace

extern "C" void switch_stacks(void** kept, void* next);
asm(R"(
    .text
    .type switch_stacks, @function
switch_stacks:
    push %r15
    push %r14
    push %r13
    push %r12
    push %rbx
    push %rbp
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %rbp
    pop %rbx
    pop %r12
    pop %r13
    pop %r14
    pop %r15
    ret
)");

namespace {

void stop(State state) {
    self->state = state;
    switch_stacks(&self->stack_top, scheduler_top);
}

// Ends the launch, as a GPU ends it; does not return.
[[noreturn]] void fail(Fault code, const std::string& what) {
    fault = code;
    words = std::string(kernel->name) + ": " + what + " (block " + std::to_string(blockIdx.x)
            + ", thread " + std::to_string(number()) + ")";
    for (;;) stop(DONE);
}

void begin_thread() {
    kernel->run(arguments);
    if (!block.ends(number())) fail(FAILED, "the kernel ends with copies in flight");
    for (;;) stop(DONE);
}

void wait_with_warp(Together what, void* site) {
    self->together = what;
    self->site = site;
    stop(IN_WARP);
}

// --- global memory ---

struct Buffer {
    uintptr_t begin, end;
    int unit;
    bool writable;
    std::vector<int> writer, reader;  // of each unit: -1 nobody, -2 several
};

std::mutex owned_mutex;
std::map<uintptr_t, uintptr_t> owned;  // begin -> end
std::vector<Buffer> watched;
bool watching;
uintptr_t last_begin, last_end;  // of what was found last
uintptr_t image_begin, image_end;

int whole_thread() { return (int)(blockIdx.x * blockDim.x) + number(); }

std::string at_address(const char* what, uintptr_t at) {
    char text[160];
    snprintf(text, sizeof text, "%s, at %#zx", what, (size_t)at);
    return text;
}

void watched_access(uintptr_t at, size_t size, bool writes) {
    for (Buffer& one : watched) {
        if (at < one.begin || at >= one.end) continue;
        if (at + size > one.end) fail(ILLEGAL_ADDRESS, "out of a buffer's bounds");
        if (writes && !one.writable) fail(FAILED, "an input is written to");
        if (!one.writable) return;
        const int me = whole_thread();
        const size_t first = (at - one.begin) / one.unit;
        for (size_t n = first; n * one.unit < at + size - one.begin; n++) {
            int &writer = one.writer[n], &reader = one.reader[n];
            if (writes) {
                if (writer >= 0) fail(FAILED, "one place in global memory is written twice");
                if (reader != -1 && reader != me)
                    fail(FAILED, "an output is written that another thread may be reading");
                writer = me;
            } else {
                if (writer >= 0 && writer != me)
                    fail(FAILED, "an output is read that another thread has written");
                reader = reader == -1 || reader == me ? me : -2;
            }
        }
        return;
    }
    fail(ILLEGAL_ADDRESS, at_address("the address is nobody's", at));
}

// Whether a kernel's program itself brings it: constants, arguments, which thread this is.
bool is_programs(uintptr_t at) {
    if (at >= image_begin && at < image_end) return true;
    const uintptr_t own[] = {(uintptr_t)&threadIdx, (uintptr_t)&blockIdx, (uintptr_t)&blockDim,
                             (uintptr_t)&gridDim};
    for (uintptr_t begin : own)
        if (at - begin < sizeof(Dimensions)) return true;
    if (at - (uintptr_t)arguments < kernel->count * sizeof(void*)) return true;
    for (int n = 0; n < kernel->count; n++)
        if (at - (uintptr_t)arguments[n] < (size_t)kernel->sizes[n]) return true;
    return false;
}

bool is_owned(uintptr_t at, size_t size) {
    std::lock_guard<std::mutex> hold(owned_mutex);
    const auto next = owned.upper_bound(at);
    if (next == owned.begin()) return false;
    const auto found = std::prev(next);
    if (at + size > found->second) return false;
    last_begin = found->first, last_end = found->second;
    return true;
}

void global_access(uintptr_t at, size_t size, bool writes) {
    if (!writes && is_programs(at)) return;
    if (watching) return watched_access(at, size, writes);
    if (at >= last_begin && at + size <= last_end) return;
    if (!is_owned(at, size))  // a fault leaves this stack as it is, with what it holds
        fail(ILLEGAL_ADDRESS, at_address("an illegal memory access", at));
}

// --- shared memory ---

char* own_begin;  // static
size_t own_bytes, dynamic_bytes;

// Offset of a place in the block's memory, or -1.
long offset_of(uintptr_t at) {
    const uintptr_t of_static = at - (uintptr_t)own_begin, of_dynamic = at - (uintptr_t)shared;
    if (of_static < own_bytes) return (long)of_static;
    if (of_dynamic < sizeof shared) return (long)(DYNAMIC_AT + of_dynamic);
    return -1;
}

char* place_of(u32 offset) {
    return offset < DYNAMIC_AT ? own_begin + offset : (char*)shared + (offset - DYNAMIC_AT);
}

void shared_access(u32 offset, u32 size, Access kind, void* site) {
    if (offset % size) fail(MISALIGNED, "a shared access is not aligned");
    const bool inside = offset < DYNAMIC_AT ? offset + size <= own_bytes
                                            : offset - DYNAMIC_AT + size <= dynamic_bytes;
    if (!inside) fail(ILLEGAL_ADDRESS, "out of shared memory's bounds");
    if (const char* wrong = block.access(number(), offset, size, kind)) fail(FAILED, wrong);
    if (block.counts) block.count(number(), offset, size, kind, site);
}

void access(const void* place, size_t size, bool writes, void* site) {
    const uintptr_t at = (uintptr_t)place;
    if (at - (uintptr_t)stacks < (uintptr_t)MOST_THREADS * STACK) return;
    const long offset = offset_of(at);
    if (offset >= 0)
        return shared_access((u32)offset, (u32)size, writes ? STORE : LOAD, site);
    if (at % size) fail(MISALIGNED, at_address("a global access is not aligned", at));
    global_access(at, size, writes);
}

// --- what a warp does together ---

float half_of(u32 both, int high) { return half_value(high ? both >> 16 : both); }

void multiply(Thread* warp, bool halves) {
    float a[16][16], b[16][8], sums[16][8] = {};
    for (int lane = 0; lane < 32; lane++) {
        const int group = lane / 4, pair = lane % 4 * 2;
        const Thread& of = warp[lane];
        for (int n = 0; n < 8; n++)  // two in a register: rows, then columns
            a[group + n / 2 % 2 * 8][pair + n % 2 + n / 4 * 8] = half_of(of.a[n / 2], n % 2);
        for (int n = 0; n < 4; n++) b[pair + n % 2 + n / 2 * 8][group] = half_of(of.b[n / 2], n % 2);
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++)
            for (int column = 0; column < 8; column++) sums[row][column] += a[row][k] * b[k][column];
    for (int lane = 0; lane < 32; lane++) {
        const int group = lane / 4, pair = lane % 4 * 2;
        Thread& of = warp[lane];
        for (int n = 0; n < 2; n++) {
            const float *made = &sums[group + 8 * n][pair];
            if (halves) {  // rounded once, as arXiv:2502.15999 found
                const u32 old = *of.to[n];
                *of.to[n] = half_bits(made[0] + half_of(old, 0))
                            | half_bits(made[1] + half_of(old, 1)) << 16;
            } else {
                *of.sums[2 * n] += made[0];
                *of.sums[2 * n + 1] += made[1];
            }
        }
    }
}

void load_matrices(Thread* warp) {
    // Lane 8 * m + r names row r of matrix m; lane l gets two numbers of row l / 4 of each.
    for (int lane = 0; lane < 32 && !fault; lane++)
        for (int m = 0; m < 4; m++)
            memcpy(warp[lane].to[m], place_of(warp[8 * m + lane / 4].from) + lane % 4 * 4, 4);
}

void together(Thread* warp) {
    self = warp;
    threadIdx.x = (u32)number();
    for (int lane = 1; lane < 32; lane++)
        if (warp[lane].together != warp->together) {
            fault = FAILED;
            words = std::string(kernel->name) + ": lanes of a warp at different instructions";
            return;
        }
    switch (warp->together) {
        case SYNC: block.warp_barrier(number() / 32); break;
        case LDMATRIX: load_matrices(warp); break;
        case MULTIPLY: multiply(warp, false); break;
        case MULTIPLY_HALVES: multiply(warp, true); break;
    }
    for (int lane = 0; lane < 32; lane++) warp[lane].state = READY;
}

// Until all of a warp are at a barrier or done.
void run_warp(Thread* warp) {
    while (!fault) {
        int waiting = 0;
        for (self = warp; self < warp + 32 && !fault; self++) {
            threadIdx.x = (u32)number();
            if (self->state == READY) switch_stacks(&scheduler_top, self->stack_top);
            waiting += self->state == IN_WARP;
        }
        if (fault || !waiting) return;
        self = warp;
        if (waiting < 32) {
            fault = FAILED;
            words = std::string(kernel->name) + ": an instruction of a warp by a part of it";
            return;
        }
        together(warp);
    }
}

void run_block(unsigned count) {
    for (unsigned n = 0; n < count; n++) {
        void** top = (void**)(stacks + (n + 1) * (size_t)STACK - 64);
        *--top = nullptr;  // so that the stack is aligned as after a call
        *--top = (void*)begin_thread;
        top -= 6;
        threads[n] = {};
        threads[n].stack_top = top;
    }
    while (!fault) {
        for (unsigned n = 0; n < count && !fault; n += 32) run_warp(threads + n);
        unsigned done = 0;
        for (unsigned n = 0; n < count; n++) done += threads[n].state == DONE;
        block.flush();
        if (fault || done == count) return;
        block.barrier();
        for (unsigned n = 0; n < count; n++)
            if (threads[n].state == AT_BARRIER) threads[n].state = READY;
    }
}

int find_image(dl_phdr_info* of, size_t, void*) {
    uintptr_t begin = UINTPTR_MAX, end = 0;
    for (int n = 0; n < of->dlpi_phnum; n++) {
        if (of->dlpi_phdr[n].p_type != PT_LOAD) continue;
        const uintptr_t at = of->dlpi_addr + of->dlpi_phdr[n].p_vaddr;
        begin = std::min(begin, at), end = std::max(end, at + of->dlpi_phdr[n].p_memsz);
    }
    const uintptr_t code = (uintptr_t)kernel->run;
    if (code < begin || code >= end) return 0;
    image_begin = begin, image_end = end;
    return 1;
}

}  // namespace

Fault machine_run(const HostKernel& own, Grid grid, void** given) {
    std::lock_guard<std::mutex> hold(one_at_a_time);
    if (!stacks)
        stacks = (char*)mmap(nullptr, (size_t)MOST_THREADS * STACK, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    kernel = &own, arguments = given, fault = NONE, words = "nothing is wrong";
    own_begin = own.own_begin, own_bytes = (size_t)(own.own_end - own.own_begin);
    dynamic_bytes = grid.dynamic;
    dl_iterate_phdr(find_image, nullptr);
    blockDim = {grid.threads, 1, 1}, gridDim = {grid.blocks, 1, 1};
    last_begin = last_end = 0;
    for (unsigned n = 0; n < grid.blocks && !fault; n++) {
        blockIdx = {n, 0, 0};
        memset(own_begin, 0xff, own_bytes);
        memset((void*)shared, 0xff, dynamic_bytes);
        block.begin(grid.threads);
        run_block(grid.threads);
    }
    return fault;
}

// --- called by kernels ---

#define SITE __builtin_return_address(0)

extern "C" {

u32 machine_shared_address(const void* at) {
    const long offset = offset_of((uintptr_t)at);
    if (offset < 0) fail(ILLEGAL_ADDRESS, "no address of shared memory");
    return (u32)offset;
}

void machine_barrier() { stop(AT_BARRIER); }
void machine_warp_barrier() { wait_with_warp(SYNC, SITE); }
void machine_trap() { fail(FAILED, "a trap"); }

void machine_copy(u32 to, const void* from, bool there) {
    shared_access(to, 16, COPY, SITE);
    uint4 data = {0, 0, 0, 0};
    if (there) {
        access(from, 16, false, nullptr);
        memcpy((void*)&data, from, 16);
    }
    memset(place_of(to), 0xff, 16);  // until it is waited for
    block.copy(number(), to, &data);
}

void machine_commit() { block.commit(number()); }

void machine_wait(int left) {
    block.land(number(), left, [](u32 to, const void* data) { memcpy(place_of(to), data, 16); });
}

void machine_load_matrices(u32* const* to, u32 from) {
    shared_access(from, 16, MATRIX, SITE);
    memcpy(self->to, to, sizeof self->to);
    self->from = from;
    wait_with_warp(LDMATRIX, SITE);
}

void machine_load_16(u32* const* to, u32 from) {
    shared_access(from, 16, LOAD, SITE);
    for (int n = 0; n < 4; n++) memcpy(to[n], place_of(from) + 4 * n, 4);
}

void machine_multiply(float* const* sums, const u32* a, const u32* b) {
    memcpy(self->sums, sums, sizeof self->sums);
    memcpy(self->a, a, sizeof self->a), memcpy(self->b, b, sizeof self->b);
    wait_with_warp(MULTIPLY, SITE);
}

void machine_multiply_halves(u32* const* sums, const u32* a, const u32* b) {
    self->to[0] = sums[0], self->to[1] = sums[1];
    memcpy(self->a, a, sizeof self->a), memcpy(self->b, b, sizeof self->b);
    wait_with_warp(MULTIPLY_HALVES, SITE);
}

#define HOOKS(SIZE)                                                                     \
    void __tsan_read##SIZE(void* at) { access(at, SIZE, false, SITE); }                 \
    void __tsan_write##SIZE(void* at) { access(at, SIZE, true, SITE); }                 \
    void __tsan_volatile_read##SIZE(void* at) { access(at, SIZE, false, SITE); }        \
    void __tsan_volatile_write##SIZE(void* at) { access(at, SIZE, true, SITE); }        \
    void __tsan_unaligned_read##SIZE(void* at) { access(at, SIZE, false, SITE); }       \
    void __tsan_unaligned_write##SIZE(void* at) { access(at, SIZE, true, SITE); }
HOOKS(1) HOOKS(2) HOOKS(4) HOOKS(8) HOOKS(16)
void __tsan_read_range(char* at, size_t size) {
    for (size_t n = 0; n < size; n += 4) access(at + n, 4, false, SITE);
}
void __tsan_write_range(char* at, size_t size) {
    for (size_t n = 0; n < size; n += 4) access(at + n, 4, true, SITE);
}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}

// --- called by the tests ---

void machine_own(uintptr_t begin, size_t bytes) {
    std::lock_guard<std::mutex> hold(owned_mutex);
    owned[begin] = begin + bytes;
}

void machine_disown(uintptr_t begin) {
    std::lock_guard<std::mutex> hold(owned_mutex);
    owned.erase(begin);
}

void machine_watch(uintptr_t begin, size_t bytes, int unit, int writable) {
    watching = true;
    const size_t units = writable ? (bytes + unit - 1) / unit : 0;
    watched.push_back({begin, begin + bytes, unit, writable != 0, std::vector<int>(units, -1),
                       std::vector<int>(units, -1)});
}

void machine_unwatch() {
    watching = false;
    watched.clear();
}

const int* machine_writers(int n) { return watched[n].writer.data(); }
void machine_checks(int on) { block.checks = on; }
void machine_counts(int on) { block.counts = on; }
const char* machine_words() { return words.c_str(); }
void machine_wavefronts(long* took, long* ideal) {
    for (int kind = 0; kind < KINDS; kind++) {
        took[kind] = block.took[kind], ideal[kind] = block.ideal[kind];
        block.took[kind] = block.ideal[kind] = 0;
    }
}

}  // extern "C"
