/*===- gru/gru.h - the compiler's C interface --------------------------*- C -*-===*\
|*
|* Loads or builds a model and compiles it into a program for gru/runtime.h:
|*
|*   gru_model *model;
|*   gru_program *program;
|*   gru_compile_options options = {.struct_size = sizeof(options), .batch = 1};
|*   if (gru_model_load("denoise.keras", NULL, &model) ||
|*       gru_compile(model, &options, &program))
|*     return fail(gru_last_error());
|*
|* The rules of gru/runtime.h hold here too: statuses with gru_last_error(),
|* dense row-major tensors, structs that start with their size, nothing printed,
|* no exception, no exit.
|*
\*===----------------------------------------------------------------------===*/

#ifndef GRU_GRU_H
#define GRU_GRU_H

#include "gru/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/*--- Models ----------------------------------------------------------------*/

/* A model with its weights, read and checked. Never changes; may be used by
   many threads at once. */
typedef struct gru_model gru_model;

/* Reads a model file: a Keras archive (.keras), a Keras HDF5 model (.h5,
   .hdf5), a Keras JSON config, an ONNX model, a state dict of PyTorch
   (.safetensors, .pt, JSON), or RTNeural's JSON; docs/formats.md has the
   details. The format is recognised by content. `weights_path` may be NULL.
   Where a Keras config comes without weights, the layers' initialisers draw
   them.
   Errors name the file, and where they can the layer and the argument. */
GRU_API gru_status gru_model_load(const char *path, const char *weights_path,
                                  gru_model **model);
/* The same, for a file that may hold the config of one recurrent layer: then
   the model's inputs are x and those of mask, initial_state (initial_state_0,
   ... for several states) that `call_arguments` lists. PyTorch's modules have x
   and those of h0 and lengths that it lists; `unbatched` in it makes the model
   of a call without a batch. Other files have inputs of their own and ignore the
   list. */
GRU_API gru_status gru_model_load_layer(const char *path,
                                        const char *weights_path,
                                        const char *const *call_arguments,
                                        size_t num_call_arguments,
                                        gru_model **model);

/* Keras's arguments of a GRU layer. gru_gru_options_init sets Keras's defaults,
   which stand here; `units` has none. Strings are copied. What only training
   reads (initialisers, regularisers, constraints) is accepted, as Keras's
   identifier or JSON, and does not change the program. */
typedef struct gru_gru_options {
  uint32_t struct_size; /* sizeof(gru_gru_options) */
  uint32_t keras_version; /* 3; 2 chooses Keras 2's hard_sigmoid */
  int64_t units;
  const char *activation;           /* "tanh"; NULL is linear */
  const char *recurrent_activation; /* "sigmoid"; NULL is linear */
  const char *kernel_initializer;   /* "glorot_uniform" */
  const char *recurrent_initializer; /* "orthogonal" */
  const char *bias_initializer;     /* "zeros" */
  const char *kernel_regularizer;   /* NULL, and so on to bias_constraint */
  const char *recurrent_regularizer;
  const char *bias_regularizer;
  const char *activity_regularizer;
  const char *kernel_constraint;
  const char *recurrent_constraint;
  const char *bias_constraint;
  double dropout;            /* 0 */
  double recurrent_dropout;  /* 0 */
  int32_t use_bias;          /* 1 */
  int32_t reset_after;       /* 1 */
  int32_t return_sequences;  /* 0 */
  int32_t return_state;      /* 0 */
  int32_t go_backwards;      /* 0 */
  int32_t stateful;          /* 0 */
  int32_t unroll;            /* 0 */
  int32_t time_major;        /* 0; Keras 2 only */
  int32_t zero_output_for_mask; /* 0 */
  int32_t implementation;    /* 2 */
  const char *name;          /* "gru" */
  const char *dtype;         /* "float32" */
  int32_t has_seed;          /* 0: masks are drawn from the session's seed */
  int32_t reserved;          /* 0 */
  int64_t seed;              /* of dropout masks, where has_seed is not 0 */
} gru_gru_options;

GRU_API void gru_gru_options_init(gru_gru_options *options);

/* A model of one GRU layer without a file. Its input is `x` [batch, timesteps,
   features]. Weights, named in Keras's way and copied:
     kernel           [features, 3 units], gates z, r, h
     recurrent_kernel [units, 3 units]
     bias             [2, 3 units] with reset_after, else [3 units]; none without
                      use_bias */
GRU_API gru_status gru_model_build_gru(const gru_gru_options *options,
                                       int64_t features,
                                       const gru_weight *weights,
                                       size_t num_weights, gru_model **model);

/* NULL is allowed. Programs do not need their model any more. */
GRU_API void gru_model_destroy(gru_model *model);

/* Inputs, outputs and weights of the model; -1 for dimensions that the program
   or the run decides. Names are the model's. */
GRU_API size_t gru_model_num_tensors(const gru_model *model,
                                     gru_tensor_kind kind);
GRU_API gru_status gru_model_tensor(const gru_model *model,
                                    gru_tensor_kind kind, size_t index,
                                    gru_tensor_info *info);
/* Which dimensions of input `index` are batch and time: 0 and 1, or 1 and 0 in a
   time-major model; time is -1 for what is no sequence. */
GRU_API int32_t gru_model_batch_dim(const gru_model *model, size_t index);
GRU_API int32_t gru_model_time_dim(const gru_model *model, size_t index);
/* 1 where the model must be compiled for a known number of timesteps, because
   layers such as Flatten or Conv1D make shapes that follow from nothing else. */
GRU_API int32_t gru_model_needs_timesteps(const gru_model *model);
/* The values of weight `index`: dense, row-major, owned by the model. NULL where
   there is no such weight. */
GRU_API const void *gru_model_weight_data(const gru_model *model, size_t index);

/*--- Layers ----------------------------------------------------------------*/

/* The model's layers in its order. The directions of a Bidirectional and the
   cells of a stack follow their layer, as "bidirectional/forward" and
   "rnn/cell0". */
GRU_API size_t gru_model_num_layers(const gru_model *model);
/* NULL where there is no such layer. Owned by the model. */
GRU_API const char *gru_model_layer_name(const gru_model *model, size_t layer);
/* An attribute under Keras's name ("units", "recurrent_activation",
   "kernel_initializer", "states", "class_name", ...) as JSON text: 32, "tanh",
   null, {"class_name": ...}. Values are those that count: defaults are filled in,
   rates clamped, `implementation` is 1 where there is recurrent dropout.
   "states" lists what programs call the layer's states, or null for one that is
   not kept. `text` is owned by the model. */
GRU_API gru_status gru_model_layer_attribute(const gru_model *model,
                                             size_t layer,
                                             const char *attribute,
                                             const char **text);

/* Keras's get_initial_state: what state number `state` of a recurrent layer or
   cell begins as, which is zeros [batch, units]. The batch is `batch_size`, or
   where that is 0 the first dimension of `inputs`; the type is `dtype`, or where
   that is 0 the layer's own. `inputs` may be NULL; its data is not looked at.
   `name` of the info is the layer's. `data` has room for `size` bytes, which
   must be exactly those of the state; NULL with 0 asks for the info alone.
   Errors: GRU_INVALID_ARGUMENT where neither inputs nor a batch size is given,
   where both are and differ, or where the layer has no such state. */
GRU_API gru_status gru_model_initial_state(const gru_model *model, size_t layer,
                                           size_t state,
                                           const gru_buffer *inputs,
                                           int64_t batch_size, gru_dtype dtype,
                                           gru_tensor_info *info, void *data,
                                           size_t size);

/*--- Initialisers, constraints, losses -------------------------------------*/

/* 1 where the model's weights were drawn by its layers' initialisers. */
GRU_API int32_t gru_model_has_initial_weights(const gru_model *model);
/* Draws values for weight `index` by its initialiser: dense, of the weight's type
   and shape, `size` bytes of them. The same values for the same seed on every
   machine. An initialiser with a seed of its own ignores `seed`; weights without
   one differ from each other for any seed. The values that a model without
   weights has are those of seed 0. */
GRU_API gru_status gru_model_draw_weight(const gru_model *model, size_t index,
                                         uint64_t seed, void *values,
                                         size_t size);
/* Applies the constraint of weight `index`, if it has one, to `values`: dense, of
   the weight's type and shape, `size` bytes of them, changed in place. */
GRU_API gru_status gru_model_constrain_weight(const gru_model *model,
                                              size_t index, void *values,
                                              size_t size);

/* Keras's `losses`: one for each regularised weight, one for each tensor that an
   activity regulariser looks at, in Keras's order. */
GRU_API size_t gru_model_num_losses(const gru_model *model);
/* How many further outputs a program compiled with `activities` has. */
GRU_API size_t gru_model_num_activities(const gru_model *model);
/* Computes the losses, in float64. Weights are found by name among `weights`,
   the model's own where one is not there; `weights` may be NULL. `activities`
   are the further outputs of a run, all of them. `num_losses` must be
   gru_model_num_losses. */
GRU_API gru_status gru_model_losses(const gru_model *model,
                                    const gru_weight *weights,
                                    size_t num_weights,
                                    const gru_buffer *activities,
                                    size_t num_activities, double *losses,
                                    size_t num_losses);

/*--- Compiling -------------------------------------------------------------*/

typedef struct gru_compile_options {
  uint32_t struct_size; /* sizeof(gru_compile_options) */
  int32_t threads;      /* threads of a run; 0 and 1: the caller's alone */
  int64_t batch;        /* rows of every run; 0: as the model says, else 1 */
  int64_t timesteps;    /* 0: decided by each run */
  /* "auto" (NULL), which takes for each layer the first of cudnn, gpu and cpu
     that this machine and the layer allow; "cpu"; "cudnn" or "gpu", an error on a
     machine without a device; "halide" (where the build has it); or "reference"
     (float64). */
  const char *target;
  const char *mcpu;     /* an LLVM CPU name; NULL: this machine's */
  const char *require_backend; /* NULL, or fail unless this backend is chosen */
  const char *stop_after; /* for bisecting: with target reference, run the cpu
                             pipeline in float64 up to this phase first */
  int32_t f64_outputs;  /* with target reference: do not narrow the outputs */
  int32_t training;     /* 1: as Keras's training=True, where dropout acts */
  /* Called on the compiling thread; both may be NULL. on_phase after each phase
     with its duration; the one phase of a kernel from the folder is `cache`, and
     one in memory has none. on_remark with every choice that is worth
     knowing. */
  void (*on_phase)(void *context, const char *phase, double milliseconds);
  void (*on_remark)(void *context, const char *text);
  void *context;
  /* Folder in which compiled kernels are kept for other processes; made where
     it does not exist. NULL: what the environment variable GRU_CACHE_DIR says,
     else gru in $XDG_CACHE_HOME or ~/.cache. "": none. */
  const char *cache_dir;
  /* Behind the model's outputs, give what activity regularisers look at: see
     gru_model_losses. */
  int32_t activities;
  /* On a device: let cuDNN and cuBLAS round float32 products to TF32. */
  int32_t allow_tf32;
  /* With training: dropout masks that runs get as inputs, behind those of the
     model, instead of having them drawn. Of each, name, rank and dims count,
     and every dimension is a number. A mask holds 0 and 1/(1 - rate). With one
     recurrent layer in the model its masks are called
       dropout_mask            [batch, features], the same for all gates, or
                               [3, batch, features] for z, r, h; for a Keras 2
                               layer that could use cuDNN the input's shape
       recurrent_dropout_mask  [3, batch, units]
     (with several cells ..._cell0, ...; in a Bidirectional forward/...,
     backward/...), otherwise LAYER/dropout_mask and so on, as are those of
     Dropout layers. docs/formats.md has the other layers that draw numbers. */
  const gru_tensor_info *masks;
  size_t num_masks;
  /* For the program and its weights; copied. NULL: the C library's. */
  const gru_allocator *allocator;
  /* With target halide: schedules as `gru-opt --emit=halide-schedule` prints
     them, one line per function that shall have another than the one chosen.
     NULL: none. */
  const char *halide_schedule;
  /* With target cpu: "bf16" stores float32 recurrent kernels, and other kernels
     where few rows use them, rounded to half the bytes; "int8" makes bytes of the
     kernels of recurrent layers and, with a scale for each row, of what these are
     multiplied with; the rest is float32 as before. Faster, less exact: gru-run
     --verify tells how much. NULL: as in the model. */
  const char *weight_type;
  /* Nonzero: outputs `profile:LAYER`, i64 [4], behind the others give the clock's
     ticks that the layer took in the run, its floating-point operations (with
     those of zeros that are left out), the bytes that it read and wrote, and how
     many of these are different ones (a weight is read in each step); `profile:`
     gives those of the whole run. Ticks are of the processor's own counter, so
     take their ratios. One thread only. */
  int32_t profile;
  /* Units and rows that the register blocks of all recurrent layers shall have.
     0: as the cost model, or a tuner before (gru-run --tune), chose. */
  int32_t block_width, block_rows;
} gru_compile_options;

/* Compiles the model for the options, or takes the kernel from this process's
   memory or from `cache_dir`, and packs the weights. Slow (milliseconds); may be
   called by many threads at once. `options` may be NULL. The program has one
   reference, the caller's. */
GRU_API gru_status gru_compile(const gru_model *model,
                               const gru_compile_options *options,
                               gru_program **program);

/* Readies a session for calls with training=True (gru_session_run_training):
   compiles `model` with `options` but for training, or takes that kernel from the
   cache, and gives the session the program. `model` and `options` are those that
   the session's program was compiled from; masks are drawn, none are given. Slow:
   not on a thread with a deadline, and not while the session runs. Does nothing
   for a session that is ready. */
GRU_API gru_status gru_session_prepare_training(
    gru_session *session, const gru_model *model,
    const gru_compile_options *options);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* GRU_GRU_H */
