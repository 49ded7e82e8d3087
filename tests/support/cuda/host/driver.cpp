// libcuda.so.1 of a machine without a GPU: the calls that vsr makes, as NVIDIA's cuda.h declares
// them and as strict as it describes them. A launch runs the kernel at once, on the host; what goes
// wrong in it is told by the next call, as by a GPU, and by all after that.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "device.h"
#include "machine.h"

namespace {

enum { DEVICES = 1, DEFAULT_DYNAMIC = 48 << 10 };
const uintptr_t CONTEXT = 0x7f5a00c0ffee0010;  // handles are 64 bits wide

struct Module {
    void* library;
    HostImage image;
};

struct Function {
    Module* module;
    const HostKernel* kernel;
    int dynamic;  // that it may have
    bool alive = true;
};

struct Work {
    Function* function;
    Grid grid;
    std::vector<std::vector<char>> arguments;
};

struct Graph;

struct Node {
    Graph* graph;
    Work work;
};

struct Graph {
    std::vector<Node*> nodes;
};

struct Executable {
    std::map<const Node*, size_t> index;
    std::vector<Work> works;
};

int most_shared = 227 << 10;
int retained;
thread_local CUcontext current;
CUresult sticky = CUDA_SUCCESS;
std::string refusal;  // why the last call was refused, in more words than the driver has
std::set<const void*> modules, functions, graphs, nodes, executables, streams;
long counts[4];  // launches, graphs launched, graphs made, nodes updated

CUresult refused(CUresult code, const std::string& why) {
    refusal = why;
    return code;
}

CUresult ready(const char* call) {
    if (sticky) return sticky;
    if (!current) return refused(CUDA_ERROR_INVALID_CONTEXT, std::string(call) + ": no context");
    return CUDA_SUCCESS;
}

#define READY(call)                                      \
    if (const CUresult code = ready(call)) return code
#define NEED(what, code, why)                            \
    if (!(what)) return refused(code, why)

int own_shared(const HostKernel& kernel) { return (int)(kernel.own_end - kernel.own_begin); }

bool is_stream(CUstream stream) { return !stream || streams.count(stream); }

CUresult check(Function* function, Grid grid) {
    NEED(functions.count(function) && function->alive, CUDA_ERROR_INVALID_HANDLE, "no function");
    const HostKernel& kernel = *function->kernel;
    NEED(grid.blocks && grid.threads, CUDA_ERROR_INVALID_VALUE, "an empty grid");
    NEED(grid.threads <= 1024 && grid.threads % 32 == 0, CUDA_ERROR_INVALID_VALUE, "threads");
    NEED(!kernel.threads || grid.threads <= kernel.threads, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
         "more threads than the kernel was compiled for");
    NEED((int)grid.dynamic <= function->dynamic, CUDA_ERROR_INVALID_VALUE,
         "more shared memory than the function was allowed");
    return CUDA_SUCCESS;
}

CUresult run(Function* function, Grid grid, void** arguments) {
    if (const CUresult code = check(function, grid)) return code;
    counts[0]++;
    if (sticky) return CUDA_SUCCESS;
    if (const Fault fault = machine_run(*function->kernel, grid, arguments))
        sticky = (CUresult)fault;
    return CUDA_SUCCESS;
}

CUresult read_node(Work& work, const CUDA_KERNEL_NODE_PARAMS_v1* given) {
    NEED(given->gridDimY == 1 && given->gridDimZ == 1 && given->blockDimY == 1
             && given->blockDimZ == 1 && !given->extra,
         CUDA_ERROR_NOT_SUPPORTED, "a grid of more than one dimension");
    Function* function = (Function*)given->func;
    const Grid grid = {given->gridDimX, given->blockDimX, given->sharedMemBytes};
    if (const CUresult code = check(function, grid)) return code;
    work = {function, grid, {}};
    for (int n = 0; n < function->kernel->count; n++) {
        const char* at = (const char*)given->kernelParams[n];
        work.arguments.emplace_back(at, at + function->kernel->sizes[n]);
    }
    return CUDA_SUCCESS;
}

// An image has no length of its own; a shared object ends with its section headers.
size_t length_of(const void* image) {
    const Elf64_Ehdr* header = (const Elf64_Ehdr*)image;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG)) return 0;
    return header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
}

}  // namespace

extern "C" {

CUresult cuInit(unsigned flags) { return flags ? CUDA_ERROR_INVALID_VALUE : sticky; }

CUresult cuDriverGetVersion(int* version) {
    *version = 13000;
    return CUDA_SUCCESS;
}

// NVRTC (13.5) asks whatever driver its process has for private tables, and reads without a look
// at the outcome how many bytes each holds: this one has none beside that number.
CUresult cuGetExportTable(const void** table, const CUuuid*) {
    static const size_t empty[1] = {sizeof(size_t)};
    *table = empty;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult code, const char** words) {
    static const std::map<int, const char*> known = {
        {0, "no error"}, {1, "invalid argument"}, {2, "out of memory"},
        {200, "device kernel image is invalid"}, {101, "invalid device ordinal"},
        {201, "invalid device context"}, {400, "invalid resource handle"},
        {500, "named symbol not found"}, {700, "an illegal memory access was encountered"},
        {701, "too many resources requested for launch"}, {716, "misaligned address"},
        {719, "unspecified launch failure"}, {801, "operation not supported"}};
    const auto found = known.find(code);
    *words = found == known.end() ? nullptr : found->second;
    return *words ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    NEED(ordinal >= 0 && ordinal < DEVICES, CUDA_ERROR_INVALID_DEVICE, "no device of that number");
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute which, CUdevice device) {
    NEED(device >= 0 && device < DEVICES, CUDA_ERROR_INVALID_DEVICE, "no device of that number");
    NEED(which == CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, CUDA_ERROR_INVALID_VALUE,
         "an attribute that the host does not know");
    *value = most_shared;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
    NEED(device >= 0 && device < DEVICES, CUDA_ERROR_INVALID_DEVICE, "no device of that number");
    if (sticky) return sticky;
    retained++;
    *context = (CUcontext)(CONTEXT + (uintptr_t)device);
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
    if (sticky) return sticky;
    NEED(retained && (!context || (uintptr_t)context - CONTEXT < DEVICES),
         CUDA_ERROR_INVALID_CONTEXT, "no context that was retained");
    current = context;
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule* made, const void* image) {
    READY("cuModuleLoadData");
    const size_t length = length_of(image);
    NEED(length, CUDA_ERROR_INVALID_IMAGE, "no shared object");
    // Stays open: the loader takes two files of one name for the same.
    const int file = memfd_create("kernels", 0);
    const bool whole = write(file, image, length) == (ssize_t)length;
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    void* library = whole ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
    const char* error = library ? nullptr : dlerror();
    NEED(library, CUDA_ERROR_INVALID_IMAGE, error ? error : "cannot be written");
    HostImage (*describe)() = (HostImage(*)())dlsym(library, "host_image");
    NEED(describe, CUDA_ERROR_INVALID_IMAGE, "no kernels of the host");
    Module* module = new Module{library, describe()};
    modules.insert(module);
    *made = (CUmodule)module;
    return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule given) {
    READY("cuModuleUnload");
    NEED(modules.erase(given), CUDA_ERROR_INVALID_HANDLE, "no module");
    for (const void* one : functions)
        if (((Function*)one)->module == (Module*)given) ((Function*)one)->alive = false;
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction* made, CUmodule given, const char* name) {
    READY("cuModuleGetFunction");
    NEED(modules.count(given), CUDA_ERROR_INVALID_HANDLE, "no module");
    Module* module = (Module*)given;
    for (int n = 0; n < module->image.count; n++) {
        const HostKernel& kernel = module->image.kernels[n];
        if (strcmp(kernel.name, name)) continue;
        Function* function = new Function{module, &kernel, DEFAULT_DYNAMIC - own_shared(kernel)};
        functions.insert(function);
        *made = (CUfunction)function;
        return CUDA_SUCCESS;
    }
    return refused(CUDA_ERROR_NOT_FOUND, name);
}

CUresult cuFuncSetAttribute(CUfunction given, CUfunction_attribute which, int value) {
    READY("cuFuncSetAttribute");
    NEED(functions.count(given), CUDA_ERROR_INVALID_HANDLE, "no function");
    Function* function = (Function*)given;
    if (which == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT) {
        NEED(value >= -1 && value <= 100, CUDA_ERROR_INVALID_VALUE, "a carveout is in percent");
        return CUDA_SUCCESS;
    }
    NEED(which == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, CUDA_ERROR_INVALID_VALUE,
         "an attribute that the host does not know");
    NEED(value >= 0 && value + own_shared(*function->kernel) <= most_shared,
         CUDA_ERROR_INVALID_VALUE, "more shared memory than a block may have");
    function->dynamic = value;
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned x, unsigned y, unsigned z, unsigned threads,
                        unsigned threads_y, unsigned threads_z, unsigned dynamic, CUstream stream,
                        void** arguments, void** extra) {
    READY("cuLaunchKernel");
    NEED(y == 1 && z == 1 && threads_y == 1 && threads_z == 1 && !extra, CUDA_ERROR_NOT_SUPPORTED,
         "a grid of more than one dimension");
    NEED(is_stream(stream), CUDA_ERROR_INVALID_HANDLE, "no stream");
    return run((Function*)function, {x, threads, dynamic}, arguments);
}

CUresult cuGraphCreate(CUgraph* made, unsigned flags) {
    READY("cuGraphCreate");
    NEED(!flags, CUDA_ERROR_INVALID_VALUE, "flags");
    Graph* graph = new Graph;
    graphs.insert(graph);
    counts[2]++;
    *made = (CUgraph)graph;
    return CUDA_SUCCESS;
}

CUresult cuGraphAddKernelNode(CUgraphNode* made, CUgraph given, const CUgraphNode* before,
                              size_t count, const CUDA_KERNEL_NODE_PARAMS_v1* parameters) {
    READY("cuGraphAddKernelNode");
    NEED(graphs.count(given), CUDA_ERROR_INVALID_VALUE, "no graph");
    Graph* graph = (Graph*)given;
    // Nodes run in the order of their making here: each has to come after the last one.
    for (size_t n = 0; n < count; n++)
        NEED(nodes.count(before[n]) && ((Node*)before[n])->graph == graph, CUDA_ERROR_INVALID_VALUE,
             "a dependency that is no node of this graph");
    NEED(graph->nodes.empty() || (count && (Node*)before[count - 1] == graph->nodes.back()),
         CUDA_ERROR_NOT_SUPPORTED, "nodes that do not wait for each other");
    std::unique_ptr<Node> node(new Node{graph, {}});
    if (const CUresult code = read_node(node->work, parameters)) return code;
    nodes.insert(node.get());
    graph->nodes.push_back(node.get());
    *made = (CUgraphNode)node.release();
    return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* made, CUgraph given, unsigned long long flags) {
    READY("cuGraphInstantiateWithFlags");
    NEED(graphs.count(given) && !flags, CUDA_ERROR_INVALID_VALUE, "no graph");
    Executable* executable = new Executable;
    for (const Node* node : ((Graph*)given)->nodes) {
        executable->index[node] = executable->works.size();
        executable->works.push_back(node->work);
    }
    executables.insert(executable);
    *made = (CUgraphExec)executable;
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph given) {
    if (sticky) return sticky;
    NEED(graphs.erase(given), CUDA_ERROR_INVALID_VALUE, "no graph");
    for (const Node* node : ((Graph*)given)->nodes) nodes.erase(node);  // "as well as all of its nodes"
    return CUDA_SUCCESS;
}

CUresult cuGraphExecKernelNodeSetParams(CUgraphExec given, CUgraphNode node,
                                        const CUDA_KERNEL_NODE_PARAMS_v1* parameters) {
    READY("cuGraphExecKernelNodeSetParams");
    NEED(executables.count(given), CUDA_ERROR_INVALID_VALUE, "no executable graph");
    NEED(nodes.count(node), CUDA_ERROR_INVALID_VALUE, "a node of a destroyed graph");
    Executable* executable = (Executable*)given;
    const auto found = executable->index.find((const Node*)node);
    NEED(found != executable->index.end(), CUDA_ERROR_INVALID_VALUE, "a node of another graph");
    counts[3]++;
    return read_node(executable->works[found->second], parameters);
}

CUresult cuGraphLaunch(CUgraphExec given, CUstream stream) {
    READY("cuGraphLaunch");
    NEED(executables.count(given), CUDA_ERROR_INVALID_VALUE, "no executable graph");
    NEED(is_stream(stream), CUDA_ERROR_INVALID_HANDLE, "no stream");
    counts[1]++;
    for (Work& work : ((Executable*)given)->works) {
        std::vector<void*> arguments;
        for (std::vector<char>& one : work.arguments) arguments.push_back(one.data());
        if (const CUresult code = run(work.function, work.grid, arguments.data())) return code;
    }
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec given) {
    if (sticky) return sticky;
    NEED(executables.erase(given), CUDA_ERROR_INVALID_VALUE, "no executable graph");
    return CUDA_SUCCESS;
}

// --- called by the tests ---

void host_configure(int shared) { most_shared = shared; }
void host_stream(const void* stream) { streams.insert(stream); }
int host_sticky() { return sticky; }
void host_forget() { sticky = CUDA_SUCCESS; }  // as a new process would
const char* host_refusal() { return refusal.c_str(); }
long host_count(int n) { return counts[n]; }
int host_graphs_alive() { return (int)(graphs.size() + executables.size()); }

}  // extern "C"
