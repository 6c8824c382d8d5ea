// What a thread does between two looks at what it waits for.
#ifndef MYTORCH_PAUSE_H
#define MYTORCH_PAUSE_H

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

#endif
