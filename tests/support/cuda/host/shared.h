// The shared memory of a block: who has written which word of it and who may rely on that.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

typedef unsigned int u32;
enum Access { LOAD, STORE, COPY, MATRIX, KINDS };
enum : u32 { MOST_DYNAMIC = 256 << 10, DYNAMIC_AT = 48 << 10 };  // behind what is static

class BlockMemory {
public:
    bool checks = true, counts = false;
    long took[KINDS] = {}, ideal[KINDS] = {};  // wavefronts

    void begin(unsigned threads);
    bool ends(int thread) const { return flying_[thread].empty(); }  // without copies in flight
    void barrier() { round_++; }
    void warp_barrier(int warp) { warp_round_[warp]++; }

    // What is wrong with an access, or null.
    const char* access(int thread, u32 offset, u32 size, Access kind);
    void copy(int thread, u32 to, const void* data);  // 16 bytes, on their way
    void commit(int thread) { group_[thread]++; }
    template <class Put> void land(int thread, int left, Put put);

    void count(int thread, u32 offset, u32 size, Access kind, void* site);
    void flush();

private:
    enum { EMPTY, FLYING, WRITTEN };
    struct Word {
        int state = EMPTY;
        int writer = 0, reader = -1;  // threads; reader -1: nobody, -2: several of a warp, -3: of several
        int reader_warp = 0;
        long written = 0, written_in_warp = 0, read = -1, read_in_warp = -1;  // in which rounds
    };
    struct Copy {
        u32 to;
        int group;
        char data[16];
    };
    // One instruction, and how often each lane of a warp has come to it.
    struct Place {
        void* site;
        u32 size;
        Access kind;
        int times[32];
        std::vector<u32> offsets;  // 32 for each time
        std::vector<u32> lanes;    // which of them, as bits
    };

    bool visible(const Word& word, int thread) const;
    void landed(u32 offset, u32 size, int thread);
    void waves(const Place& place, const u32* offsets, u32 lanes);

    std::vector<Word> words_ = std::vector<Word>((DYNAMIC_AT + MOST_DYNAMIC) / 4);
    std::vector<std::vector<Copy>> flying_;
    std::vector<int> group_;
    std::vector<Place> places_[32];  // of each warp
    size_t latest_[32] = {};          // the place that was come to last
    long round_ = 0, warp_round_[32] = {};
    u32 used_ = 0;  // words
};

extern BlockMemory block;

template <class Put> void BlockMemory::land(int thread, int left, Put put) {
    std::vector<Copy>& own = flying_[thread];
    size_t kept = 0;
    for (Copy& one : own) {
        if (one.group >= group_[thread] - left) {
            own[kept++] = one;
            continue;
        }
        put(one.to, one.data);
        landed(one.to, 16, thread);
    }
    own.resize(kept);
}
