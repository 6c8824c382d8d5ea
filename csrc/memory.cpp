// Blocks of memory that are used again. A training step asks for the same sizes every time; memory fresh from the system costs a
// page fault per 4 KiB, several times the arithmetic of a small operation. Sizes are rounded up to classes an eighth apart, idle
// blocks wait in a list per class, and a cap bounds what waits.
#ifdef _WIN32
#include <malloc.h>
#else
#include <pthread.h>
#include <sys/mman.h>
#endif

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#include "kernels.h"
#include "pause.h"

namespace {

constexpr size_t ALIGNMENT = 64;
constexpr size_t SMALLEST = 4096;
constexpr size_t LARGE_PAGE = size_t{1} << 21;
#ifdef MYTORCH_NO_POOL
constexpr size_t CAP = 0;
#else
constexpr size_t CAP = size_t{1} << 30;  // bytes that may lie idle
#endif
constexpr int CLASSES = 8 * 40;

struct Idle {
    Idle *next;
};

// Held for some nanoseconds, many times by each task of a job: who finds it taken looks again. A mutex would put that thread to sleep,
// and waking it takes longer than the task.
class ShortLock {
public:
    void lock() {
        for (int looks = 1; taken_.exchange(true, std::memory_order_acquire); ++looks) {
            while (taken_.load(std::memory_order_relaxed)) {
                if (looks++ % 256 == 0) {
                    std::this_thread::yield();  // its holder may have lost the processor
                } else {
                    pause();
                }
            }
        }
    }
    void unlock() { taken_.store(false, std::memory_order_release); }

private:
    std::atomic<bool> taken_{false};
};

ShortLock lock;
Idle *idle_blocks[CLASSES];
size_t idle_bytes = 0;
size_t used_bytes = 0;
size_t peak_bytes = 0;

// The class of a size, and the size of that class: 8 steps from each power of two to the next.
int class_of(size_t bytes, size_t *rounded) {
    size_t power = SMALLEST;
    int number = 0;
#ifdef MYTORCH_NO_POOL
    *rounded = bytes == 0 ? 1 : bytes;  // not a byte more, for a sanitizer to guard
    return CLASSES;
#endif
    while (power * 2 < bytes) {
        power *= 2;
        number += 8;
    }
    const size_t step = power / 8;
    const size_t steps = bytes <= power ? 0 : (bytes - power + step - 1) / step;
    *rounded = power + steps * step;
    return number + static_cast<int>(steps);
}

void *fresh(size_t bytes) {
#ifdef _WIN32
    return _aligned_malloc(bytes, ALIGNMENT);
#else
    void *block = nullptr;
    const bool large = bytes >= LARGE_PAGE;
    if (posix_memalign(&block, large ? LARGE_PAGE : ALIGNMENT, bytes) != 0) {
        return nullptr;
    }
#ifdef MADV_HUGEPAGE
    if (large) {
        madvise(block, bytes, MADV_HUGEPAGE);  // one page fault instead of 512, and addresses that the processor finds at once
    }
#endif
    return block;
#endif
}

void release(void *block) {
#ifdef _WIN32
    _aligned_free(block);
#else
    std::free(block);
#endif
}

void drop_idle_blocks() {
    for (Idle *&list : idle_blocks) {
        while (list != nullptr) {
            Idle *block = list;
            list = block->next;
            release(block);
        }
    }
    idle_bytes = 0;
}

#ifndef _WIN32
// A child forked while another thread held the lock would wait for ever.
const int registered = pthread_atfork([] { lock.lock(); }, [] { lock.unlock(); }, [] { lock.unlock(); });
#endif

}  // namespace

extern "C" void *mytorch_take(size_t bytes) {
#ifndef _WIN32
    (void)registered;
#endif
    size_t rounded;
    const int number = class_of(bytes, &rounded);
    {
        std::lock_guard<ShortLock> guard(lock);
        if (number < CLASSES && idle_blocks[number] != nullptr) {
            Idle *const block = idle_blocks[number];
            idle_blocks[number] = block->next;
            idle_bytes -= rounded;
            used_bytes += rounded;
            return block;
        }
    }
    void *block = fresh(rounded);
    if (block == nullptr) {
        mytorch_empty_cache();
        block = fresh(rounded);
    }
    if (block != nullptr) {
        std::lock_guard<ShortLock> guard(lock);
        used_bytes += rounded;
        if (used_bytes + idle_bytes > peak_bytes) {
            peak_bytes = used_bytes + idle_bytes;
        }
    }
    return block;
}

extern "C" void mytorch_give(void *block, size_t bytes) {
    size_t rounded;
    const int number = class_of(bytes, &rounded);
    {
        std::lock_guard<ShortLock> guard(lock);
        used_bytes -= rounded;
        if (number < CLASSES && idle_bytes + rounded <= CAP) {
            Idle *idle = static_cast<Idle *>(block);
            idle->next = idle_blocks[number];
            idle_blocks[number] = idle;
            idle_bytes += rounded;
            return;
        }
    }
    release(block);
}

namespace {

// What a thread keeps for the next task's scratch memory: a job of many small tasks would otherwise wait for the lock most of the time.
class OwnBlocks {
public:
    ~OwnBlocks() { drop(); }

    void *take(int number) {
        for (Slot &slot : slots_) {
            if (slot.block != nullptr && slot.number == number) {
                void *const block = slot.block;
                slot.block = nullptr;
                return block;
            }
        }
        return nullptr;
    }
    void keep(void *block, size_t rounded, int number) {
        for (Slot &slot : slots_) {
            if (slot.block == nullptr) {
                slot = {block, rounded, number};
                return;
            }
        }
        Slot &slot = slots_[next_++ % COUNT];
        mytorch_give(slot.block, slot.rounded);
        slot = {block, rounded, number};
    }
    void drop() {
        for (Slot &slot : slots_) {
            if (slot.block != nullptr) {
                mytorch_give(slot.block, slot.rounded);
                slot.block = nullptr;
            }
        }
    }

private:
    static constexpr unsigned COUNT = 4;
    struct Slot {
        void *block;
        size_t rounded;
        int number;
    };
    Slot slots_[COUNT] = {};
    unsigned next_ = 0;
};

// Those of this thread; NULL if there is no memory for them. They go with the thread.
#ifdef _WIN32
OwnBlocks *own_blocks() {
    thread_local OwnBlocks blocks;
    return &blocks;
}
#else
pthread_key_t own_key;
const int own_key_made = pthread_key_create(&own_key, [](void *blocks) { delete static_cast<OwnBlocks *>(blocks); });

OwnBlocks *own_blocks() {
    if (own_key_made != 0) {
        return nullptr;
    }
    void *found = pthread_getspecific(own_key);
    if (found == nullptr) {
        OwnBlocks *const made = new (std::nothrow) OwnBlocks;
        if (pthread_setspecific(own_key, made) != 0) {
            delete made;
            return nullptr;
        }
        found = made;
    }
    return static_cast<OwnBlocks *>(found);
}
#endif

#ifdef MYTORCH_NO_POOL
constexpr size_t LARGEST_OWN = 0;
#else
constexpr size_t LARGEST_OWN = size_t{1} << 18;
#endif

}  // namespace

extern "C" void *mytorch_take_scratch(size_t bytes) {
    OwnBlocks *const own = bytes <= LARGEST_OWN ? own_blocks() : nullptr;
    size_t rounded;
    void *const block = own == nullptr ? nullptr : own->take(class_of(bytes, &rounded));
    return block != nullptr ? block : mytorch_take(bytes);
}

extern "C" void mytorch_give_scratch(void *block, size_t bytes) {
    OwnBlocks *const own = bytes <= LARGEST_OWN ? own_blocks() : nullptr;
    if (own == nullptr) {
        mytorch_give(block, bytes);
        return;
    }
    size_t rounded;
    const int number = class_of(bytes, &rounded);
    own->keep(block, rounded, number);
}

extern "C" void mytorch_empty_cache(void) {
    OwnBlocks *const own = own_blocks();
    if (own != nullptr) {
        own->drop();
    }
    std::lock_guard<ShortLock> guard(lock);
    drop_idle_blocks();
}

extern "C" void mytorch_memory(size_t *idle, size_t *used, size_t *peak) {
    std::lock_guard<ShortLock> guard(lock);
    *idle = idle_bytes;
    *used = used_bytes;
    *peak = peak_bytes;
}
