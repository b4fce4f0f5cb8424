#include "device.h"

#include <ucontext.h>

#include <array>
#include <deque>
#include <vector>

namespace emulation {

Index gridDim, blockDim, blockIdx, threadIdx;
alignas(16) unsigned char memory[256 << 10];

namespace {

struct Copy {
    void *target;
    const void *source;
    bool exists;
};

struct Thread {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(256 << 10);
    Index index;
    bool is_done = false;
    std::array<uint64_t, 6> words;
    std::deque<std::vector<Copy>> copies;  // the last group is still open
};

// Threads that meet: the last to arrive lets all go on.
struct Meeting {
    unsigned members = 0, arrived = 0, round = 0;
};

std::vector<Thread> threads;
std::vector<Meeting> warps;
Meeting block;
unsigned current;
ucontext_t scheduler;
const std::function<void()> *kernel;

void give_way() { swapcontext(&threads[current].context, &scheduler); }

void open_if_full(Meeting &meeting) {
    if (meeting.members == 0 || meeting.arrived < meeting.members) return;
    meeting.arrived = 0;
    meeting.round++;
}

void meet(Meeting &meeting) {
    const unsigned round = meeting.round;
    meeting.arrived++;
    open_if_full(meeting);
    while (meeting.round == round) give_way();
}

// A thread that has ended is waited for no longer.
void leave(Meeting &meeting) {
    meeting.members--;
    open_if_full(meeting);
}

void run_thread() {
    (*kernel)();
    threads[current].is_done = true;
    leave(warps[current / 32]);
    leave(block);
    give_way();
}

void run_block(unsigned count) {
    warps.assign((count + 31) / 32, Meeting());
    block = Meeting();
    block.members = count;
    std::memset(memory, 0xFF, sizeof memory);
    for (unsigned i = 0; i < count; i++) {
        Thread &thread = threads[i];
        thread.is_done = false;
        thread.index.x = i % blockDim.x;
        thread.index.y = i / blockDim.x;
        thread.index.z = 0;
        thread.copies.assign(1, {});
        warps[i / 32].members++;
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.data();
        thread.context.uc_stack.ss_size = thread.stack.size();
        thread.context.uc_link = nullptr;
        makecontext(&thread.context, run_thread, 0);
    }
    for (unsigned left = count; left > 0;) {
        left = 0;
        for (current = 0; current < count; current++) {
            if (threads[current].is_done) continue;
            threadIdx = threads[current].index;
            swapcontext(&scheduler, &threads[current].context);
            if (!threads[current].is_done) left++;
        }
    }
}

}  // namespace

void launch(Index grid, Index shape, const std::function<void()> &body) {
    const unsigned count = shape.x * shape.y;
    if (threads.size() < count) threads = std::vector<Thread>(count);
    kernel = &body;
    gridDim = grid;
    blockDim = shape;
    for (blockIdx.z = 0; blockIdx.z < grid.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++) run_block(count);
}

unsigned lane() { return current % 32; }

void wait_for_block() { meet(block); }

void wait_for_warp() { meet(warps[current / 32]); }

void show(const uint64_t *words, int count) {
    for (int i = 0; i < count; i++) threads[current].words[i] = words[i];
    wait_for_warp();
}

const uint64_t *shown(unsigned lane) { return threads[current / 32 * 32 + lane].words.data(); }

void copy_later(void *target, const void *source, bool exists) {
    if ((uintptr_t)target % 16 || (uintptr_t)source % 16) std::abort();  // cp.async faults
    threads[current].copies.back().push_back({target, source, exists});
}

void end_copies() { threads[current].copies.emplace_back(); }

void wait_for_copies(int pending) {
    auto &copies = threads[current].copies;
    while ((int)copies.size() - 1 > pending) {
        for (const Copy &copy : copies.front()) {
            if (copy.exists)
                std::memcpy(copy.target, copy.source, 16);
            else
                std::memset(copy.target, 0, 16);
        }
        copies.pop_front();
    }
}

}  // namespace emulation
