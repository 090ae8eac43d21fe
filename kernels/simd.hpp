#pragma once

// EP_SIMD_CLONES before a function: it is compiled for AVX-512, AVX2 and the baseline, and the loader picks the one
// this CPU has, so that a generic binary uses the whole machine. Has to be a macro, being an attribute that only some
// builds know: the loader picks before a sanitizer is ready (it would crash), and only glibc can pick at all. Elsewhere
// (aarch64, where NEON is the baseline) the one compiled version serves. clang cannot call a clone by its name from
// another file, so keep clones inside an unnamed namespace.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define EP_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EP_SANITIZED
#endif

#if !defined(__x86_64__) || !defined(__GLIBC__) || defined(EP_SANITIZED)
#define EP_SIMD_CLONES
#elif defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
// With the 16-bit operations (AVX-512BW) that "avx512f" lacks and bf16 wants.
#define EP_SIMD_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EP_SIMD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
