/* C functions that are bound to imports of WebAssembly modules: `aotc compile --emit obj --bind host.log=my_log`.
 *
 *   double my_sine(double x) { ... }
 *   AOTC_BINDABLE(my_sine, "f64", "f64")
 *
 *   int32_t my_log(aotc_bound_caller_t *caller, int32_t text, int32_t bytes) { ... }     --bind host.log=my_log:caller
 *   AOTC_BINDABLE_WITH_CALLER(my_log, "i32 i32", "i32")
 *
 * The second line of each records the function's type, which the loader compares with the module's when it loads the
 * module. A function without a record is not checked.
 *
 * C types of the values: int32_t or uint32_t (i32), int64_t or uint64_t (i64), float (f32), double (f64); at most one
 * result. */
#ifndef AOTC_BIND_H
#define AOTC_BIND_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define AOTC_BIND_C extern "C"
#else
#define AOTC_BIND_C
#endif

/* The instance that calls; valid until the function returns. */
typedef struct aotc_bound_caller aotc_bound_caller_t;

/* Records the type of `function`: `params` and `results` are names of value types with spaces between them. */
#define AOTC_BINDABLE(function, params, results) AOTC_BIND_RECORD(function, "plain", params, results)

/* The same for a function whose first parameter is an `aotc_bound_caller_t *`, which is not among `params`. */
#define AOTC_BINDABLE_WITH_CALLER(function, params, results) \
    AOTC_BIND_RECORD(function, "caller", params, results)

#define AOTC_BIND_RECORD(function, style, params, results)                   \
    AOTC_BIND_C extern const char aotc_type_##function[];                    \
    AOTC_BIND_C const char aotc_type_##function[] = style ":" params ":" results;

/* Memory 0 of the caller, if its module defines one: its bytes, and in `*bytes` how many there are now. The address and
 * the size are good until the memory grows. NULL if the module defines no memory. */
static inline uint8_t *aotc_bound_caller_memory(aotc_bound_caller_t *caller, size_t *bytes) {
    const uint64_t *memory = (const uint64_t *)((const char *)caller - 32);
    *bytes = (size_t)memory[1];
    return (uint8_t *)(uintptr_t)memory[0];
}

/* Stops the WebAssembly code that called, with an error that says `message` and has the backtrace. Does not return: what
 * has called this since is left as by longjmp, so it must have nothing to clean up. */
#if defined(__GNUC__)
AOTC_BIND_C void aotc_bound_caller_trap(aotc_bound_caller_t *caller, const char *message) __attribute__((noreturn));
#else
AOTC_BIND_C void aotc_bound_caller_trap(aotc_bound_caller_t *caller, const char *message);
#endif

#endif
