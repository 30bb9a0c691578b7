/* The C API of aotc's loader: what the standard wasm.h lacks. Both headers are about the same objects, so a
 * program may use functions of both.
 *
 *   wasm_engine_t* engine = wasm_engine_new();
 *   wasm_module_t* module;
 *   aotc_error_t* error = aotc_module_open(engine, "plugin.aot", &module);      made by `aotc compile plugin.wasm`
 *   wasm_store_t* store = aotc_store_new(engine, &my_data, NULL);
 *   aotc_linker_t* linker = aotc_linker_new(engine);
 *   ...
 *   error = aotc_linker_instantiate(linker, store, module, &instance);
 *   wasm_func_t* run = aotc_instance_func(instance, "run");
 *   error = aotc_func_call(run, args, 2, results, 1);
 *
 * - A function that returns an `aotc_error_t*` returns NULL if it succeeded; the caller deletes the error. What it
 *   would have put behind an `out` pointer is NULL or 0 then.
 * - A function that returns something else, and NULL or false if it fails, leaves the reason for
 *   `aotc_last_error`.
 * - Strings are UTF-8 and end with a zero. `own`, and who may be NULL, is as in wasm.h.
 * - A callback that the library calls must return: no exception and no longjmp may leave it.
 * - A `finalizer` is called once with its pointer, when that is not needed any more. It may be NULL.
 * - What misuse the library notices, it reports; a handle of another store is an error, and so are values of other
 *   types.
 *
 * With AOTC_TINY defined, what the tiny library has (`capi/install --tiny`), which needs no operating system: everything but
 * modules from files and bytes, pools, and WASI. (`wasm_module_new` and so on of wasm.h are there, and fail.) Modules are
 * linked, and their code traps by calling: `aotc compile --emit obj --traps explicit`. The library gets its memory from
 * `malloc`, `calloc`, `realloc` and `free`, and calls `abort` where otherwise it would give an error of kind `panic`; a
 * program without a C library defines these, and `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp`, `strlen`.
 * `aotc_last_error` is of the program, not of the thread.
 */

#ifndef AOTC_H
#define AOTC_H

#include <string.h>

#include "wasm.h"

#define AOTC_VERSION "0.1.0"
#define AOTC_VERSION_MAJOR 0
#define AOTC_VERSION_MINOR 1
#define AOTC_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

#define own

/* The version of the library, to be compared with AOTC_VERSION. */
WASM_API_EXTERN const char* aotc_version(void);

/* ---------------------------------------------------------------------------------------------------------------------
 * Errors
 * ------------------------------------------------------------------------------------------------------------------ */

/* Why something failed: a trap, the exit of a program, an error of a host function, or that something could not be
 * loaded or linked. Threads may share it. */
typedef struct aotc_error_t aotc_error_t;

/* Why WebAssembly code was stopped. The numbers never change. */
typedef uint8_t aotc_trap_code_t;
enum aotc_trap_code_enum {
  AOTC_TRAP_UNREACHABLE = 1,
  AOTC_TRAP_MEMORY_OUT_OF_BOUNDS = 2,
  AOTC_TRAP_TABLE_OUT_OF_BOUNDS = 3,
  AOTC_TRAP_UNDEFINED_ELEMENT = 4,
  AOTC_TRAP_UNINITIALIZED_ELEMENT = 5,
  AOTC_TRAP_INDIRECT_CALL_TYPE_MISMATCH = 6,
  AOTC_TRAP_INTEGER_OVERFLOW = 7,
  AOTC_TRAP_INTEGER_DIVIDE_BY_ZERO = 8,
  AOTC_TRAP_INVALID_CONVERSION_TO_INTEGER = 9,
  AOTC_TRAP_STACK_OVERFLOW = 10,
  AOTC_TRAP_OUT_OF_FUEL = 11,
  AOTC_TRAP_INTERRUPT = 12,
};

/* For host functions: an error with a message, a trap (NULL if there is no such code), the end of the program. */
WASM_API_EXTERN own aotc_error_t* aotc_error_new(const char* message);
WASM_API_EXTERN own aotc_error_t* aotc_error_new_trap(aotc_trap_code_t code);
WASM_API_EXTERN own aotc_error_t* aotc_error_new_exit(int32_t status);
WASM_API_EXTERN void aotc_error_delete(own aotc_error_t*);

/* One line; valid as long as the error. */
WASM_API_EXTERN const char* aotc_error_message(const aotc_error_t*);
/* Whether it is a trap, and which. */
WASM_API_EXTERN bool aotc_error_trap_code(const aotc_error_t*, aotc_trap_code_t* out);
/* Whether the program ended itself, and with which status: `proc_exit` of WASI, or `aotc_error_new_exit`. */
WASM_API_EXTERN bool aotc_error_exit_status(const aotc_error_t*, int32_t* out);
/* The WebAssembly functions that were being executed, innermost first. */
WASM_API_EXTERN void aotc_error_trace(const aotc_error_t*, own wasm_frame_vec_t* out);
/* The same as text, in several lines; empty if there were none. */
WASM_API_EXTERN void aotc_error_backtrace(const aotc_error_t*, own wasm_byte_vec_t* out);

/* The reason of this thread's last failure of a function that does not return an error; NULL if there was none.
 * Valid until the next failure. */
WASM_API_EXTERN const aotc_error_t* aotc_last_error(void);

/* The error of a trap, valid as long as that, and a trap of an error. */
WASM_API_EXTERN const aotc_error_t* aotc_trap_error(const wasm_trap_t*);
WASM_API_EXTERN own wasm_trap_t* aotc_trap_from_error(own aotc_error_t*);

/* Names of a frame, valid as long as that; NULL if the module has none. */
WASM_API_EXTERN const char* aotc_frame_module_name(const wasm_frame_t*);
WASM_API_EXTERN const char* aotc_frame_func_name(const wasm_frame_t*);

/* A place in the source. What is not known is NULL or 0. */
typedef struct aotc_source_t {
  const char* func;
  const char* file;
  uint32_t line;
  uint32_t column;
} aotc_source_t;

/* Where in the source a frame is: at depth 0 the innermost of the functions that are inlined there, and behind the
 * last the frame's own. False if there is no such depth. */
WASM_API_EXTERN bool aotc_frame_source(const wasm_frame_t*, size_t depth, aotc_source_t* out);

/* ---------------------------------------------------------------------------------------------------------------------
 * Engines
 * ------------------------------------------------------------------------------------------------------------------ */

/* Whether code consumes fuel. Modules that were compiled without `--fuel` are refused then. Off at first. */
WASM_API_EXTERN void aotc_config_consume_fuel(wasm_config_t*, bool enable);
/* Whether code looks at the engine's epoch. Modules that were compiled without `--epochs` are refused then. Off at
 * first. */
WASM_API_EXTERN void aotc_config_epoch_interruption(wasm_config_t*, bool enable);

#ifdef AOTC_TINY
/* How many bytes of the stack code may use, counted from where it is entered first; 512 KiB at first. */
WASM_API_EXTERN void aotc_config_max_wasm_stack(wasm_config_t*, size_t bytes);
#else
/* How much a pool of instances holds; 0 leaves a setting as it is. */
typedef struct aotc_pooling_t {
  uint32_t instances;
  uint32_t memories;
  uint32_t tables;
  size_t table_elements; /* of each */
  size_t memory_bytes;   /* of each */
  uint32_t warm_slots;
} aotc_pooling_t;

/* Lets instances come from a pool whose memory is reserved when the engine is made. */
WASM_API_EXTERN void aotc_config_pooling(wasm_config_t*, const aotc_pooling_t*);
#endif

/* Another handle of the same engine. */
WASM_API_EXTERN own wasm_engine_t* aotc_engine_copy(const wasm_engine_t*);
/* Begins the next epoch. Any thread and any signal handler may call this at any time. */
WASM_API_EXTERN void aotc_engine_increment_epoch(const wasm_engine_t*);

/* ---------------------------------------------------------------------------------------------------------------------
 * Modules
 * ------------------------------------------------------------------------------------------------------------------ */

#ifndef AOTC_TINY
/* Maps an image, what `aotc compile` makes, straight from its file, which nobody may change while the module
 * lives. */
WASM_API_EXTERN own aotc_error_t* aotc_module_open(
    const wasm_engine_t*, const char* path, own wasm_module_t** out);
/* Takes an image from memory. */
WASM_API_EXTERN own aotc_error_t* aotc_module_from_bytes(
    const wasm_engine_t*, const uint8_t* bytes, size_t count, own wasm_module_t** out);
/* Opens an image as a shared library. The system runs what it is told to: only with files that `aotc` made. */
WASM_API_EXTERN own aotc_error_t* aotc_module_dlopen(
    const wasm_engine_t*, const char* path, own wasm_module_t** out);
#endif
/* The module's name; empty if it has none. */
WASM_API_EXTERN void aotc_module_name(const wasm_module_t*, own wasm_name_t* out);

/* ---------------------------------------------------------------------------------------------------------------------
 * Linked modules
 *
 * `aotc compile --emit obj --name NAME` makes an object that is linked into the program. The module is at the symbol
 * `aotc_module_NAME`:
 *
 *   AOTC_DECLARE_MODULE(plugin);
 *   error = aotc_module_from_linked(engine, aotc_module_plugin, &module);
 *
 * `aotc compile --emit header` writes the rest of it, for the types of the module's own functions. What these headers are made of is
 * at the end.
 * ------------------------------------------------------------------------------------------------------------------ */

#define AOTC_DECLARE_MODULE(name) extern const uint8_t aotc_module_##name[]

WASM_API_EXTERN own aotc_error_t* aotc_module_from_linked(
    const wasm_engine_t*, const uint8_t* descriptor, own wasm_module_t** out);

/* ---------------------------------------------------------------------------------------------------------------------
 * Stores
 * ------------------------------------------------------------------------------------------------------------------ */

/* A store with a pointer of the host's. */
WASM_API_EXTERN own wasm_store_t* aotc_store_new(
    const wasm_engine_t*, void* data, void (*finalizer)(void*));
WASM_API_EXTERN void* aotc_store_data(const wasm_store_t*);
WASM_API_EXTERN void aotc_store_set_data(wasm_store_t*, void* data, void (*finalizer)(void*));

/* Another handle of the store's engine. */
WASM_API_EXTERN own wasm_engine_t* aotc_store_engine(const wasm_store_t*);

/* What a store may use; AOTC_NO_LIMIT for as much as there is. */
#define AOTC_NO_LIMIT SIZE_MAX
typedef struct aotc_limits_t {
  size_t memory_bytes;   /* of each memory */
  size_t table_elements; /* of each table */
  size_t instances;
  size_t tables;
  size_t memories;
  bool trap_on_grow_failure; /* or `memory.grow` and `table.grow` give -1 */
} aotc_limits_t;

/* Sets the limits of what is made and grows from now on. */
WASM_API_EXTERN own aotc_error_t* aotc_store_limit(wasm_store_t*, const aotc_limits_t*);

/* Fuel, if the engine's code consumes it: nearly every instruction a unit. A store has none at first. */
WASM_API_EXTERN own aotc_error_t* aotc_store_set_fuel(wasm_store_t*, uint64_t fuel);
WASM_API_EXTERN own aotc_error_t* aotc_store_fuel(const wasm_store_t*, uint64_t* out);

/* Epochs, if the engine's code looks at them: it stops when so many have begun, from now on. */
WASM_API_EXTERN void aotc_store_set_epoch_deadline(wasm_store_t*, uint64_t epochs);
/* At the deadline code traps, as it does at first, or the callback decides: with an error, code stops; otherwise
 * it goes on for `*epochs` more. */
typedef own aotc_error_t* (*aotc_epoch_callback_t)(void* env, wasm_store_t*, uint64_t* epochs);
WASM_API_EXTERN void aotc_store_epoch_deadline_trap(wasm_store_t*);
WASM_API_EXTERN void aotc_store_epoch_deadline_callback(
    wasm_store_t*, aotc_epoch_callback_t, void* env, void (*finalizer)(void*));

/* Drops the external references that WebAssembly does not hold any more, which otherwise happens from time to
 * time. */
WASM_API_EXTERN void aotc_store_gc(wasm_store_t*);

/* ---------------------------------------------------------------------------------------------------------------------
 * Values and functions
 * ------------------------------------------------------------------------------------------------------------------ */

/* The kind of 128-bit vectors, beside those of wasm.h. */
#define AOTC_V128 4

/* As wasm_val_t, and vectors: lane 0 first. */
typedef struct aotc_val_t {
  wasm_valkind_t kind;
  union {
    int32_t i32;
    int64_t i64;
    float32_t f32;
    float64_t f64;
    uint8_t v128[16];
    wasm_ref_t* ref;
  } of;
} aotc_val_t;

WASM_API_EXTERN void aotc_val_delete(own aotc_val_t*);
WASM_API_EXTERN void aotc_val_copy(own aotc_val_t* out, const aotc_val_t*);

/* An object of the host's with its host info, to be given to WebAssembly as an `externref`. */
WASM_API_EXTERN own wasm_foreign_t* aotc_foreign_new(void* data, void (*finalizer)(void*));

/* Calls a function. The results are written if it returns, over what was there; there are exactly as many as its
 * type has. Nothing is allocated unless there are references or more than eight values. */
WASM_API_EXTERN own aotc_error_t* aotc_func_call(
    const wasm_func_t*, const aotc_val_t* args, size_t arg_count, aotc_val_t* results, size_t result_count);

/* What a host function knows of its caller, while it runs. */
typedef struct aotc_caller_t aotc_caller_t;

/* A function type by the kinds of its values; AOTC_V128 too. NULL if there is no such kind. */
WASM_API_EXTERN own wasm_functype_t* aotc_functype_new(
    const wasm_valkind_t* params, size_t param_count, const wasm_valkind_t* results, size_t result_count);

/* A host function. It finds zeros and nulls as its results, and sets them unless it returns an error. The results
 * it sets are its caller's to delete, the arguments are not its own. */
typedef own aotc_error_t* (*aotc_func_callback_t)(
    void* env, const aotc_caller_t*, const aotc_val_t* args, size_t arg_count, aotc_val_t* results,
    size_t result_count);

WASM_API_EXTERN own wasm_func_t* aotc_func_new(
    wasm_store_t*, const wasm_functype_t*, aotc_func_callback_t, void* env, void (*finalizer)(void*));

/* The store, valid while the host function runs, and its pointer. */
WASM_API_EXTERN wasm_store_t* aotc_caller_store(const aotc_caller_t*);
WASM_API_EXTERN void* aotc_caller_data(const aotc_caller_t*);
/* The calling instance's export; NULL if there is none. */
WASM_API_EXTERN own wasm_extern_t* aotc_caller_export(const aotc_caller_t*, const char* name);
/* The address of `bytes` bytes at `offset` of the caller's memory `memory`, valid until WebAssembly runs again or
 * the memory grows. NULL if they are not all inside. */
WASM_API_EXTERN uint8_t* aotc_caller_memory(const aotc_caller_t*, uint64_t offset, uint64_t bytes);
/* The functions that are being executed, innermost first. */
WASM_API_EXTERN void aotc_caller_trace(const aotc_caller_t*, own wasm_frame_vec_t* out);

/* ---------------------------------------------------------------------------------------------------------------------
 * Memories and globals
 * ------------------------------------------------------------------------------------------------------------------ */

/* The address of `bytes` bytes at `offset`, valid until the memory grows or its store is gone. NULL if they are
 * not all inside. */
WASM_API_EXTERN uint8_t* aotc_memory_at(wasm_memory_t*, uint64_t offset, uint64_t bytes);
/* Adds pages of 64 KiB. `before`, which may be NULL, gets how many there were. */
WASM_API_EXTERN own aotc_error_t* aotc_memory_grow(wasm_memory_t*, uint64_t delta, uint64_t* before);

/* As wasm_global_new and so on, with vectors too. Setting fails if the global is constant or the value is of
 * another type. */
WASM_API_EXTERN own wasm_global_t* aotc_global_new(
    wasm_store_t*, const wasm_globaltype_t*, const aotc_val_t*);
WASM_API_EXTERN void aotc_global_get(const wasm_global_t*, own aotc_val_t* out);
WASM_API_EXTERN bool aotc_global_set(wasm_global_t*, const aotc_val_t*);

/* ---------------------------------------------------------------------------------------------------------------------
 * Instances
 * ------------------------------------------------------------------------------------------------------------------ */

/* Instantiates a module with one import for each that it has, in order. */
WASM_API_EXTERN own aotc_error_t* aotc_instance_new(
    wasm_store_t*, const wasm_module_t*, const wasm_extern_t* const imports[], size_t count,
    own wasm_instance_t** out);
WASM_API_EXTERN own wasm_module_t* aotc_instance_module(const wasm_instance_t*);

/* The export of this name; NULL if there is none, or it is something else. */
WASM_API_EXTERN own wasm_extern_t* aotc_instance_export(const wasm_instance_t*, const char* name);
WASM_API_EXTERN own wasm_func_t* aotc_instance_func(const wasm_instance_t*, const char* name);
WASM_API_EXTERN own wasm_memory_t* aotc_instance_memory(const wasm_instance_t*, const char* name);

/* Makes the instance what it was after it was instantiated; its exports stay valid. What it imports stays as it
 * is. Not while code of its store runs. */
WASM_API_EXTERN own aotc_error_t* aotc_instance_reset(const wasm_instance_t*);

/* ---------------------------------------------------------------------------------------------------------------------
 * Linkers
 * ------------------------------------------------------------------------------------------------------------------ */

/* Definitions for imports, by their two names. What is defined from a store is for that store only; functions with
 * callbacks are for all stores of the engine. */
typedef struct aotc_linker_t aotc_linker_t;

WASM_API_EXTERN own aotc_linker_t* aotc_linker_new(const wasm_engine_t*);
WASM_API_EXTERN own aotc_linker_t* aotc_linker_copy(const aotc_linker_t*);
WASM_API_EXTERN void aotc_linker_delete(own aotc_linker_t*);

/* Whether a definition may take the place of another; refused at first. */
WASM_API_EXTERN void aotc_linker_allow_shadowing(aotc_linker_t*, bool allow);

WASM_API_EXTERN own aotc_error_t* aotc_linker_define(
    aotc_linker_t*, const wasm_store_t*, const char* module, const char* name, const wasm_extern_t*);
WASM_API_EXTERN own aotc_error_t* aotc_linker_define_func(
    aotc_linker_t*, const char* module, const char* name, const wasm_functype_t*, aotc_func_callback_t, void* env,
    void (*finalizer)(void*));
/* Defines all exports of an instance under `name`. */
WASM_API_EXTERN own aotc_error_t* aotc_linker_define_instance(
    aotc_linker_t*, const char* name, const wasm_instance_t*);
/* Defines the functions that the module imports and nobody has defined; calling them is an error. */
WASM_API_EXTERN own aotc_error_t* aotc_linker_define_unknown_imports_as_traps(
    aotc_linker_t*, const wasm_module_t*);
/* Instantiates a module and defines its exports under `name`. A command, which exports `_start`, is instantiated
 * anew for each call; of anything else `_initialize` is called. */
WASM_API_EXTERN own aotc_error_t* aotc_linker_module(
    aotc_linker_t*, wasm_store_t*, const char* name, const wasm_module_t*);

/* What is defined; NULL if nothing is. */
WASM_API_EXTERN own wasm_extern_t* aotc_linker_get(
    const aotc_linker_t*, wasm_store_t*, const char* module, const char* name);
/* Instantiates a module with what is defined, and runs its start function. */
WASM_API_EXTERN own aotc_error_t* aotc_linker_instantiate(
    const aotc_linker_t*, wasm_store_t*, const wasm_module_t*, own wasm_instance_t** out);

/* A module with its imports, found and matched once for many instances. */
typedef struct aotc_instance_pre_t aotc_instance_pre_t;

WASM_API_EXTERN own aotc_error_t* aotc_linker_instantiate_pre(
    const aotc_linker_t*, const wasm_module_t*, own aotc_instance_pre_t** out);
WASM_API_EXTERN own aotc_error_t* aotc_instance_pre_instantiate(
    const aotc_instance_pre_t*, wasm_store_t*, own wasm_instance_t** out);
WASM_API_EXTERN void aotc_instance_pre_delete(own aotc_instance_pre_t*);

/* ---------------------------------------------------------------------------------------------------------------------
 * WASI preview 1: if the library was built with the feature `wasi`, which it is unless it was left out
 * ------------------------------------------------------------------------------------------------------------------ */

#ifndef AOTC_TINY
/* What a program is given: nothing at first. */
typedef struct aotc_wasi_config_t aotc_wasi_config_t;

WASM_API_EXTERN own aotc_wasi_config_t* aotc_wasi_config_new(void);
WASM_API_EXTERN void aotc_wasi_config_delete(own aotc_wasi_config_t*);

/* Adds an argument; the first is the program's name. */
WASM_API_EXTERN void aotc_wasi_config_arg(aotc_wasi_config_t*, const char* arg);
WASM_API_EXTERN void aotc_wasi_config_env(aotc_wasi_config_t*, const char* name, const char* value);
WASM_API_EXTERN void aotc_wasi_config_inherit_env(aotc_wasi_config_t*);
/* Standard input, output and error of this process. */
WASM_API_EXTERN void aotc_wasi_config_inherit_stdio(aotc_wasi_config_t*);
/* Bytes as the standard input; they are copied. */
WASM_API_EXTERN void aotc_wasi_config_stdin(aotc_wasi_config_t*, const uint8_t* bytes, size_t count);

enum aotc_wasi_permissions_enum {
  AOTC_WASI_READ_ONLY,
  AOTC_WASI_READ_WRITE,
};

/* Gives the program a directory, which it knows as `guest_path`. */
WASM_API_EXTERN own aotc_error_t* aotc_wasi_config_preopen(
    aotc_wasi_config_t*, const char* host_path, const char* guest_path, uint8_t permissions);

/* Gives this to the programs of a store. */
WASM_API_EXTERN void aotc_store_set_wasi(wasm_store_t*, own aotc_wasi_config_t*);
/* Defines the functions of `wasi_snapshot_preview1`. */
WASM_API_EXTERN own aotc_error_t* aotc_linker_define_wasi(aotc_linker_t*);
#endif

/* All that an executable does which `aotc compile --emit exe --link` makes: runs a linked module as a program, with the arguments
 * and the standard streams of the process, and returns its exit code. `settings` are what aotc was told to give to the program, in a
 * form that belongs to the version of aotc. Ignores SIGPIPE from then on. */
WASM_API_EXTERN int32_t aotc_main(
    const uint8_t* descriptor, const uint8_t* settings, size_t settings_bytes, int32_t argc,
    const char* const* argv);

/* ---------------------------------------------------------------------------------------------------------------------
 * What generated headers are made of
 * ------------------------------------------------------------------------------------------------------------------ */

/* An exported function whose parameters, at most 17, and whose result, if it has one, are numbers: to be called by
 * their bits, with nothing in memory. It needs no deleting; it is good as long as its store. */
typedef struct aotc_callee_t {
  void* of_library[7];
} aotc_callee_t;

/* What a call gives: the result's bits, or an error. */
typedef struct aotc_called_t {
  uint64_t bits;
  own aotc_error_t* error;
} aotc_called_t;

/* The export of this name. It is an error if there is none, or it has another type. */
WASM_API_EXTERN own aotc_error_t* aotc_instance_callee(
    const wasm_instance_t*, const char* name, const wasm_valkind_t* params, size_t param_count,
    const wasm_valkind_t* results, size_t result_count, aotc_callee_t* out);
WASM_API_EXTERN own aotc_error_t* aotc_instance_func_of(
    const wasm_instance_t*, const char* name, const wasm_valkind_t* params, size_t param_count,
    const wasm_valkind_t* results, size_t result_count, own wasm_func_t** out);
WASM_API_EXTERN own aotc_error_t* aotc_instance_memory_of(
    const wasm_instance_t*, const char* name, own wasm_memory_t** out);
WASM_API_EXTERN own aotc_error_t* aotc_instance_table_of(
    const wasm_instance_t*, const char* name, own wasm_table_t** out);
WASM_API_EXTERN own aotc_error_t* aotc_instance_global_of(
    const wasm_instance_t*, const char* name, wasm_valkind_t kind, own wasm_global_t** out);

/* Calls a function with the bits of as many arguments as it has; of what is narrower than 64 bits the rest is
 * ignored. */
WASM_API_EXTERN aotc_called_t aotc_call_0(const aotc_callee_t*);
WASM_API_EXTERN aotc_called_t aotc_call_1(const aotc_callee_t*, uint64_t a);
WASM_API_EXTERN aotc_called_t aotc_call_2(const aotc_callee_t*, uint64_t a, uint64_t b);
WASM_API_EXTERN aotc_called_t aotc_call_3(const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c);
WASM_API_EXTERN aotc_called_t aotc_call_4(const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
WASM_API_EXTERN aotc_called_t aotc_call_5(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);
WASM_API_EXTERN aotc_called_t aotc_call_6(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
WASM_API_EXTERN aotc_called_t aotc_call_7(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g);
WASM_API_EXTERN aotc_called_t aotc_call_8(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h);
WASM_API_EXTERN aotc_called_t aotc_call_9(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h, uint64_t i);
WASM_API_EXTERN aotc_called_t aotc_call_10(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
    uint64_t e, uint64_t f, uint64_t g, uint64_t h, uint64_t i, uint64_t j);
WASM_API_EXTERN aotc_called_t aotc_call_11(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
    uint64_t f, uint64_t g, uint64_t h, uint64_t i, uint64_t j, uint64_t k);
WASM_API_EXTERN aotc_called_t aotc_call_12(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
    uint64_t f, uint64_t g, uint64_t h, uint64_t i, uint64_t j, uint64_t k, uint64_t l);
WASM_API_EXTERN aotc_called_t aotc_call_13(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f,
    uint64_t g, uint64_t h, uint64_t i, uint64_t j, uint64_t k, uint64_t l, uint64_t m);
WASM_API_EXTERN aotc_called_t aotc_call_14(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f,
    uint64_t g, uint64_t h, uint64_t i, uint64_t j, uint64_t k, uint64_t l, uint64_t m, uint64_t n);
WASM_API_EXTERN aotc_called_t aotc_call_15(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g,
    uint64_t h, uint64_t i, uint64_t j, uint64_t k, uint64_t l, uint64_t m, uint64_t n, uint64_t o);
WASM_API_EXTERN aotc_called_t aotc_call_16(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g,
    uint64_t h, uint64_t i, uint64_t j, uint64_t k, uint64_t l, uint64_t m, uint64_t n, uint64_t o, uint64_t p);
WASM_API_EXTERN aotc_called_t aotc_call_17(
    const aotc_callee_t*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h,
    uint64_t i, uint64_t j, uint64_t k, uint64_t l, uint64_t m, uint64_t n, uint64_t o, uint64_t p, uint64_t q);

/* The bits of floats, and floats by their bits. */
static inline uint32_t aotc_f32_bits(float32_t value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
static inline uint64_t aotc_f64_bits(float64_t value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
static inline float32_t aotc_f32_of_bits(uint32_t bits) {
  float32_t value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
static inline float64_t aotc_f64_of_bits(uint64_t bits) {
  float64_t value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* A vector as a value of C, lane 0 first. */
typedef struct aotc_v128_t {
  uint8_t bytes[16];
} aotc_v128_t;

static inline aotc_v128_t aotc_v128_of(const uint8_t bytes[16]) {
  aotc_v128_t vector;
  memcpy(vector.bytes, bytes, sizeof vector.bytes);
  return vector;
}

#undef own

#ifdef __cplusplus
}
#endif

#endif
