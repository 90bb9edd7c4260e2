/*===- gru/dropout.h - dropout masks in training, C interface ------*- C -*-===*\
|*
|* A program that was compiled for training draws its dropout masks anew for each
|* run, from the seed of its session. What they are drawn from is the program's
|* last state, "dropout_key": the seed, and how often masks and recurrent masks
|* have been drawn. It is saved and restored with the other states, but not reset
|* with them. Masks depend on nothing else: equal seeds give equal masks on every
|* machine and target.
|*
|* The rules of gru/runtime.h hold here too.
|*
\*===----------------------------------------------------------------------===*/

#ifndef GRU_DROPOUT_H
#define GRU_DROPOUT_H

#include "gru/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/*--- Sessions --------------------------------------------------------------*/

/* The next run draws the masks of a first run with this seed; a new session has
   the seed 0. Layers that have a seed of their own draw from that. Without effect
   on a program that draws no masks. NULL is allowed. */
GRU_API void gru_session_set_seed(gru_session *session, uint64_t seed);

/* Keras's reset_dropout_mask and reset_recurrent_dropout_mask. The layers of a
   model draw new masks for every run anyway; a cell that is a model of its own
   keeps its masks until they are reset. NULL is allowed. */
GRU_API void gru_session_reset_dropout_mask(gru_session *session);
GRU_API void gru_session_reset_recurrent_dropout_mask(gru_session *session);

/*--- Cells -----------------------------------------------------------------*/

/* What a Keras cell with dropout has, without a program: its masks, drawn when
   they are first asked for and kept until they are reset. Used by one thread at
   a time. A program for training draws the same numbers: run n of a session
   (from 0) has as its mask `stream` what this gives after n resets. */
typedef struct gru_cell_dropout gru_cell_dropout;

typedef struct gru_cell_dropout_options {
  uint32_t struct_size; /* sizeof(gru_cell_dropout_options) */
  uint32_t stream;      /* of the dropout mask; the recurrent mask has the next */
  double dropout, recurrent_dropout; /* clamped to [0, 1] as in Keras */
  uint64_t seed;
} gru_cell_dropout_options;

/* Masks in the object's memory: `count` of them behind each other, each dense of
   shape `dims`. Valid until the mask is reset or the object destroyed. */
typedef struct gru_masks {
  const float *data; /* NULL if there are none: the rate is 0 */
  size_t count;
  uint32_t rank;
  int64_t dims[GRU_MAX_RANK];
} gru_masks;

GRU_API gru_status gru_cell_dropout_create(
    const gru_cell_dropout_options *options, gru_cell_dropout **cell);
GRU_API void gru_cell_dropout_destroy(gru_cell_dropout *cell);

/* Keras's get_dropout_mask_for_cell and get_recurrent_dropout_mask_for_cell:
   `count` masks of shape `dims`. If `training`, masks of 0 and 1/(1 - rate) are
   drawn when first asked for, and kept: later calls give the same ones, whatever
   their `dims` and `count`. Otherwise the masks are ones, and nothing is kept.
   Errors: GRU_INVALID_ARGUMENT, also for a rate of 1 when training. */
GRU_API gru_status gru_cell_dropout_get_mask(gru_cell_dropout *cell,
                                             const int64_t *dims, uint32_t rank,
                                             int32_t training, size_t count,
                                             gru_masks *masks);
GRU_API gru_status gru_cell_dropout_get_recurrent_mask(
    gru_cell_dropout *cell, const int64_t *dims, uint32_t rank,
    int32_t training, size_t count, gru_masks *masks);

/* Forgets the mask: the next one that is asked for is another. NULL is
   allowed. */
GRU_API void gru_cell_dropout_reset_mask(gru_cell_dropout *cell);
GRU_API void gru_cell_dropout_reset_recurrent_mask(gru_cell_dropout *cell);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* GRU_DROPOUT_H */
