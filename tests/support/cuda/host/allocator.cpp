// PyTorch's memory on the host as the memory of a GPU: kernels may touch what is allocated, and
// nothing beside it. What is new holds no numbers (NaN, in any width of float).
#include <c10/core/CPUAllocator.h>

#include <cstdlib>
#include <cstring>

extern "C" void machine_own(uintptr_t begin, size_t bytes);
extern "C" void machine_disown(uintptr_t begin);

namespace {

void give_back(void* at) {
    if (!at) return;
    machine_disown((uintptr_t)at);
    free(at);
}

struct DeviceMemory : c10::Allocator {
    c10::DataPtr allocate(size_t bytes) override {
        void* at = nullptr;
        const size_t room = (bytes + 511) / 512 * 512;
        if (bytes && posix_memalign(&at, 512, room)) throw std::bad_alloc();
        if (at) {
            memset(at, 0xff, room);
            machine_own((uintptr_t)at, bytes);
        }
        return {at, at, give_back, c10::Device(c10::DeviceType::CPU)};
    }
    c10::DeleterFnPtr raw_deleter() const override { return give_back; }
    void copy_data(void* to, const void* from, size_t bytes) const override {
        memcpy(to, from, bytes);
    }
};

DeviceMemory memory;

}  // namespace

extern "C" void host_take_memory(int take) {
    static c10::Allocator* const before = c10::GetCPUAllocator();
    c10::SetCPUAllocator(take ? &memory : before, 255);
}
