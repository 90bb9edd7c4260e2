/*===- gru/plan.h - what a compiled kernel and the runtime share --*- C -*-===*\
|*
|* A compiled module exports two things: a kernel, and a plan, which is plain
|* data that says what the kernel takes: its inputs, outputs, states and
|* weights, how the weights are packed, and how much scratch memory a run needs.
|* The runtime knows no layout: it reads the plan.
|*
|* A plan is flat and little-endian: a header, then these arrays without gaps:
|* inputs, outputs, states, weights (gru_plan_tensor), symbols
|* (gru_plan_symbol), packs (gru_plan_pack), scratch (gru_plan_scratch), parts
|* (gru_plan_part), offsets (uint64_t), code (bytes; every text ends with a
|* zero), strings (bytes; every name ends with a zero). It needs no alignment.
|*
|* A change of this file that older plans do not survive raises
|* GRU_PLAN_VERSION.
|*
\*===----------------------------------------------------------------------===*/

#ifndef GRU_PLAN_H
#define GRU_PLAN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GRU_PLAN_MAGIC 0x4e4c5047u /* "GPLN" */
#define GRU_PLAN_VERSION 4u

/* No tensor and no pack has more dimensions. */
#define GRU_MAX_RANK 6

/* Element types. The values are part of the ABI. */
typedef uint32_t gru_dtype;
enum {
  GRU_F32 = 1,
  GRU_F64 = 2,
  GRU_F16 = 3,  /* IEEE binary16 */
  GRU_BF16 = 4, /* the upper half of a binary32 */
  GRU_BOOL = 5, /* one byte, 0 or 1 */
  GRU_I32 = 6,
  GRU_I64 = 7,
  GRU_I8 = 8 /* of packed weights only */
};

/* Threads that run one kernel together. All members run it and go through the
   same phases, each of which consists of parts that any member may compute. */
typedef struct gru_team {
  /* The next part, 0 to parts - 1, of the phase for this member, or -1 when all
     parts of the phase are finished, by whomever; its next call is about the next
     phase. What a member did in a part is done when it asks again. */
  int64_t (*next)(struct gru_team *team, int32_t member, int64_t parts);
} gru_team;

/* All that a kernel gets. Blobs are aligned to 64 bytes and sized as the plan
   says; inputs and outputs are dense, row-major and aligned to one element. */
typedef struct gru_call {
  const void *const *in; /* one pointer per input of the plan; only read */
  void *const *out;      /* one pointer per output; no overlap with anything */
  const void *weights;   /* what the plan's packs have written */
  void *state;           /* read and left in the committed value */
  void *scratch;         /* contents undefined before and after */
  const int64_t *dims;   /* the value of each symbol of the plan */
  gru_team *team;            /* NULL if the plan's `team` is 1 */
  struct gru_device *device; /* NULL where the plan has no parts */
} gru_call;

/* What runs a program's parts on a device. A kernel knows addresses of the host
   only; of all that a gru_call points to the device has a mirror, and the kernel
   says when data goes from one to the other. Weights are there from the start. A
   failure is kept for the end of the run. A program with parts has no team. */
struct gru_device {
  /* Runs a part. `size` is the number of timesteps, or of items of a
     GRU_PART_KERNEL; buffers are in the order of gru_plan_part. Of a part that a
     mask keeps from running, ~part and null tell the device so. */
  void (*run)(struct gru_device *device, int32_t part, int64_t size,
              void *const *buffers);
  /* Copies a buffer to its mirror (GRU_TO_DEVICE) or back (GRU_TO_HOST); back it
     waits until the data is there. */
  void (*move)(struct gru_device *device, void *data, uint64_t bytes,
               int32_t direction);
};
enum { GRU_TO_DEVICE = 0, GRU_TO_HOST = 1 };

/* `member` counts from 0; without a team it is 0. A kernel does not fail. */
typedef void (*gru_kernel)(const gru_call *call, int32_t member);

typedef struct gru_plan_header {
  uint32_t magic;   /* GRU_PLAN_MAGIC */
  uint32_t version; /* GRU_PLAN_VERSION */
  uint64_t size;    /* bytes of the whole plan, this header included */
  uint32_t num_inputs, num_outputs, num_states, num_weights;
  uint32_t num_symbols, num_packs, num_scratch;
  uint32_t strings_size; /* bytes */
  uint64_t weights_bytes, state_bytes;
  uint32_t team; /* members that it pays to run the kernel on; 1: no team */
  uint32_t num_parts, num_offsets;
  uint32_t code_size; /* bytes */
} gru_plan_header;

typedef struct gru_plan_tensor {
  uint32_t name;     /* offset into the strings */
  gru_dtype dtype;   /* of a weight: as in the model, before packing */
  uint32_t rank;     /* at most GRU_MAX_RANK */
  uint32_t flags;    /* GRU_TENSOR_... */
  /* >= 0: static; -1 - s: the value of symbol s (inputs and outputs only). */
  int64_t dims[GRU_MAX_RANK];
  uint64_t offset; /* of a state: bytes into the state blob; otherwise 0 */
} gru_plan_tensor;

/* Of an input or output of a program with parts: code on the host reads or writes
   it. What has not this flag is only ever moved. */
enum { GRU_TENSOR_ON_HOST = 1 };

/* Symbol s is dimension `dim` of input `input`, whose dims[dim] is -1 - s. Any
   other dimension may refer to the symbol as well and must then agree. */
typedef struct gru_plan_symbol {
  uint32_t input, dim;
} gru_plan_symbol;

typedef enum gru_plan_pack_mode {
  GRU_PACK_STORE = 0,
  GRU_PACK_ADD = 1, /* in dst_dtype */
  GRU_PACK_QUANTIZE = 2,
  GRU_PACK_LIST_ROWS = 3
} gru_plan_pack_mode;

/* One strided copy from a weight in Keras's form (dense, row-major) into the
   blob, which is zero before the first:
     for all i in extents:
       blob[dst_offset][sum i * dst_strides] (+)=
           cast(weight[src_offset + sum i * src_strides])
   Types may differ or be accumulated only between the four floating-point
   types. The cast rounds to nearest even.
   A quantizing pack goes from f32 to i8 and divides what it copies by a scale, f32,
   one for each choice of indices but that of dimension 1: the largest magnitude of
   the sources with these, divided by 127. Zero is divided by no scale. Along
   dimension 1, four bytes stand side by side, and in front of them what takes an
   excess of 128 in each factor away from a sum of products: where i is 0 in this
   dimension, the four bytes of the destination are an int32_t, -128 times the sum
   of the bytes, and index k of the source goes to 1 + k/4 of the destination, k%4
   bytes behind.
   A listing pack copies nothing. It goes from a floating-point type, of which
   src_offset and src_strides count elements of the blob, as packs before it have
   left it, to i32. Its rank is 4. For each choice of the indices of dimensions 0
   and 2, the int32_t at dst_offset + their dst_strides become a number, and behind
   it so many indices of dimension 1, ascending: those for which not all elements
   along dimension 3 are zero. The dst_strides of dimensions 1 and 3 are
   1 and 0. */
typedef struct gru_plan_pack {
  uint32_t weight;                /* index of the source weight */
  gru_dtype src_dtype, dst_dtype; /* src_dtype is that weight's, but for lists */
  uint32_t mode;                  /* a gru_plan_pack_mode */
  uint32_t rank;
  uint32_t reserved;   /* 0 */
  uint64_t dst_offset; /* bytes into the blob, a multiple of the element */
  int64_t src_offset;  /* elements */
  int64_t extents[GRU_MAX_RANK];
  int64_t src_strides[GRU_MAX_RANK], dst_strides[GRU_MAX_RANK]; /* elements */
  /* Quantizing only: where the scales go, otherwise 0. */
  uint64_t scale_offset; /* bytes into the blob, a multiple of 4 */
  int64_t scale_strides[GRU_MAX_RANK]; /* elements; of dimension 1: 0 */
} gru_plan_pack;

/* Scratch bytes = the sum over all records of
   coefficient * product of the values of symbols[i], i < num_symbols. */
typedef struct gru_plan_scratch {
  uint64_t coefficient;
  uint32_t num_symbols;
  uint32_t symbols[3];
} gru_plan_scratch;

/* GRU layers that a device runs in one call: `layers` layers of `directions`
   directions; cell l * directions + d is direction d of layer l. Buffers, dense and
   row-major, all read and written in the mirror but for the mask of a
   GRU_PART_CUDNN, which is read on the host:
     input            [batch, timesteps, features]
     initial states   one [batch, units] per cell, with GRU_PART_INITIAL_STATES
     mask             [batch, timesteps], with GRU_PART_MASK
     sequences        one [batch, timesteps, units] per direction, with ..._SEQUENCES
     last outputs     one [batch, units] per direction, with ..._LASTS
     states           one [batch, units] per cell, with ..._STATES
   With GRU_PART_TIME_MAJOR input, mask and sequences have timesteps first.

   Or, as GRU_PART_KERNEL, another operation: the kernel `gru_kernel` of `code`,
   which takes num_buffers addresses in the mirror and num_values of int64_t, in
   this order. Only library, code and these two are set. */
typedef struct gru_plan_part {
  uint32_t library; /* GRU_PART_CUDNN, GRU_PART_GPU or GRU_PART_KERNEL */
  gru_dtype dtype;
  uint32_t flags;
  uint32_t layers, directions;
  uint32_t weights_per_cell; /* 3, or 2 without a bias */
  uint32_t first_offset;     /* of weights_per_cell per cell in the offsets: where
                                kernel, recurrent kernel and bias lie, in Keras's
                                form, in the blob of weights */
  uint32_t code;             /* offset into the code: PTX */
  int64_t features, units, batch;
  int64_t timesteps; /* 0: decided by each run */
  uint32_t num_buffers, num_values;
} gru_plan_part;

enum { GRU_PART_CUDNN = 1, GRU_PART_GPU = 2, GRU_PART_KERNEL = 3 };
enum {
  GRU_PART_INITIAL_STATES = 1,
  GRU_PART_MASK = 2,
  GRU_PART_SEQUENCES = 4,
  GRU_PART_LASTS = 8,
  GRU_PART_STATES = 16,
  GRU_PART_TIME_MAJOR = 32,
  GRU_PART_GO_BACKWARDS = 64,      /* a single direction, from the end */
  GRU_PART_WRITES_WHERE_READ = 128, /* its sequence in the order of time */
  GRU_PART_ZERO_OUTPUT = 256,      /* masked outputs are zeros */
  GRU_PART_RESET_AFTER = 512,
  GRU_PART_TF32 = 1024, /* float32 products may be rounded */
  GRU_PART_REQUIRED = 2048 /* a mask that keeps it from running is an error */
};

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* GRU_PLAN_H */
