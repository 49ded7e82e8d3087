#include "shared.h"

#include <algorithm>

BlockMemory block;

void BlockMemory::begin(unsigned threads) {
    std::fill(words_.begin(), words_.begin() + used_, Word());
    used_ = 0;
    flying_.assign(threads, {});
    group_.assign(threads, 0);
    round_++;
}

bool BlockMemory::visible(const Word& word, int thread) const {
    if (word.writer == thread || word.written < round_) return true;
    return word.writer / 32 == thread / 32 && word.written_in_warp < warp_round_[thread / 32];
}

const char* BlockMemory::access(int thread, u32 offset, u32 size, Access kind) {
    const bool writes = kind == STORE || kind == COPY;
    const int warp = thread / 32;
    used_ = std::max(used_, (offset + size + 3) / 4);
    for (u32 n = offset / 4; n < (offset + size + 3) / 4; n++) {
        Word& word = words_[n];
        if (!writes) {
            if (checks && word.state == EMPTY) return "shared memory is read uninitialised";
            if (checks && word.state == FLYING) return "shared memory is read in flight";
            if (checks && !visible(word, thread)) return "shared memory is read before a barrier";
            const bool fresh = word.read < round_;
            if (fresh || (word.reader_warp == warp && word.read_in_warp < warp_round_[warp])) {
                word.reader = thread, word.reader_warp = warp;
            } else if (word.reader != thread) {
                word.reader = word.reader != -3 && word.reader_warp == warp ? -2 : -3;
            }
            word.read = round_, word.read_in_warp = warp_round_[warp];
            continue;
        }
        if (checks && (word.state == FLYING || (word.state == WRITTEN && !visible(word, thread))))
            return "shared memory is overwritten before a barrier";
        if (checks && word.read == round_ && word.reader != thread) {
            const bool ordered = word.reader != -3 && word.reader_warp == warp
                                 && word.read_in_warp < warp_round_[warp];
            if (!ordered) return "shared memory is overwritten while another thread may be reading it";
        }
        if (kind == STORE) landed(4 * n, 4, thread);
        else word.state = FLYING;
    }
    return nullptr;
}

void BlockMemory::copy(int thread, u32 to, const void* data) {
    Copy one{to, group_[thread], {}};
    memcpy(one.data, data, 16);
    flying_[thread].push_back(one);
}

void BlockMemory::landed(u32 offset, u32 size, int thread) {
    for (u32 n = offset / 4; n < (offset + size) / 4; n++) {
        Word& word = words_[n];
        word.state = WRITTEN, word.writer = thread;
        word.written = round_, word.written_in_warp = warp_round_[thread / 32];
    }
}

void BlockMemory::count(int thread, u32 offset, u32 size, Access kind, void* site) {
    const int warp = thread / 32, lane = thread % 32;
    std::vector<Place>& places = places_[warp];
    size_t n = 0, at = latest_[warp];  // what comes next in the program is most often the next one
    for (; n < places.size(); n++) {
        at = at + 1 < places.size() ? at + 1 : 0;
        if (places[at].site == site && places[at].kind == kind) break;
    }
    if (n == places.size()) {
        at = n;
        places.push_back({site, size, kind, {}, {}, {}});
    }
    latest_[warp] = at;
    Place* found = &places[at];
    const size_t time = (size_t)found->times[lane]++;
    if (time == found->lanes.size()) {
        found->lanes.push_back(0);
        found->offsets.resize(32 * (time + 1));
    }
    found->lanes[time] |= 1u << lane;
    found->offsets[32 * time + lane] = offset;
}

void BlockMemory::flush() {
    for (std::vector<Place>& places : places_) {
        for (const Place& place : places)
            for (size_t time = 0; time < place.lanes.size(); time++)
                waves(place, &place.offsets[32 * time], place.lanes[time]);
        places.clear();
    }
}

// As many lanes at a time as fill 128 bytes; what parts of a warp do is not what decides.
void BlockMemory::waves(const Place& place, const u32* offsets, u32 lanes) {
    const int side = 128 / (int)place.size;
    if (side > 32) return;
    for (int first = 0; first < 32; first += side) {
        const u32 all = (u32)((1ull << side) - 1) << first;
        if ((lanes & all) != all) continue;
        std::vector<u32> units(offsets + first, offsets + first + side);
        std::sort(units.begin(), units.end());
        units.erase(std::unique(units.begin(), units.end()), units.end());  // read once for several
        int in_bank[32] = {}, most = 0;
        for (u32 unit : units) most = std::max(most, ++in_bank[unit / place.size % side]);
        took[place.kind] += most;
        ideal[place.kind]++;
    }
}
