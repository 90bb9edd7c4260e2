/*===- gru/runtime.h - the runtime's C interface ------------------*- C -*-===*\
|*
|* Runs compiled GRU programs. A *program* is a kernel with packed weights; it
|* never changes and is shared by any number of threads. A *session* owns the
|* recurrent state and the scratch memory of one stream.
|*
|*   gru_program *program;
|*   gru_session *session;
|*   if (gru_program_open(&artifact, weights, n, &program) ||
|*       gru_session_create(program, NULL, &session))
|*     return fail(gru_last_error());
|*   gru_session_run(session, &x, 1, &y, 1);    // as often as you like
|*   gru_session_destroy(session);
|*   gru_program_release(program);
|*
|* Rules that hold everywhere:
|* - Tensors are dense and row-major. Shapes are counts of elements, outermost
|*   dimension first.
|* - What is passed in stays the caller's and is not referred to after the call
|*   returns, except for what gru_artifact says.
|* - What can fail returns a gru_status; the text is gru_last_error().
|*   A call that fails has no effect, and out parameters that are pointers to
|*   handles are set to NULL.
|* - Nothing is printed, nothing aborts, no exception leaves the library.
|* - Programs may be used by many threads at once; a session by one at a time.
|*
|* ABI: GRU_ABI_VERSION is raised when an existing declaration changes
|* incompatibly. Structs with `struct_size` grow at their end only; the caller
|* sets the field to sizeof the struct that it was compiled with. A library
|* older than its caller accepts bytes that it does not know if they are zero.
|*
\*===----------------------------------------------------------------------===*/

#ifndef GRU_RUNTIME_H
#define GRU_RUNTIME_H

#include "gru/plan.h"

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GRU_API __attribute__((visibility("default")))
#else
#define GRU_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*--- Version ---------------------------------------------------------------*/

#define GRU_ABI_VERSION 1u

/* The GRU_ABI_VERSION that the library was built with. */
GRU_API uint32_t gru_abi_version(void);

/*--- Errors ----------------------------------------------------------------*/

typedef enum gru_status {
  GRU_OK = 0,
  GRU_INVALID_ARGUMENT = 1, /* the caller's fault: shape, type, null, ... */
  GRU_UNSUPPORTED = 2,      /* well-formed, but this library cannot do it */
  GRU_IO = 3,               /* a file cannot be read or written */
  GRU_OUT_OF_MEMORY = 4,
  GRU_DAMAGED = 5, /* data that a compiler made is not as it should be */
  GRU_INTERNAL = 6, /* a bug of ours */
  GRU_DEVICE_FAILED = 7 /* a device, its driver or library; the text is theirs */
} gru_status;

/* The text of the last failure of a gru function on this thread, of the form
   "where: what, found X, expected Y"; empty if there was none. Never NULL.
   Valid until the next failure on this thread. Successful calls leave it. */
GRU_API const char *gru_last_error(void);

/* Sets the text that gru_last_error returns on this thread: for libraries on
   top of this one that share its error convention. `message` is copied and may
   be cut. NULL means empty. */
GRU_API void gru_set_last_error(const char *message);

/* "invalid argument" and so on. Never NULL, also for unknown values. */
GRU_API const char *gru_status_name(gru_status status);

/*--- Tensors ---------------------------------------------------------------*/

/* Bytes of one element; 0 for what is not a gru_dtype. */
GRU_API size_t gru_dtype_size(gru_dtype dtype);

/* "f32", "bf16", "bool", ...; "unknown" for what is not a gru_dtype. */
GRU_API const char *gru_dtype_name(gru_dtype dtype);

/* What a program says about one of its tensors. */
typedef struct gru_tensor_info {
  const char *name; /* owned by the program */
  gru_dtype dtype;
  uint32_t rank;
  int64_t dims[GRU_MAX_RANK]; /* -1: decided by each run's inputs */
} gru_tensor_info;

/* A tensor in the caller's memory. In a run of a program with parts on a device
   (target cudnn, gpu or auto) it may be memory of that device, too; the driver is
   asked which it is. */
typedef struct gru_buffer {
  void *data; /* aligned to one element; may be NULL if there are none */
  gru_dtype dtype;
  uint32_t rank;
  const int64_t *dims; /* rank of them; may be NULL if rank is 0 */
} gru_buffer;

/* A weight in the model's form, found by its name. */
typedef struct gru_weight {
  const char *name;
  gru_dtype dtype;
  uint32_t rank;
  const int64_t *dims; /* rank of them; may be NULL if rank is 0 */
  const void *data;    /* any alignment */
} gru_weight;

/*--- Memory ----------------------------------------------------------------*/

/* Where a program or session gets its memory from, instead of the C library.
   Called only by the functions that make and destroy them, on their thread,
   never by a run. */
typedef struct gru_allocator {
  uint32_t struct_size; /* sizeof(gru_allocator) */
  uint32_t reserved;    /* 0 */
  /* `size` bytes, a multiple of `alignment`, which is a power of two; or NULL.
     Neither may be NULL. */
  void *(*allocate)(void *context, size_t size, size_t alignment);
  void (*release)(void *context, void *memory, size_t size);
  void *context; /* passed through; valid while what it allocated lives */
} gru_allocator;

/*--- Devices ---------------------------------------------------------------*/

/* What was measured on a device, kept by someone. Called by functions that make
   sessions, on their threads, one at a time. */
typedef struct gru_tuning_store {
  uint32_t struct_size; /* sizeof(gru_tuning_store) */
  uint32_t reserved;    /* 0 */
  /* The value last set for a key, or a negative number. Neither may be NULL. */
  int32_t (*find)(void *context, const char *key);
  void (*set)(void *context, const char *key, int32_t value);
  void *context; /* passed through; valid until another store is set */
} gru_tuning_store;

/* For the whole process; copied. NULL: the process remembers, as in the beginning.
   The compiler's library sets one beside its kernel cache.
   Errors: GRU_INVALID_ARGUMENT. */
GRU_API gru_status gru_set_tuning_store(const gru_tuning_store *store);

/*--- Programs --------------------------------------------------------------*/

/* What a compiler hands over. */
typedef struct gru_artifact {
  uint32_t struct_size; /* sizeof(gru_artifact) */
  uint32_t reserved;    /* 0 */
  gru_kernel kernel;    /* stays valid until `release` is called */
  const void *plan;     /* any alignment; copied, not referred to later */
  uint64_t plan_size;   /* bytes, exactly as the plan's header says */
  /* Called once with `context` when the program is destroyed, on the thread
     that gives up the last reference; frees the kernel. May be NULL. Not
     called if gru_program_open fails: the artifact stays the caller's. */
  void (*release)(void *context);
  void *context;
  /* Weights that gru_pack_weights has packed already, as an object compiled
     ahead of time carries them: aligned to 64 bytes, of the size that the plan
     says, valid until `release` is called. NULL: gru_program_open packs. */
  const void *packed_weights;
  uint64_t packed_weights_size; /* bytes; 0 if there are none */
  /* For the program and its weights; copied. NULL: the C library's. */
  const gru_allocator *allocator;
} gru_artifact;

typedef struct gru_program gru_program;

/* What a plan says of the blob of packed weights: how many bytes it has, and
   the blob itself, written to `blob`, whose `size` must be just that. Weights
   are found as by gru_program_open, with the same errors. For programs without
   a gru_program: objects made ahead of time with --hot-swap. */
GRU_API gru_status gru_plan_weights_bytes(const void *plan, uint64_t plan_size,
                                          uint64_t *bytes);
GRU_API gru_status gru_pack_weights(const void *plan, uint64_t plan_size,
                                    const gru_weight *weights,
                                    size_t num_weights, void *blob,
                                    uint64_t size);

/* Checks the plan, finds its weights by name among `weights` and packs them,
   or takes the artifact's packed weights if num_weights is 0.
   Weights that the plan does not name are ignored; of several with one name
   the first is taken. `weights` may be NULL if num_weights is 0. The program
   has one reference, which is the caller's.
   Errors: GRU_DAMAGED for a plan that is not in order, GRU_UNSUPPORTED for one
   of another version, GRU_INVALID_ARGUMENT for a weight that is missing or has
   another shape or type than the plan expects or packed weights of another size,
   GRU_OUT_OF_MEMORY. */
GRU_API gru_status gru_program_open(const gru_artifact *artifact,
                                    const gru_weight *weights,
                                    size_t num_weights, gru_program **program);

/* Opens a shared library that was made ahead of time (gru-opt --emit=shared).
   `weights` as for gru_program_open: none for the library's own. The library is
   code: load only what you trust. It is closed when the program is destroyed.
   Errors: GRU_IO if `path` cannot be loaded or is no such library,
   GRU_UNSUPPORTED on systems without shared libraries, and those of
   gru_program_open. */
GRU_API gru_status gru_program_load(const char *path, const gru_weight *weights,
                                    size_t num_weights, gru_program **program);

/* The same program with other weights of the same names, types and shapes, as a
   new program with one reference, which is the caller's. The kernel is shared.
   gru_session_set_program takes it into use.
   Errors: those of gru_program_open. */
GRU_API gru_status gru_program_with_weights(gru_program *program,
                                            const gru_weight *weights,
                                            size_t num_weights,
                                            gru_program **swapped);

/* Adds a reference and returns its argument. NULL is allowed. */
GRU_API gru_program *gru_program_retain(gru_program *program);

/* Gives up a reference; with the last one the program is destroyed. NULL is
   allowed. Sessions hold a reference of their own. */
GRU_API void gru_program_release(gru_program *program);

typedef enum gru_tensor_kind {
  GRU_KIND_INPUT = 0,
  GRU_KIND_OUTPUT = 1,
  GRU_KIND_STATE = 2,
  GRU_KIND_WEIGHT = 3
} gru_tensor_kind;

/* How many tensors of this kind the program has; 0 for a NULL program. */
GRU_API size_t gru_program_num_tensors(const gru_program *program,
                                       gru_tensor_kind kind);

/* Describes tensor `index` of this kind. Inputs and outputs stand in the order
   in which gru_session_run takes them. */
GRU_API gru_status gru_program_tensor(const gru_program *program,
                                      gru_tensor_kind kind, size_t index,
                                      gru_tensor_info *info);

/* Bytes of the packed weights, which all sessions share. */
GRU_API uint64_t gru_program_weights_bytes(const gru_program *program);

/* Threads that run this program together: those that it was compiled for, or 1
   where more would not pay; 0 for a NULL program. */
GRU_API uint32_t gru_program_threads(const gru_program *program);

/* Bytes of one session's state. */
GRU_API uint64_t gru_program_state_bytes(const gru_program *program);

/* Bytes of scratch memory of a session that promises at most `timesteps`.
   GRU_INVALID_ARGUMENT if that is below 1, GRU_OUT_OF_MEMORY if no machine
   could have that much. */
GRU_API gru_status gru_program_scratch_bytes(const gru_program *program,
                                             int64_t timesteps,
                                             uint64_t *bytes);

/* The shape that output `index` has for inputs of these shapes. `data` of the
   inputs is not looked at; everything else is checked as gru_session_run does,
   except for a session's max_timesteps. `dims` has room for GRU_MAX_RANK;
   `rank` may be NULL. */
GRU_API gru_status gru_program_output_shape(const gru_program *program,
                                            const gru_buffer *inputs,
                                            size_t num_inputs, size_t index,
                                            int64_t *dims, uint32_t *rank);

/*--- Sessions --------------------------------------------------------------*/

typedef struct gru_session gru_session;

/* What max_timesteps is where nothing is said. */
#define GRU_DEFAULT_MAX_TIMESTEPS 1024

/* A host's threads, for the runs of a program that was compiled for several. */
typedef struct gru_thread_pool {
  uint32_t struct_size; /* sizeof(gru_thread_pool) */
  uint32_t size;        /* members of a run, at least 1 */
  /* Calls task(argument, member) once for each member from 0 to size - 1 and
     returns when all calls have returned. On which threads, in which order and
     whether at the same time is the pool's choice and makes no difference to
     results: who comes late finds the work done. Called on the thread that runs
     the session. Where threads run, by affinity or NUMA node, is the pool's
     matter too: member m computes the same part of the weights in each run, if it
     is there in time. May not be NULL. */
  void (*run)(void *context, void (*task)(void *argument, uint32_t member),
              void *argument);
  void *context; /* passed through; valid while the session lives */
} gru_thread_pool;

typedef struct gru_session_options {
  uint32_t struct_size; /* sizeof(gru_session_options) */
  uint32_t reserved;    /* 0 */
  /* The longest dynamic dimension (number of timesteps) of any later run.
     Scratch memory is allocated for it. 0: GRU_DEFAULT_MAX_TIMESTEPS. */
  int64_t max_timesteps;
  /* For all memory of the session; copied. NULL: the C library's. */
  const gru_allocator *allocator;
  /* Threads for a program of several (gru_program_threads); copied. NULL: threads
     of the session's own, which are created with it and sleep while nothing
     runs. */
  const gru_thread_pool *pool;
  /* Of the session's own threads: member m, from 1 on, stays on the CPU that the
     system calls cpus[m - 1]. Member 0 is the thread that runs the session and, as
     are members without a number, where the system puts it. Neighbours that share
     a cache or a NUMA node meet soonest. Read by gru_session_create. */
  const uint32_t *cpus;
  size_t num_cpus;
} gru_session_options;

/* Allocates state (zeros) and scratch at once and touches every page, so that
   no run has to. `options` may be NULL. The session holds a reference to the
   program.
   Errors: GRU_INVALID_ARGUMENT, GRU_OUT_OF_MEMORY; GRU_UNSUPPORTED for `cpus` on
   another system than Linux. */
GRU_API gru_status gru_session_create(gru_program *program,
                                      const gru_session_options *options,
                                      gru_session **session);

/* NULL is allowed. Not while the session runs. */
GRU_API void gru_session_destroy(gru_session *session);

/* Goes on with another program of the same kernel and plan, that is with other
   weights (gru_program_with_weights); the state stays. Not while the session
   runs. Allocates nothing and takes no lock; it frees the old program if this was
   the last reference, which a host with a deadline keeps for another thread.
   Errors: GRU_INVALID_ARGUMENT for a program of another kernel or plan. */
GRU_API gru_status gru_session_set_program(gru_session *session,
                                           gru_program *program);

/* The session's program; no reference is added. */
GRU_API gru_program *gru_session_program(const gru_session *session);

/* The longest dynamic dimension that a run may have. */
GRU_API int64_t gru_session_max_timesteps(const gru_session *session);

/* Puts the device's work of later runs into this CUstream of the first device's
   primary context, which stays the caller's and lives longer than the session;
   NULL: a stream of the session's own, as in the beginning. A run reads inputs
   and writes outputs in the order of the stream. It returns when its outputs are
   there; except that with a stream of the caller's and all outputs in the device's
   memory it may return before: whoever synchronises the stream waits for them, and
   a failure may come out only then or in the next run. Not while the session runs.
   Errors: GRU_INVALID_ARGUMENT for a program without parts on a device,
   GRU_DEVICE_FAILED. */
GRU_API gru_status gru_session_set_stream(gru_session *session, void *stream);

/* How often this session's runs left cuDNN for the next backend because a mask
   was not right-padded: at most once per run and stack of layers. */
GRU_API uint64_t gru_session_num_mask_fallbacks(const gru_session *session);

/* Runs the program once: reads all inputs, advances the state, writes all
   outputs. Inputs and outputs stand in the program's order and have its types
   and shapes; dynamic dimensions are at least 1 and at most max_timesteps.
   Inputs may overlap each other and are not written; an output may overlap
   neither an input nor another output.
   On one thread it allocates nothing, takes no lock and makes no system call; on
   several it wakes them up, and waits with sched_yield where one is late. The caller's
   floating-point environment is restored before the return; inside, rounding is
   to nearest, exceptions are masked and denormals are zero.
   Errors: GRU_INVALID_ARGUMENT; then outputs and state are untouched. */
GRU_API gru_status gru_session_run(gru_session *session,
                                   const gru_buffer *inputs, size_t num_inputs,
                                   const gru_buffer *outputs,
                                   size_t num_outputs);

/* The two halves of gru_session_run. The first checks the tensors and keeps their
   addresses; the second runs on them, as often as you like, with whatever lies
   there then. So one step of a small network pays for no checks: write the
   input, call gru_session_run_bound, read the output. The memory must stay until
   other tensors are bound, by either of these or by gru_session_run.
   Errors: those of gru_session_run, after which nothing is bound;
   gru_session_run_bound has only that nothing is bound. */
GRU_API gru_status gru_session_bind(gru_session *session,
                                    const gru_buffer *inputs, size_t num_inputs,
                                    const gru_buffer *outputs,
                                    size_t num_outputs);
GRU_API gru_status gru_session_run_bound(gru_session *session);

/* Keras's training=True as a flag of the call. A program for training is another
   program than one for inference; a session takes one of the same model beside
   its own and keeps it for later calls, with scratch memory of its own. NULL gives
   it back. gru_session_prepare_training (gru/gru.h) compiles it as well. Not while
   the session runs, and not on a thread with a deadline: it allocates.
   Errors: GRU_INVALID_ARGUMENT where inputs, outputs or states of the layers are
   not those of the session's program, and those of gru_session_create. */
GRU_API gru_status gru_session_set_training_program(gru_session *session,
                                                    gru_program *program);

/* That program; NULL where there is none. No reference is added. */
GRU_API gru_program *gru_session_training_program(const gru_session *session);

/* gru_session_run with training=True: dropout acts. States of layers are those of
   the session, before and after. As real-time as gru_session_run; it copies the
   states. Errors: GRU_INVALID_ARGUMENT where the session has no such program, and
   those of gru_session_run. */
GRU_API gru_status gru_session_run_training(gru_session *session,
                                            const gru_buffer *inputs,
                                            size_t num_inputs,
                                            const gru_buffer *outputs,
                                            size_t num_outputs);

/* Makes all states zero: a new sequence starts.
   Errors: GRU_INVALID_ARGUMENT for a program without states, whose layers are
   not stateful: Keras 2's AttributeError, where Keras 3 is silent. */
GRU_API gru_status gru_session_reset_states(gru_session *session);

/* Gives every state a value: as many as the program has states, in its order,
   each of the state's type and shape.
   Errors: GRU_INVALID_ARGUMENT as above, or for values that do not fit (Keras's
   ValueError); then all states keep what they had. */
GRU_API gru_status gru_session_reset_states_to(gru_session *session,
                                               const gru_buffer *values,
                                               size_t num_values);

/* Copies state `index` (GRU_KIND_STATE) out of or into the session: dense,
   row-major, of the type and shape that gru_program_tensor tells. `size` is in
   bytes and must be exactly that of the tensor. Any alignment. */
GRU_API gru_status gru_session_get_state(const gru_session *session,
                                         size_t index, void *data, size_t size);
GRU_API gru_status gru_session_set_state(gru_session *session, size_t index,
                                         const void *data, size_t size);

/* All states at once as bytes, for keeping and going on later: their size, a
   copy out and a copy back in. `size` must be gru_session_state_size. The bytes
   mean the same to every session of this program and to no other program. */
GRU_API size_t gru_session_state_size(const gru_session *session);
GRU_API gru_status gru_session_save_state(const gru_session *session,
                                          void *data, size_t size);
GRU_API gru_status gru_session_restore_state(gru_session *session,
                                             const void *data, size_t size);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* GRU_RUNTIME_H */
