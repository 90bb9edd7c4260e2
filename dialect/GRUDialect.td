//===- GRUDialect.td - the gru dialect ------------------------*- tablegen -*-===//
//
// The dialect itself. Attributes live in GRUAttrs.td, interfaces in
// GRUInterfaces.td, operations in GRUOps.td.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_DIALECT_TD
#define GRU_DIALECT_TD

include "mlir/IR/OpBase.td"

def GRU_Dialect : Dialect {
  let name = "gru";
  let cppNamespace = "::gru";
  let summary = "Gated recurrent unit layers and their way down to loops";
  let description = [{
    The `gru` dialect holds what is particular to gated recurrent units and
    nothing else: everything around a GRU is imported into upstream dialects.

    It has three levels. A lowering goes down one level at a time, so each
    level can be printed, tested and run by itself.

    | level | operations | form |
    | --- | --- | --- |
    | layer | `gru.gru`, `gru.cell`, `gru.dense`, `gru.activation`, `gru.reverse` | tensors, no side effects |
    | sequence | `gru.pack`, `gru.packed_dense`, `gru.recur` | destination style, tensors or memrefs |
    | step | `gru.step` | memrefs |

    Letters used for shapes throughout: **B** batch, **T** timesteps, **F**
    input features, **H** units, and for packed data **NB** blocks of **W**
    units each (NB = ceil(H / W)).

    Gates are always ordered **z | r | h** (update, reset, candidate), as Keras
    stores them.

    ### Discardable attributes on functions

    * `gru.name = "x"` on an argument or result: the name of the model's input
      or output.
    * `gru.batch_dim = 1 : i64` beside it: which dimension of an input is the
      batch where it is not the first; such an input has no time dimension.
    * `gru.weight = "dense/kernel"` on an argument: a trained weight in Keras
      form. The values never enter the IR.
    * `gru.weight_type = type` beside it: the weight's type in the file, where the
      function computes in another one.
    * `gru.sparse` beside it: a recurrent kernel with many zeros, of which the
      products leave out what they can (see `convert-gru-layers-to-sequence`).
    * `gru.packed = N : i64` on an argument: the result of a pack that was moved
      to load time; N is its byte offset in the blob of packed weights.
    * `gru.state = N : i64` on an argument and on a result: state number N of a
      stateful layer, carried by the session from one call to the next.
    * `gru.output` on an argument: a buffer that the function writes (see
      `gru-bind-buffers`); `gru.scratch`: its scratch memory.
    * `gru.dims = [2, -1, 3]` on an input or output buffer: its shape, where
      -1-s stands for symbol s of `gru.symbols`.
    * `gru.pack_program` on a function: what fills that blob (see
      `gru-hoist-packs`).

    * `gru.on_host` on an input or output of a program for a device: code on the host
      reads or writes it (see `gru-move-data`)
    * `gru.device` on an argument: the session's device; `gru.device_parts` on a
      function: what it runs (see `convert-gru-device-to-calls`).

    ### Discardable attributes on layers

    * `gru.time_distributed`: the layer stood inside a TimeDistributed, where
      Keras never takes cuDNN.
    * `gru.backend = "cudnn"`: who runs the layer (see `gru-choose-backends`).
  }];
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

#endif // GRU_DIALECT_TD
