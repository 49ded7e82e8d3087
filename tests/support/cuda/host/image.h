// What a compiled file of kernels tells the driver of itself.
#pragma once

struct HostKernel {
    const char* name;
    void (*run)(void** arguments);  // one thread of it, to its end
    int count;                      // of parameters
    const int* sizes;               // of each, in bytes
    unsigned threads;               // of a block, that it was compiled for; 0: any number
    char *own_begin, *own_end;      // its static shared memory
};

struct HostImage {
    const HostKernel* kernels;
    int count;
};
