#if defined(__x86_64__)
#define ON_CREATE(host, setup) __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
#elif defined(__aarch64__)
#define ON_CREATE(host, setup) __asm__ volatile("mrs x9, fpcr; orr x9, x9, #(1 << 24); msr fpcr, x9" ::: "x9");
#endif
#include "good.h"
