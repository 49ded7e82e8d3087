// The machine that runs kernels on the host, as the driver and the tests use it.
#pragma once
#include <cstddef>
#include <cstdint>

#include "image.h"

// Codes of CUDA's, for what a kernel can do wrong.
enum Fault : int { NONE = 0, ILLEGAL_ADDRESS = 700, MISALIGNED = 716, FAILED = 719 };

struct Grid {
    unsigned blocks, threads, dynamic;  // bytes of dynamic shared memory
};

// Run a kernel to its end or to its first fault. Blocks run one after the other.
Fault machine_run(const HostKernel& kernel, Grid grid, void** arguments);

extern "C" {
// Where global memory is: everything else is an illegal address.
void machine_own(uintptr_t begin, size_t bytes);
void machine_disown(uintptr_t begin);
// Until machine_unwatch: only these buffers are there, those that may be written with who did so.
void machine_watch(uintptr_t begin, size_t bytes, int unit, int writable);
void machine_unwatch();
// For each unit of the n-th buffer the thread that has written it; -1: nobody.
const int* machine_writers(int n);
// Whether races and reads of what nobody wrote are faults, as no GPU would tell.
void machine_checks(int on);
const char* machine_words();  // of the last fault
// Whether wavefronts are counted, which takes its time.
void machine_counts(int on);
// Wavefronts of shared memory by kind (load, store, copy, ldmatrix), and what they could be.
void machine_wavefronts(long* took, long* ideal);
}
