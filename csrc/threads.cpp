// The threads that kernels share. A job is a number of tasks; whoever is awake takes the next one, and the job ends when its tasks
// are done, not when its workers are: a thread that the system has put aside holds nobody up.
//
// How a job is cut into tasks depends on shapes alone, never on the number of threads, so that results do not either.
#ifndef _WIN32
#include <pthread.h>
#include <sched.h>
#endif

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "kernels.h"
#include "pause.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::microseconds SPIN{200};  // how long a worker looks for a next job before it sleeps: an operation of Python takes 50
// How long small jobs run before they wake those who sleep. That costs the caller 15 us, and a worker begins 40 us later: a small job,
// as a layer is for a single image, is done by then. Jobs that follow each other closely count together, if they take a good part of the
// time that passes: for them a worker stays awake.
// A job is small if the last one of the same task and count was; what it gives does not depend on it.
constexpr std::chrono::microseconds PATIENCE{50};
constexpr int BUSY = 8;  // "a good part": one in so many

thread_local bool inside_a_task = false;

int available_processors() {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return CPU_COUNT(&set);
    }
#endif
    const int count = static_cast<int>(std::thread::hardware_concurrency());
    return count > 0 ? count : 1;
}

int this_processor() {
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

class Pool {
public:
    explicit Pool(int threads) : threads_(threads) {}

    int threads() const { return threads_; }

    void resize(int threads) {
        std::lock_guard<std::mutex> owner(busy_);
        threads_ = threads;
        std::lock_guard<std::mutex> lock(sleep_);
        changed_.notify_all();  // workers beyond the new number leave
    }

    // False if another thread's job is running: the caller then works alone.
    bool run(int64_t count, void (*task)(void *, int64_t), void *context) {
        if (!busy_.try_lock()) {
            return false;
        }
        std::lock_guard<std::mutex> owner(busy_, std::adopt_lock);
        start_workers();
        task_ = task;
        context_ = context;
        count_ = count;
        shares_ = threads_ < MAX_SHARES ? threads_.load() : MAX_SHARES;
        unfinished_.store(count, std::memory_order_relaxed);
        ++generation_;
        for (int i = shares_ - 1; i >= 0; --i) {
            const uint64_t size = static_cast<uint64_t>(share_begin(i + 1) - share_begin(i));
            share_[i].ticket.store(generation_ << 32 | size, std::memory_order_seq_cst);
        }
        caller_.store(this_processor(), std::memory_order_relaxed);
        const Clock::time_point begin = Clock::now();
        Known &known = known_[(reinterpret_cast<uintptr_t>(task) / 16 + static_cast<uintptr_t>(count)) % KNOWN];
        int64_t done = 0;
        if (sleepers_.load(std::memory_order_seq_cst) == 0) {
            work(0, [&] { ++done; });
        } else if (known.task == task && known.count == count && known.work < PATIENCE) {
            done = work_and_wake(begin);
        } else {
            wake();
            work(0, [&] { ++done; });
        }
        if (done > 0) {
            known = {task, count, (Clock::now() - begin) / done * count};
        }
        while (unfinished_.load(std::memory_order_acquire) != 0) {
            pause();
        }
        return true;
    }

private:
    int64_t share_begin(int i) const { return count_ * i / shares_; }

    // Take tasks until none is left: first those of this thread's own share, whose memory the same job touched through the same
    // thread's cache last time, then those of the others. A task that was taken keeps its job from ending, so that task_, context_
    // and the shares are the job's own. `between` is called after each task.
    template <class Between> void work(int number, const Between &between) {
        for (int turn = 0; turn < MAX_SHARES; ++turn) {
            const int i = (number + turn) % MAX_SHARES;
            Share &share = share_[i];
            uint64_t ticket = share.ticket.load(std::memory_order_acquire);
            while ((ticket & LEFT) != 0) {
                if (share.ticket.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
                    inside_a_task = true;
                    task_(context_, share_begin(i + 1) - static_cast<int64_t>(ticket & LEFT));
                    inside_a_task = false;
                    unfinished_.fetch_sub(1, std::memory_order_release);
                    between();
                    ticket = share.ticket.load(std::memory_order_acquire);
                }
            }
        }
    }

    // Calls those who sleep, once until one of them has come: on a busy machine that may take many jobs, and calling costs each.
    void wake() {
        if (!called_.exchange(true, std::memory_order_relaxed)) {
            std::lock_guard<std::mutex> lock(sleep_);
            changed_.notify_all();
        }
    }

    // The caller's part of a small job while workers sleep: how many tasks it did.
    int64_t work_and_wake(Clock::time_point begin) {
        if (begin - last_end_ > SPIN) {
            count_alone_from(begin);
        }
        int64_t done = 0;
        bool woken = false;
        work(0, [&] {
            ++done;
            const Clock::time_point now = Clock::now();
            if (!woken && alone_ + (now - begin) >= PATIENCE && (alone_ + (now - begin)) * BUSY >= now - alone_since_ && !nothing_to_take()) {
                woken = true;
                wake();
            }
        });
        last_end_ = Clock::now();
        alone_ += last_end_ - begin;
        if (alone_ >= PATIENCE && alone_ * BUSY < last_end_ - alone_since_) {
            count_alone_from(last_end_);
        }
        return done;
    }

    void count_alone_from(Clock::time_point now) {
        alone_ = Clock::duration::zero();
        alone_since_ = now;
    }

    bool nothing_to_take() const {
        for (const Share &share : share_) {
            if ((share.ticket.load(std::memory_order_seq_cst) & LEFT) != 0) {
                return false;
            }
        }
        return true;
    }

    // Linux may wake a thread on the processor of its caller, where it waits while others are idle, and do so again and again.
    void step_aside() {
#ifdef __linux__
        const int here = this_processor();
        cpu_set_t all;
        if (here < 0 || here != caller_.load(std::memory_order_relaxed) || sched_getaffinity(0, sizeof(all), &all) != 0 ||
            CPU_COUNT(&all) < threads_.load(std::memory_order_relaxed)) {
            return;
        }
        cpu_set_t others = all;
        CPU_CLR(static_cast<size_t>(here), &others);
        if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof(others), &others) == 0) {
            sched_setaffinity(0, sizeof(all), &all);
        }
#endif
    }

    void live(int number) {
        while (number < threads_.load(std::memory_order_relaxed)) {
            step_aside();
            work(number, [] {});
            const Clock::time_point until = Clock::now() + SPIN;
            while (nothing_to_take() && Clock::now() < until) {
                for (int i = 0; i < 32; ++i) {
                    pause();
                }
            }
            if (nothing_to_take()) {
                std::unique_lock<std::mutex> lock(sleep_);
                sleepers_.fetch_add(1, std::memory_order_seq_cst);
                while (nothing_to_take() && number < threads_.load(std::memory_order_relaxed)) {
                    called_.store(false, std::memory_order_relaxed);  // also where the job was done when this thread came
                    changed_.wait(lock);
                }
                sleepers_.fetch_sub(1, std::memory_order_seq_cst);
            }
        }
        alive_[number].store(false, std::memory_order_release);
    }

    void start_workers() {
        for (int number = 1; number < threads_.load(std::memory_order_relaxed) && number < MAX_THREADS; ++number) {
            if (!alive_[number].exchange(true, std::memory_order_acq_rel)) {
                std::thread([this, number] { live(number); }).detach();
            }
        }
    }

    static constexpr int MAX_THREADS = 256;
    std::mutex busy_;   // held by the thread whose job runs
    std::mutex sleep_;  // guards falling asleep
    std::condition_variable changed_;
    std::atomic<int> threads_;
    std::atomic<int> sleepers_{0};
    std::atomic<bool> called_{false};
    std::atomic<int> caller_{-1};  // the processor on which a job was begun
    std::atomic<bool> alive_[MAX_THREADS] = {};
    static constexpr int MAX_SHARES = 16;
    static constexpr uint64_t LEFT = 0xffffffffu;
    struct alignas(64) Share {
        std::atomic<uint64_t> ticket{0};  // generation << 32 | tasks not yet taken
    };
    Share share_[MAX_SHARES];
    uint64_t generation_ = 0;
    struct Known {
        void (*task)(void *, int64_t) = nullptr;
        int64_t count = 0;
        Clock::duration work{};  // of all its tasks together
    };
    static constexpr uintptr_t KNOWN = 64;
    Known known_[KNOWN];
    Clock::time_point last_end_;                        // of a job that ran while workers slept
    Clock::duration alone_ = Clock::duration::zero();  // how long such jobs have run in a row
    Clock::time_point alone_since_;
    int shares_ = 1;
    alignas(64) std::atomic<int64_t> unfinished_{0};
    void (*task_)(void *, int64_t) = nullptr;
    void *context_ = nullptr;
    int64_t count_ = 0;
};

Pool *pool = nullptr;  // never deleted: its workers sleep until the process ends

#ifndef _WIN32
// A forked child has one thread, and the pool's locks as they happened to be: it begins with a new pool.
void begin_anew_after_fork() { pool = new Pool(pool->threads()); }
#endif

Pool &the_pool() {
    static const bool made = [] {
        pool = new Pool(available_processors());
#ifndef _WIN32  // which has no fork
        pthread_atfork(nullptr, nullptr, begin_anew_after_fork);
#endif
        return true;
    }();
    (void)made;
    return *pool;
}

}  // namespace

extern "C" void mytorch_parallel(int64_t count, void (*task)(void *, int64_t), void *context) {
    if (count > 1 && count < INT64_C(1) << 32 && !inside_a_task) {
        Pool &shared = the_pool();
        if (shared.threads() > 1 && shared.run(count, task, context)) {
            return;
        }
    }
    for (int64_t i = 0; i < count; ++i) {
        task(context, i);
    }
}

extern "C" int mytorch_get_threads(void) { return the_pool().threads(); }

extern "C" void mytorch_set_threads(int count) { the_pool().resize(count < 1 ? 1 : count); }
